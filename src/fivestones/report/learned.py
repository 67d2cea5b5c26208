"""What training changed in how the model works: behaviours, accuracy by level, and transcripts beside each
other. Read from `summary["behaviours"]`, which only jobs whose episodes are diagnosed have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.summary import TEST
from fivestones.report.text import Figure, contestants_in_order

LEVEL = "level"  # the tag by which a job's tasks get harder
MOST_EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour or level: an estimate a contestant, and the trained model's minus that of `other`."""

    name: str
    says: str  # in words; "" where the name says it
    figures: Mapping[str, Figure]
    difference: Figure | None

    @property
    def clear(self) -> bool:
        """The interval of the difference leaves out 0."""
        low, high = (self.difference or {}).get("low"), (self.difference or {}).get("high")
        return low is not None and high is not None and (low > 0 or high < 0)

    @property
    def n(self) -> int:
        """Tasks, of the contestant that has most: a behaviour may apply to fewer of another's."""
        return max((figure.get("n") or 0 for figure in self.figures.values()), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    names: list[str]  # contestants, the trained one last
    trained: str
    other: str | None  # whom the trained model is compared with; None when it is alone
    flags: list[Row]  # shares in [0, 1]; only what somebody did
    counts: list[Row]  # turns, calls ...
    levels: list[Row]  # accuracy in [0, 1], then of what training held out beside the rest
    changed: list[str]  # flags with an example, the greatest fall first


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one contestant did on the task of an example."""

    contestant: str
    total: float | None
    turns: list[tuple[str, str]]  # role, whole text


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A task on which `other` did something that the trained model did not."""

    task_id: str
    did: list[str]  # behaviours
    tags: str
    source: str  # the question; "" where it was not kept
    sides: list[Side]  # the other, the trained


def learned(summary: Mapping[str, Any], wanted: Sequence[str] = ()) -> Learned | None:
    """None for a run without behaviours. wanted: contestants in the recipe's order."""
    found = summary.get("behaviours") or {}
    if not found.get("contestants"):
        return None
    trained = str(found.get("trained", summary.get("trained", "trained")))
    paired = found.get("paired") or []
    # the first of the others is the one that the examples are of
    other = str(paired[0]["b"]) if paired else None
    differences = {p["metric"]: p for p in paired if p["b"] == other}
    says, shares = found.get("described") or {}, found.get("examples") or {}
    rows = [
        Row(name, str(says.get(name, "")), _of(found["contestants"], name), differences.get(name))
        for name in found["names"]
    ]
    fell = {row.name: (row.difference or {}).get("mean") or 0.0 for row in rows if shares.get(row.name)}
    return Learned(
        names=contestants_in_order(found, trained, list(wanted)),
        trained=trained,
        other=other,
        flags=[row for row in rows if row.name in shares and any(map(_above_zero, row.figures.values()))],
        counts=[row for row in rows if row.name not in shares and row.n],
        levels=_levels(summary, trained, other),
        changed=sorted((name for name in fell if fell[name] < 0), key=lambda name: fell[name]),
    )


def examples(
    found: Learned,
    summary: Mapping[str, Any],
    records: Sequence[EvalRecord],
    cases: Mapping[str, Mapping[str, str]],
) -> list[Example]:
    """Of the behaviours that fell most one task each, as `summary` names it; behaviours of one task together.
    Nothing for a task without records of both."""
    tasks: dict[str, list[str]] = {}
    for name in found.changed[:MOST_EXAMPLES]:
        tasks.setdefault(str(summary["behaviours"]["examples"][name]), []).append(name)
    last = {(r.contestant, r.task_id): r for r in records if r.dataset == TEST and r.task_id in tasks}
    shown = []
    for task, did in tasks.items():
        pair = [last.get((str(name), task)) for name in (found.other, found.trained)]
        both = [record for record in pair if record is not None]
        if len(both) == 2:
            tags = ", ".join(f"{key}: {value}" for key, value in both[0].tags.items())
            source = cases.get(TEST, {}).get(task, "")
            sides = [_side(record) for record in both]
            shown.append(Example(task_id=task, did=did, tags=tags, source=source, sides=sides))
    return shown


def turns_of(record: EvalRecord) -> list[tuple[str, str]]:
    """Role and text of each turn after the prompt; an output of one turn is all there was."""
    turns = [(str(turn.get("role", "")), str(turn.get("content", ""))) for turn in record.transcript]
    return turns or [("assistant", record.text)]


def _side(record: EvalRecord) -> Side:
    return Side(contestant=record.contestant, total=record.total, turns=turns_of(record))


def _levels(summary: Mapping[str, Any], trained: str, other: str | None) -> list[Row]:
    """Mean totals as shares of the greatest one, in the order of the summary."""
    slices = summary.get("slices") or []
    apart = [s for s in slices if s["tag"] != LEVEL and (s.get("held_out") or s.get("seen"))]
    most = float(summary.get("max_score") or 1.0)
    rows = []
    for part in [s for s in slices if s["tag"] == LEVEL] + sorted(apart, key=lambda s: bool(s["held_out"])):
        figures = {n: _scaled(c["total"], most) for n, c in part["contestants"].items()}
        pairs = [p for p in part["paired"] if (p["a"], p["b"], p["metric"]) == (trained, other, "total")]
        name = f"{part['value']}{', held out' if part.get('held_out') else ''}"
        rows.append(Row(name, "", figures, _scaled(pairs[0], most) if pairs else None))
    return rows


def _of(contestants: Mapping[str, Mapping[str, Figure]], name: str) -> dict[str, Figure]:
    return {contestant: figures[name] for contestant, figures in contestants.items()}


def _scaled(figure: Figure, most: float) -> Figure:
    ends = {key: None if figure[key] is None else figure[key] / most for key in ("mean", "low", "high")}
    return {**figure, **ends}


def _above_zero(figure: Figure) -> bool:
    return bool(figure["mean"])
