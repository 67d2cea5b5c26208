"""Read-only SQL over the tables of one company, safe against any query that a model may write.

Each company's tables are an in-memory SQLite image, all columns text as displayed, shared by all rollouts of
this process. A query passes four guards, none of which relies on another:
- its text (sql_text.py): one SELECT, named columns, a filter or an aggregate, bounded in size;
- the authorizer: reading the one table of the call and a list of functions, nothing else;
- limits of SQLite and `query_only`: lengths, depths, joins; nothing can be written;
- the progress handler: machine instructions, and processor time of the query's own thread: a busy machine
  changes no result.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections import OrderedDict
from typing import Any

from fivestones.environments.finqa.sql_text import AGGREGATES, LONGEST, safe_text
from fivestones.environments.finqa.tables import LISTED, Table, Tables, clipped
from fivestones.environments.tool_use.tools import ToolError
from fivestones.errors import nearest

ROWS = 50
CHARACTERS = 4000  # of a result
SECONDS = 0.2  # of processor time
INSTRUCTIONS = 500_000  # of SQLite's machine; a query over 50 rows takes some thousands
BETWEEN_CHECKS = 200  # instructions
IMAGES = 64  # companies kept open
LENGTH = 4096  # bytes of any value, unless a table holds longer ones: bounds what replace or || can build
FUNCTIONS = AGGREGATES | {
    *(
        "abs",
        "ceil",
        "ceiling",
        "coalesce",
        "floor",
        "glob",
        "ifnull",
        "iif",
        "instr",
        "length",
        "like",
        "lower",
    ),
    *("ltrim", "nullif", "pow", "power", "replace", "round", "rtrim", "sign", "sqrt", "substr", "substring"),
    *(
        "trim",
        "trunc",
        "typeof",
        "upper",
        "dense_rank",
        "first_value",
        "lag",
        "last_value",
        "lead",
        "nth_value",
    ),
    *("rank", "row_number"),
}
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 2 * LONGEST,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 300,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_NO_COLUMN = re.compile(r"no such column: (.*)", re.DOTALL)
_NO_TABLE = re.compile(r"no such table: (?:main\.)?(.*)", re.DOTALL)
_NO_FUNCTION = re.compile(r"no such function: (.*)", re.DOTALL)


class Database:
    """SQL over `tables`; safe to share between threads. Opens a company when it is first asked for."""

    def __init__(self, tables: Tables, images: int = IMAGES) -> None:
        self._tables = tables
        self._images: OrderedDict[str, _Image] = OrderedDict()  # least recently used first
        self._most = images
        self._lock = threading.Lock()

    def query(self, company: str, table: str, sql: str) -> str:
        """Rows as a JSON list of objects. ToolError says what is wrong and what is available."""
        subject = self._tables.table(company, table)
        text = safe_text(sql)
        return self._image(company).query(subject, text)

    def _image(self, company: str) -> _Image:
        with self._lock:
            image = self._images.get(company)
            if image is None:
                image = self._images[company] = _Image(self._tables.of(company))
                while len(self._images) > self._most:
                    self._images.popitem(last=False)
            else:
                self._images.move_to_end(company)
            return image


class _Image:
    def __init__(self, tables: dict[str, Table]) -> None:
        self._names = {name.casefold(): name for name in tables}
        self._lock = threading.Lock()
        self._subject = ""  # the table of the call, case-folded
        self._read: set[str] = set()  # columns that the query reads, case-folded
        self._refused: str | None = None  # why the authorizer refused
        self._ticks, self._deadline = 0, 0.0
        # No statement cache: a cached statement would be run again without asking the authorizer.
        self._db = sqlite3.connect(
            ":memory:", check_same_thread=False, cached_statements=0, isolation_level=None
        )
        longest, widest = LENGTH, 100
        self._db.execute("BEGIN")
        for table in tables.values():
            names = ", ".join(f"{_quoted(column)} TEXT" for column in table.columns)
            self._db.execute(f"CREATE TABLE {_quoted(table.name)} ({names})")
            marks = ", ".join("?" * len(table.columns))
            self._db.executemany(f"INSERT INTO {_quoted(table.name)} VALUES ({marks})", table.rows)
            widest = max(widest, len(table.columns))
            longest = max([longest, *(sum(4 * len(cell or "") + 9 for cell in row) for row in table.rows)])
        self._db.execute("COMMIT")
        self._db.execute("PRAGMA query_only = ON")
        self._db.execute("PRAGMA trusted_schema = OFF")
        for limit, value in _LIMITS.items():
            self._db.setlimit(limit, value)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, widest)
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        self._db.set_authorizer(self._authorize)
        self._db.set_progress_handler(self._out_of_time, BETWEEN_CHECKS)

    def query(self, table: Table, sql: str) -> str:
        with self._lock:
            self._subject, self._read, self._refused = table.name.casefold(), set(), None
            self._ticks, self._deadline = 0, time.thread_time() + SECONDS
            cursor = self._db.cursor()
            try:
                cursor.execute(sql)
                names = self._names_of(cursor, table)
                rows = cursor.fetchmany(ROWS + 1)
            except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
                raise ToolError(self._explained(str(error), table)) from None
            except MemoryError:  # how SQLite says that the program it makes of the query is over its limit
                raise ToolError("the query is too large: nest and join less") from None
            finally:
                cursor.close()
        return _as_json(names, rows)

    def _names_of(self, cursor: sqlite3.Cursor, table: Table) -> list[str]:
        """Names of the result's columns. Where a column 2024 was meant, `SELECT 2024` and `SELECT '2024'` are
        values to SQL: refused."""
        columns = {column.casefold(): column for column in table.columns}
        names: list[str] = []
        for column in cursor.description:
            name = column[0]
            meant = columns.get(name.strip("'").casefold())
            if meant and (name.isdigit() or name[:1] == "'") and meant.casefold() not in self._read:
                raise ToolError(f'{name} is a value here, not the column: write "{meant}" in double quotes')
            if name.casefold() not in columns:
                name = name.replace("`", '"')  # as the query wrote it
            names.append(name if name not in names else f"{name}_{len(names) + 1}")
        return names

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, inner: str | None
    ) -> int:
        if action == sqlite3.SQLITE_READ:
            name = (first or "").casefold()
            if name == self._subject:
                self._read.add((second or "").casefold())
                return sqlite3.SQLITE_OK
            if not second and name not in self._names and not name.startswith("sqlite_"):
                return sqlite3.SQLITE_OK  # count(*) of a subquery; what that reads was asked for by itself
            self._refuse(self._other_table(first or ""))
        elif action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        elif action == sqlite3.SQLITE_FUNCTION:
            if (second or "").lower() in FUNCTIONS:
                return sqlite3.SQLITE_OK
            self._refuse(_no_function(second or ""))
        else:
            self._refuse("only SELECT is allowed: tables can be read, never changed, and nothing else")
        return sqlite3.SQLITE_DENY

    def _refuse(self, why: str) -> None:
        self._refused = self._refused or why

    def _other_table(self, name: str) -> str:
        subject = self._names[self._subject]
        if other := self._names.get(name.casefold()):
            return (
                f"this call reads the table `{subject}` only, the query reads `{other}`:"
                " query each table with its own call"
            )
        return f"no table `{clipped(name)}` to read; this call reads the table `{subject}`"

    def _out_of_time(self) -> int:
        self._ticks += 1
        if self._ticks * BETWEEN_CHECKS > INSTRUCTIONS or time.thread_time() > self._deadline:
            self._refuse(
                f"the query takes more than {SECONDS:g} s or {INSTRUCTIONS:,} steps and was stopped:"
                " join less, and filter more"
            )
            return 1
        return 0

    def _explained(self, error: str, table: Table) -> str:
        """SQLite's message with what is available."""
        if self._refused:
            return self._refused
        if match := _NO_COLUMN.fullmatch(error):
            name = clipped(match[1].rpartition(".")[2] or match[1])
            columns = ", ".join(table.columns[:LISTED])
            hint = nearest(name, table.columns)
            return f"no column `{name}` in table `{table.name}`.{hint} Columns: {columns}."
        if match := _NO_TABLE.fullmatch(error):
            return self._other_table(match[1])
        if match := _NO_FUNCTION.fullmatch(error):
            return _no_function(match[1])
        return f"SQL: {clipped(error, 200)}"


def _no_function(name: str) -> str:
    known = sorted(FUNCTIONS)
    hint = nearest(clipped(name), known)
    return f"the function `{clipped(name)}` is not available.{hint} Available: {', '.join(known)}."


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_json(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    if len(rows) > ROWS:
        raise ToolError(f"the query gives more than {ROWS} rows: filter more, or aggregate")
    try:
        text = json.dumps(
            [dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError):
        raise ToolError("the result holds a value that is neither text nor a number") from None
    if len(text) > CHARACTERS:
        raise ToolError(
            f"the result has {len(text):,} characters, at most {CHARACTERS:,} are shown:"
            " select fewer columns, or filter more"
        )
    return text
