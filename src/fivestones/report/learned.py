"""What training changed in how the model works: behaviours, points by level, and transcripts beside each
other. Read from `summary["behaviours"]`, which only jobs whose episodes are diagnosed have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.statistics import MIN_CLUSTERS
from fivestones.evaluate.summary import TEST
from fivestones.report.text import Figure, contestants_in_order
from fivestones.types import HELD_OUT

LEVEL = "level"  # the tag by which a job's tasks get harder
AGAINST = ("base", "imitation")  # before any training, and without reinforcement
MOST_EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour or level: an estimate a contestant, and the trained model's minus that of each other."""

    name: str
    says: str  # in words; "" where the name says it
    figures: Mapping[str, Figure]
    differences: Mapping[str, Figure]  # by the other contestant

    def clear(self, other: str) -> bool:
        """The interval of the difference leaves out 0, and is of enough clusters for a verdict."""
        found = self.differences.get(other) or {}
        low, high = found.get("low"), found.get("high")
        if low is None or high is None or found.get("clusters", 0) < MIN_CLUSTERS:
            return False
        return bool(low > 0 or high < 0)

    @property
    def n(self) -> int:
        """Tasks, of the contestant that has most: a behaviour may apply to fewer of another's."""
        return max((figure.get("n") or 0 for figure in self.figures.values()), default=0)


@dataclass(frozen=True, slots=True)
class Parts:
    """The behaviours by the values of one tag, such as the levels."""

    tag: str
    values: list[str]
    rows: list[tuple[str, list[dict[str, Figure]]]]  # behaviour, [values] of {contestant: figure}


@dataclass(frozen=True, slots=True)
class Fall:
    """A behaviour that clearly got rarer than it is with another contestant, and a task that shows it."""

    name: str
    other: str
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    names: list[str]  # contestants, the trained one last
    trained: str
    others: list[str]  # whom the trained model is compared with: those of AGAINST; else the first other
    flags: list[Row]  # shares in [0, 1]; only what somebody did
    counts: list[Row]  # turns, calls ...
    by: list[Parts]  # the flags, by tag
    levels: list[Row]  # points as shares of the greatest, then of what training held out beside the rest
    fell: list[Fall]  # one a behaviour at most, the greatest fall first


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one contestant did on the task of an example."""

    contestant: str
    total: float | None
    turns: list[tuple[str, str]]  # role, whole text


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A task on which another contestant did something that the trained model did not."""

    task_id: str
    other: str
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
    compared = list(dict.fromkeys(str(p["b"]) for p in paired))
    others = [name for name in AGAINST if name in compared] or compared[:1]
    says = found.get("described") or {}
    figures = found["contestants"]
    rows = [
        Row(name, str(says.get(name, "")), _of(figures, name), _differences(paired, others, name))
        for name in found["names"]
    ]
    names = contestants_in_order(found, trained, list(wanted))
    shares = [row for row in rows if row.name not in found["counts"]]
    flags = [row for row in shares if any(map(_above_zero, row.figures.values()))]
    return Learned(
        names=names,
        trained=trained,
        others=others,
        flags=flags,
        counts=[row for row in rows if row.name in found["counts"] and row.n],
        by=[_parts(tag, values, flags, names) for tag, values in (found.get("by") or {}).items()],
        levels=_levels(summary, trained, others),
        fell=_fell(flags, others, found.get("examples") or {}),
    )


def examples(
    found: Learned, records: Sequence[EvalRecord], cases: Mapping[str, Mapping[str, str]]
) -> list[Example]:
    """Of the behaviours that fell most one task each; those of one task and contestant together. Nothing for
    a task without records of both."""
    shown: dict[tuple[str, str], list[str]] = {}
    for fall in found.fell[:MOST_EXAMPLES]:
        shown.setdefault((fall.task_id, fall.other), []).append(fall.name)
    last = {(r.contestant, r.task_id): r for r in records if r.dataset == TEST}
    out = []
    for (task, other), did in shown.items():
        pair = [last.get((name, task)) for name in (other, found.trained)]
        both = [record for record in pair if record is not None]
        if len(both) == 2:
            tags = ", ".join(f"{key}: {value}" for key, value in both[0].tags.items())
            source = cases.get(TEST, {}).get(task, "")
            sides = [_side(record) for record in both]
            out.append(Example(task_id=task, other=other, did=did, tags=tags, source=source, sides=sides))
    return out


def _fell(
    flags: Sequence[Row], others: Sequence[str], shown: Mapping[str, Mapping[str, str | None]]
) -> list[Fall]:
    """shown: other -> behaviour -> a task, for what is an error."""
    falls: dict[str, tuple[float, Fall]] = {}
    for row in flags:
        for other in others:
            task = shown.get(other, {}).get(row.name)
            size = row.differences[other]["mean"] if row.clear(other) else 0.0
            if task and size < falls.get(row.name, (0.0, None))[0]:
                falls[row.name] = (size, Fall(row.name, other, task))
    return [fall for _, fall in sorted(falls.values(), key=lambda pair: pair[0])]


def _parts(
    tag: str, values: Mapping[str, Mapping[str, Any]], flags: Sequence[Row], names: Sequence[str]
) -> Parts:
    told = [part["contestants"] for part in values.values()]
    rows = [(row.name, [{n: c[n][row.name] for n in names if n in c} for c in told]) for row in flags]
    return Parts(tag, list(values), rows)


def _differences(paired: Sequence[Figure], others: Sequence[str], metric: str) -> dict[str, Figure]:
    return {p["b"]: p for p in paired if p["metric"] == metric and p["b"] in others}


def turns_of(record: EvalRecord) -> list[tuple[str, str]]:
    """Role and text of each turn after the prompt; an output of one turn is all there was."""
    turns = [(str(turn.get("role", "")), str(turn.get("content", ""))) for turn in record.transcript]
    return turns or [("assistant", record.text)]


def _side(record: EvalRecord) -> Side:
    return Side(contestant=record.contestant, total=record.total, turns=turns_of(record))


def _levels(summary: Mapping[str, Any], trained: str, others: Sequence[str]) -> list[Row]:
    """Mean totals as shares of the greatest one, in the order of the summary."""
    slices = summary.get("slices") or []
    apart = [s for s in slices if s["tag"] != LEVEL and (s.get("held_out") or s.get("seen"))]
    most = float(summary.get("max_score") or 1.0)
    rows = []
    for part in [s for s in slices if s["tag"] == LEVEL] + sorted(apart, key=lambda s: bool(s["held_out"])):
        figures = {n: _scaled(c["total"], most) for n, c in part["contestants"].items()}
        mine = [p for p in part["paired"] if p["a"] == trained]
        differences = {b: _scaled(p, most) for b, p in _differences(mine, others, "total").items()}
        name = part["value"] if part["tag"] == LEVEL else f"{part['tag']}: {part['value']}"
        if part.get("held_out") and part["value"] != HELD_OUT:
            name = f"{name}, {HELD_OUT}"
        rows.append(Row(name, "", figures, differences))
    return rows


def _of(contestants: Mapping[str, Mapping[str, Figure]], name: str) -> dict[str, Figure]:
    return {contestant: figures[name] for contestant, figures in contestants.items()}


def _scaled(figure: Figure, most: float) -> Figure:
    ends = {key: None if figure[key] is None else figure[key] / most for key in ("mean", "low", "high")}
    return {**figure, **ends}


def _above_zero(figure: Figure) -> bool:
    return bool(figure["mean"])
