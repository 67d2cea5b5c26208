"""The record of one evaluated output, and its file: one JSON line per task and contestant.

A kill can tear only the last line of a file that grows by appending. A line counts once its newline is there:
reading drops a torn tail, appending cuts it off first.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fivestones.errors import DataError
from fivestones.runlog import write_atomic
from fivestones.types import Finish

TAIL = 65_536  # bytes read at a time when looking for the last newline


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecord:
    """One output of one contestant for one task, scored."""

    task_id: str
    contestant: str
    dataset: str = "test"  # or the name of an extra dataset
    cluster: str
    tags: Mapping[str, str] = field(default_factory=dict)
    text: str  # the output as generated
    finish: Finish
    tokens: int  # generated, end token included
    strict: bool  # the whole output is the one object asked for
    lenient: bool  # an object could be read out of it
    failed: Mapping[str, str] = field(default_factory=dict)  # gate -> why
    criteria: Mapping[str, float] = field(default_factory=dict)  # criterion -> [0, 1]
    total: float | None  # points; None = unscored; 0 when a gate failed
    unscored: Mapping[str, str] = field(default_factory=dict)  # criterion -> cause
    seconds: float = 0.0  # generating this output; its share when many are generated at once

    def __post_init__(self) -> None:
        where = f"record of {self.task_id} by {self.contestant}"
        if (self.total is None) != bool(self.unscored):
            raise ValueError(f"{where}: total is None exactly when something is unscored")
        if self.total is not None and not math.isfinite(self.total):
            raise ValueError(f"{where}: total is {self.total}")
        bad = {k: v for k, v in self.criteria.items() if not 0.0 <= v <= 1.0}
        if bad:
            raise ValueError(f"{where}: criteria outside [0, 1]: {bad}")


def append_records(path: Path, records: Iterable[EvalRecord]) -> None:
    """Adds records in one write that is on the disk when this returns; makes the file when there is none."""
    lines = [json.dumps(asdict(record), ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(_intact_length(path))
        file.seek(0, os.SEEK_END)
        file.write("".join(lines).encode("utf-8", "backslashreplace"))  # a lone surrogate stays JSON
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path) -> list[EvalRecord]:
    """All whole lines, in order; a torn last one is dropped. DataError: no file, or a line is no record."""
    return [_record(path, number, row) for number, row in enumerate(read_lines(path), start=1)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file that grows by appending; a torn last line is dropped."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    rows = []
    for number, line in enumerate(raw[: raw.rfind(b"\n") + 1].split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:  # UnicodeDecodeError is one
            raise DataError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: got {type(row).__name__}, needs an object")
        rows.append(row)
    return rows


def write_cases(path: Path, sources: Mapping[str, str]) -> None:
    """Keeps what outputs were made from (task id -> text, such as the dialogue) for the report; atomic."""
    lines = [json.dumps({"task_id": k, "source": v}, ensure_ascii=False) + "\n" for k, v in sources.items()]
    write_atomic(path, "".join(lines))


def read_cases(path: Path) -> dict[str, str]:
    """Task id -> text, as `write_cases` kept it."""
    return {str(row.get("task_id")): str(row.get("source", "")) for row in read_lines(path)}


def _record(path: Path, number: int, row: Mapping[str, Any]) -> EvalRecord:
    known = [f.name for f in fields(EvalRecord)]
    unknown = sorted(set(row) - set(known))
    if unknown:
        raise DataError(f"{path}, line {number}: unknown keys {unknown}; a record has {known}")
    try:
        return EvalRecord(**row)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}, line {number}: not an evaluation record: {error}") from error


def _intact_length(path: Path) -> int:
    """Bytes up to and with the last newline."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - TAIL)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0
