"""Tables that a job can start from, and the copies that `init` makes of them."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb

from fivestones.data.store import read_rows
from fivestones.errors import DataError
from fivestones.runlog import write_atomic

CSV = (".csv", ".tsv")


def is_csv(path: Path) -> bool:
    """A run does not read CSV (it has no types): `init` copies it to JSONL."""
    return path.suffix.lower() in CSV


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL, Parquet, CSV or TSV file with a header line; an empty CSV cell is None."""
    if not is_csv(path):
        return read_rows(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        # The whole file decides on the types; dates stay as they are written.
        query = "FROM read_csv(?, header = true, sample_size = -1, auto_type_candidates = ?)"
        types = ["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR"]
        offline: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(":memory:", config=offline) as connection:
            cursor = connection.execute(query, [glob.escape(str(path)), types])
            names = [str(column[0]) for column in cursor.description or ()]
            rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    except duckdb.Error as error:
        raise DataError(f"{path}: not a readable CSV file: {str(error).splitlines()[0]}") from error
    if not rows:
        raise DataError(f"{path}: no rows in it")
    return rows


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line, atomically; what JSON has no type for (a date of a Parquet file) as text."""
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))
