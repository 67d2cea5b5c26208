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
from fivestones.environments.tool_use.tools import ToolError

Row = Mapping[str, Any]
NOT_DISCLOSED = "not disclosed"
SHOWN = re.compile(r"\((?:[\d,]+(?:\.\d+)?)\)|-?[\d,]*\d(?:\.\d+)?")  # the digits of an answer
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_CONSTANTS = {Decimal(n) for n in (*range(1, 11), 100, 1000, 1_000_000)}


class Books:
    """The tables of one company, in a database of its own."""

    def __init__(self, tables: Iterable[Row]) -> None:
        self.tables: dict[str, tuple[str, list[str], list[list[str | None]]]] = {
            row["table"]: (row["description"], json.loads(row["columns"]), json.loads(row["rows"]))
            for row in tables
        }

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
    expressions = [step["arguments"]["expression"] for step in steps if step["name"] == "calculator"]
    numbers = [_number(cell["text"]) for cell in cells]
    return answered(row["answer"], _results(expressions, numbers))


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
    theirs: dict[str, str] = {}
    numbers = []
    for cell in cells:
        text = books.like(cell["table"], cell["row"], cell["column"])
        if text is None or read(text) is None:
            return None
        numbers.append(_number(text))
        theirs.setdefault(format(abs(_number(cell["text"])), "f"), format(numbers[-1], "f"))
    expressions = [s["arguments"]["expression"] for s in json.loads(row["plan"]) if s["name"] == "calculator"]
    try:
        if not expressions:
            return answered(row["answer"], numbers)
        moved = [_NUMBER.sub(lambda m: f"({theirs.get(m[0], m[0])})", e) for e in expressions]
        return answered(row["answer"], [Decimal(calculate(expression)) for expression in moved])
    except (ToolError, ValueError, ArithmeticError):
        return None


def absent_year(row: Row, books: Books) -> bool:
    """Whether a year that the question names is not in the table."""
    (table,) = json.loads(row["tables"])
    _, columns, rows = books.tables[table]
    shown = " ".join([*columns, *(str(cells[0]) for cells in rows)])
    return any(year not in shown for year in _YEAR.findall(row["question"]))


def scale_of(books: Books, table: str) -> set[str]:
    """The scales that a table names: {"million"}."""
    description, columns, rows = books.tables[table]
    texts = [description, *columns, *(text for cells in rows for text in cells if text)]
    return set(re.findall(r"thousand|million|billion", " ".join(texts).lower()))


def _number(text: str) -> Decimal:
    quantity = read(text)
    if quantity is None:
        raise ValueError(f"{text!r} is not a number")
    return quantity.value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
