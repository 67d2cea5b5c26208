"""Answers once more, from the rows of a world alone: its tables in SQLite, its plans, the calculator."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

from fivestones.environments.finqa.calculator import calculate
from fivestones.environments.finqa.number import read
from fivestones.environments.finqa.world.decoding import Decoded, Undecodable, decode
from fivestones.environments.tool_use.tools import ToolError

Row = Mapping[str, Any]
NOT_DISCLOSED = "not disclosed"
SHOWN = re.compile(r"\((?:[\d,]+(?:\.\d+)?)\)|-?[\d,]*\d(?:\.\d+)?")  # the digits of an answer
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_OPERAND = re.compile(r"\(-\d+(?:\.\d+)?\)|\d+(?:\.\d+)?")  # with its sign: `(-56)` is not `56`
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
FACTORS = (Decimal(1000), Decimal(1_000_000))  # between scales
_CONSTANTS = {Decimal(n) for n in (*range(1, 11), 100, 1000, 1_000_000)}


class Books:
    """The tables of one company, in a database of its own."""

    def __init__(self, tables: Iterable[Row]) -> None:
        self.tables: dict[str, tuple[str, list[str], list[list[str | None]]]] = {
            row["table"]: (row["description"], json.loads(row["columns"]), json.loads(row["rows"]))
            for row in tables
        }
        self._decoded: dict[str, Decoded] = {}

    @cached_property
    def connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        for name, (_, columns, rows) in self.tables.items():
            connection.execute(f"CREATE TABLE {_quoted(name)} ({', '.join(map(_quoted, columns))})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {_quoted(name)} VALUES ({marks})", rows)
        return connection

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Raises sqlite3.Error."""
        return self.connection.execute(sql).fetchall()

    def cell(self, table: str, row: str, column: str) -> str | None:
        """None where there is no such cell, or more than one."""
        if table not in self.tables:
            return None
        _, columns, rows = self.tables[table]
        found = [cells for cells in rows if cells[0] == row]
        if len(found) != 1 or columns.count(column) != 1:
            return None
        return found[0][columns.index(column)]

    def base(self, table: str, row: str, column: str) -> Decimal:
        """A cell in dollars, shares, percent ... Raises ValueError."""
        if table not in self._decoded:
            try:
                self._decoded[table] = decode(*self.tables[table])
            except Undecodable as why:
                raise ValueError(f"{table}: {why}") from None
        return self._decoded[table].figures[row, column]

    def like(self, table: str, row: str, column: str) -> str | None:
        """The cell that would be taken for it: of the same words, or else of the same year."""
        if table not in self.tables:
            return None
        _, columns, rows = self.tables[table]
        across = [n for n, name in enumerate(columns) if n and _alike(name, column)]
        down = [cells for cells in rows if _alike(str(cells[0]), row)]
        return down[0][across[0]] if len(across) == len(down) == 1 else None


def _alike(one: str, two: str) -> bool:
    if one.strip().casefold() == two.strip().casefold():
        return True
    years = _YEAR.findall(one), _YEAR.findall(two)
    return bool(years[0]) and years[0] == years[1]


def replayed(row: Row, books: Books) -> str:
    """The answer that the plan leads to, in the form of the stored one. Raises ValueError."""
    steps = json.loads(row["plan"])
    try:
        outputs = [books.query(step["arguments"]["query"]) for step in steps if step["name"] == "sql_query"]
    except sqlite3.Error as error:
        raise ValueError(f"its SQL fails: {error}") from None
    if row["answer"] == NOT_DISCLOSED:
        return NOT_DISCLOSED if absent_year(row, books) else "a reported year"
    cells = json.loads(row["cells"])
    seen = {text for output in outputs for line in output for text in line}
    for cell in cells:
        text = books.cell(cell["table"], cell["row"], cell["column"])
        if text != cell["text"] or text not in seen:
            raise ValueError(f"cell {cell} shows {text!r}, its SQL {sorted(filter(None, seen))[:6]}")
    numbers = [_number(cell["text"]) for cell in cells]
    return answered(row["answer"], _results(expressions_of(row), numbers))


def _results(expressions: Sequence[str], numbers: Sequence[Decimal]) -> list[Decimal]:
    if not expressions:
        return list(numbers)
    known = {abs(n) for n in numbers} | _CONSTANTS
    for expression in expressions:
        loose = [n for n in _NUMBER.findall(expression) if Decimal(n) not in known]
        if loose:
            raise ValueError(f"{loose[0]} in {expression!r} is in none of its cells")
    try:
        return [Decimal(calculate(expression)) for expression in expressions]
    except ToolError as error:
        raise ValueError(f"its expression fails: {error}") from None


def answered(form: str, results: Sequence[Decimal]) -> str:
    """`form` with these numbers, rounded as its own are."""
    fields = form.split("; ")
    if len(fields) != len(results):
        raise ValueError(f"{len(results)} results for {len(fields)} fields")
    texts = []
    for field, result in zip(fields, results, strict=True):
        key, mark, shown = field.rpartition(": ")
        match = SHOWN.search(shown)
        if match is None:
            raise ValueError(f"no number in {field!r}")
        decimals = len(match[0].strip("()").partition(".")[2])
        number = result.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
        texts.append(f"{key}{mark}{shown[: match.start()]}{number:,}{shown[match.end() :]}")
    return "; ".join(texts)


def elsewhere(row: Row, books: Books) -> str | None:
    """The answer that the plan leads to in another company's tables; None where the cells do not exist."""
    if row["answer"] == NOT_DISCLOSED:
        return None
    cells = json.loads(row["cells"])
    theirs: dict[Decimal, Decimal] = {}
    numbers = []
    for cell in cells:
        text = books.like(cell["table"], cell["row"], cell["column"])
        if text is None or read(text) is None:
            return None
        numbers.append(_number(text))
        if theirs.setdefault(_number(cell["text"]), numbers[-1]) != numbers[-1]:
            return None  # two of its cells show the same number, and theirs do not
    expressions = expressions_of(row)
    try:
        if not expressions:
            return answered(row["answer"], numbers)
        return answered(row["answer"], [Decimal(calculate(with_numbers(e, theirs))) for e in expressions])
    except (ToolError, ValueError, ArithmeticError):
        return None


def expressions_of(row: Row) -> list[str]:
    return [s["arguments"]["expression"] for s in json.loads(row["plan"]) if s["name"] == "calculator"]


def with_numbers(expression: str, numbers: Mapping[Decimal, Decimal]) -> str:
    """The same operation on other numbers. An operand is taken with its sign."""

    def put(match: re.Match[str]) -> str:
        number = Decimal(match[0].strip("()"))
        return f"({format(numbers.get(number, number), 'f')})"

    return _OPERAND.sub(put, expression)


def in_base_units(row: Row, books: Books) -> list[Decimal]:
    """The results of the plan with every cell in dollars, shares ... as its own table says, and so without
    factors between scales. Raises ValueError."""
    numbers: dict[Decimal, Decimal] = {}
    results = []
    for cell in json.loads(row["cells"]):
        base = books.base(cell["table"], cell["row"], cell["column"])
        shown = _number(cell["text"])
        if numbers.setdefault(shown, base) != base:
            raise ValueError(f"two cells of different scales show {shown}")
        results.append(base)
    expressions = expressions_of(row)
    if not expressions:
        return results
    known = {**{factor: Decimal(1) for factor in FACTORS}, **numbers}
    try:
        return [Decimal(calculate(with_numbers(e, known))) for e in expressions]
    except (ToolError, ArithmeticError) as error:
        raise ValueError(f"its expression in base units fails: {error}") from None


def absent_year(row: Row, books: Books) -> bool:
    """Whether a year that the question names is not in the table."""
    (table,) = json.loads(row["tables"])
    _, columns, rows = books.tables[table]
    shown = " ".join([*columns, *(str(cells[0]) for cells in rows)])
    return any(year not in shown for year in _YEAR.findall(row["question"]))


def _number(text: str) -> Decimal:
    quantity = read(text)
    if quantity is None:
        raise ValueError(f"{text!r} is not a number")
    return quantity.value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
