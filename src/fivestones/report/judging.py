"""What judges behind endpoints were asked in a run, and what it cost: `judge.jsonl` -> rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

COUNTS = ("questions", "cache_hits", "requests", "retries", "input_tokens", "output_tokens", "money")


@dataclass(slots=True)
class Judged:
    """Of one phase; pauses and repeated steps included."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0  # of all requests together; they overlap
    longest: float = 0.0  # seconds of the slowest request
    unscored: Counter[str] = field(default_factory=Counter)  # cause -> questions left without an answer


def judging(lines: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """A row for each phase, in order of appearance, and one for all; none where no server was asked."""
    phases: dict[str, Judged] = {}
    for line in lines:
        name = str(line.get("phase"))
        _add(phases.setdefault(name, Judged(name)), line)
    if len(phases) > 1:
        everything = Judged("all")
        for line in lines:
            _add(everything, line)
        phases["all"] = everything
    return list(phases.values())


def _add(row: Judged, line: Mapping[str, Any]) -> None:
    for name in COUNTS:
        row.counts[name] += line.get(name) or 0
    row.seconds += line.get("seconds") or 0.0
    row.longest = max(row.longest, line.get("longest") or 0.0)
    row.unscored.update(line.get("unscored") or {})
