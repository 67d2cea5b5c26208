"""Tables on disk: Parquet through DuckDB, and JSON Lines. Every complaint is one `DataError` naming file and
row.

Identical rows give an identical Parquet file, byte for byte: one thread, fixed codec and row-group size, no
timestamps. Rows are streamed through a temporary JSON Lines file, so that memory does not grow with the
table.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from fivestones.errors import DataError, ResourceError, nearest
from fivestones.runlog import disk_errors

Row = dict[str, Any]

ROW_GROUP = 2048  # rows
FETCH = 512  # rows held at a time while reading
_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPES: Mapping[type, str] = {str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling for a writer that wants a path; on success it is synced and takes the place of
    `path` at once. What a kill leaves of it, the next attempt writes over. Text goes by
    `runlog.write_atomic`.

    Raises ResourceError when the disk is full or not writable.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except (OSError, duckdb.IOException) as error:
        raise ResourceError(f"{path} cannot be written: {_first_line(error)}") from error
    finally:
        with suppress(OSError):  # nothing is there when the folder could not be made
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes a Parquet file atomically; returns the number of rows.

    The columns and their types (text, whole number, number, boolean) are those of the first row. A row with
    other columns or types, and an empty table, raise DataError: a mixed column is a mistake upstream.
    """
    columns: dict[str, type] = {}
    n = 0
    with replacing(path) as target:
        lines = target.with_suffix(".jsonl")
        try:
            with lines.open("w", encoding="utf-8", newline="\n") as file:
                for n, row in enumerate(rows, 1):
                    columns = columns or {name: type(value) for name, value in row.items()}
                    _fits(path, n, row, columns)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            if not n:
                raise DataError(f"{path}: no rows to write")
            _to_parquet(lines, target, columns)
        finally:
            lines.unlink(missing_ok=True)
    return n


def _to_parquet(lines: Path, target: Path, columns: Mapping[str, type]) -> None:
    layout = ", ".join(f"{_quoted(name)}: '{_TYPES[kind]}'" for name, kind in columns.items())
    query = (
        f"COPY (SELECT * FROM read_json(?, format='newline_delimited', columns={{{layout}}})) "
        f"TO {_literal(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    )
    with _connect() as connection:
        connection.execute(query, [glob.escape(str(lines))])


def read_rows(path: Path, require: Sequence[str] = ()) -> list[Row]:
    """All rows of a Parquet or JSON Lines file, whole; each must have the columns `require`. DataError when
    empty.
    """
    rows = list(iter_rows(path, require))
    if not rows:
        raise DataError(f"{path}: no rows in it")
    return rows


def iter_rows(path: Path, require: Sequence[str] = ()) -> Iterator[Row]:
    """Rows one after the other, in file order."""
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {what}")
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _iter_parquet(path, require)
    if kind in (".jsonl", ".ndjson"):
        return _iter_jsonl(path, require)
    raise DataError(f"{path}: unknown kind of file `{path.suffix}` (allowed: .jsonl, .ndjson, .parquet)")


def _iter_parquet(path: Path, require: Sequence[str]) -> Iterator[Row]:
    source = glob.escape(str(path))  # DuckDB reads * ? [ in a path as a pattern
    try:
        with _connect() as connection:
            there = [
                str(c[0]) for c in connection.execute("DESCRIBE FROM read_parquet(?)", [source]).fetchall()
            ]
            for name in require:
                if name not in there:
                    raise DataError(_lacks(path, None, name, there))
            cursor = connection.execute("FROM read_parquet(?)", [source])
            names = [str(c[0]) for c in cursor.description or ()]
            while block := cursor.fetchmany(FETCH):
                for values in block:
                    yield dict(zip(names, values, strict=True))
    except duckdb.Error as error:
        raise DataError(f"{path}: not a readable Parquet file ({_first_line(error)})") from error


def _iter_jsonl(path: Path, require: Sequence[str]) -> Iterator[Row]:
    """Anyone's data, and so unlike `runlog.read_jsonl`: nothing torn is dropped, and empty lines and a byte
    order mark are passed over."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                message = (
                    f"{path}: line {number} is not UTF-8 (byte {error.start + 1}); save the file as UTF-8"
                )
                raise DataError(message) from error
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                why = (
                    f"{error.msg} at column {error.colno}"
                    if isinstance(error, json.JSONDecodeError)
                    else error
                )
                raise DataError(
                    f"{path}: line {number} is not JSON ({why}): {line.strip()[:60]!r}"
                ) from error
            if not isinstance(row, dict):
                raise DataError(f"{path}: line {number} is {type(row).__name__}, not an object {{...}}")
            for name in require:
                if name not in row:
                    raise DataError(_lacks(path, number, name, list(row)))
            yield row


def _connect() -> duckdb.DuckDBPyConnection:
    """An in-memory database that never fetches an extension; JSON and Parquet are inside the wheel."""
    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "threads": "1",
            "memory_limit": "1GB",
            "preserve_insertion_order": "true",
        },
    )


def _fits(path: Path, n: int, row: Mapping[str, Any], columns: Mapping[str, type]) -> None:
    if list(row) != list(columns):
        raise DataError(f"{path}: row {n} has columns {list(row)}, the first row {list(columns)}")
    for name, value in row.items():
        kind = columns[name]
        if type(value) is not kind or kind not in _TYPES:
            allowed = kind.__name__ if kind in _TYPES else "text, whole number, number or boolean"
            raise DataError(
                f"{path}: row {n}, column `{name}` is {type(value).__name__} (allowed: {allowed})"
            )
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise DataError(f"{path}: row {n}, column `{name}`: {value} does not fit 64 bits")
        if isinstance(value, str) and _SURROGATE.search(value):
            raise DataError(f"{path}: row {n}, column `{name}` holds half a UTF-16 pair, which is not text")


def _lacks(path: Path, line: int | None, name: str, there: list[str]) -> str:
    where = f"line {line} lacks" if line is not None else "lacks"
    return f"{path}: {where} column `{name}` (there: {', '.join(there)}).{nearest(name, there)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
