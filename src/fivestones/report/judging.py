"""What judges behind endpoints were asked in a run, and what it cost: `judge.jsonl` -> rows of a table; and
whether the second judge could tell anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fivestones.score.alarm import too_few

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


def never_told(recipe: Mapping[str, Any]) -> str | None:
    """Why the run's second judge could raise no alarm; None: it could, or there is none."""
    watch, train = recipe.get("watch"), recipe.get("train")
    every = watch.get("every") if isinstance(watch, Mapping) else None
    steps = train.get("steps") if isinstance(train, Mapping) else None
    if not isinstance(every, int) or not isinstance(steps, int) or every < 1:
        return None
    return too_few(every, steps)


def _add(row: Judged, line: Mapping[str, Any]) -> None:
    for name in COUNTS:
        row.counts[name] += line.get(name) or 0
    row.seconds += line.get("seconds") or 0.0
    row.longest = max(row.longest, line.get("longest") or 0.0)
    row.unscored.update(line.get("unscored") or {})
