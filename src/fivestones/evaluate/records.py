"""The record of one evaluated output, and its file: one JSON line per task and contestant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fivestones.errors import DataError
from fivestones.runlog import append_jsonl, read_jsonl, write_jsonl
from fivestones.types import Finish


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecord:
    """One output of one contestant for one task, scored."""

    task_id: str
    contestant: str
    dataset: str = "test"  # or the name of an extra dataset
    key: str = ""  # digest of all that the output and its score depend on; "" is never used again
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
    behaviours: Mapping[str, float | None] = field(default_factory=dict)  # None: does not apply
    transcript: Sequence[Mapping[str, str]] = ()  # turns after the prompt, of a job with tools: role, content

    def __post_init__(self) -> None:
        where = f"record of {self.task_id} by {self.contestant}"
        if (self.total is None) != bool(self.unscored):
            raise ValueError(f"{where}: total is None exactly when something is unscored")
        if self.total is not None and not math.isfinite(self.total):
            raise ValueError(f"{where}: total is {self.total}")
        bad = {k: v for k, v in self.criteria.items() if not 0.0 <= v <= 1.0}
        if bad:
            raise ValueError(f"{where}: criteria outside [0, 1]: {bad}")
        endless = {k: v for k, v in self.behaviours.items() if v is not None and not math.isfinite(v)}
        if endless:
            raise ValueError(f"{where}: behaviours without a finite value: {endless}")


def append_records(path: Path, records: Iterable[EvalRecord]) -> None:
    """Adds records in one write that is on the disk when this returns; makes the file when there is none."""
    append_jsonl(path, map(asdict, records))


def read_records(path: Path) -> list[EvalRecord]:
    """All records, in order; no file holds none. DataError: unreadable, or a line is no record."""
    return [_record(path, number, row) for number, row in enumerate(read_jsonl(path), start=1)]


def write_cases(path: Path, sources: Mapping[str, str]) -> None:
    """Keeps what outputs were made from (task id -> text, such as the dialogue) for the report; atomic."""
    write_jsonl(path, ({"task_id": task, "source": text} for task, text in sources.items()))


def read_cases(path: Path) -> dict[str, str]:
    """Task id -> text, as `write_cases` kept it."""
    return {str(row.get("task_id")): str(row.get("source", "")) for row in read_jsonl(path)}


def _record(path: Path, number: int, row: Mapping[str, Any]) -> EvalRecord:
    known = [f.name for f in fields(EvalRecord)]
    unknown = sorted(set(row) - set(known))
    if unknown:
        raise DataError(f"{path}: line {number} has unknown keys {unknown}; a record has {known}")
    try:
        return EvalRecord(**{**row, "transcript": tuple(row.get("transcript", ()))})
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: line {number} is no evaluation record ({error})") from error
