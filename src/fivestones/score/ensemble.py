"""Several judges as one. Each of these is a protocols.Judge made of others.

An abstention is an unknown value in [0, 1]: a criterion is scored exactly where the result is the same
whatever the abstaining members would have said, and unscored, with their causes, everywhere else. So:

    mean       any abstention leaves the criterion unscored
    minimum    scored only when another member said 0
    vote       scored when the votes that are there decide: a majority of all members, abstainers included
    gate       an abstaining gate leaves it unscored; what failed the gate is 0, and of an output of which
               nothing passed the judge is not asked

A criterion that a member does not mention is an abstention of that member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from fivestones.errors import UsageError
from fivestones.protocols import Judge
from fivestones.types import Task, Verdict

Rule = Literal["mean", "minimum", "vote"]
RULES: tuple[Rule, ...] = get_args(Rule)
NO_VERDICT = "no verdict"

Combine = Callable[[Sequence[float], int], float | None]
"""(values of the members that answered, number of members that abstained) -> the criterion, None = open."""


def mean(values: Sequence[float], abstained: int) -> float | None:
    return None if abstained else sum(values) / len(values)


def minimum(values: Sequence[float], abstained: int) -> float | None:
    least = min(values, default=1.0)
    return None if abstained and least > 0.0 else least


def vote(values: Sequence[float], abstained: int, threshold: float = 0.5) -> float | None:
    """1 when more than half of all members are at or above the threshold, else 0: a tie is not passed."""
    passed, members = sum(v >= threshold for v in values), len(values) + abstained
    if 2 * passed > members:
        return 1.0
    return None if 2 * (passed + abstained) > members else 0.0


class Ensemble:
    """Asks every member about every output, in order.

    members: name -> judge; the names stand in the causes of what is unscored. threshold: of a vote.
    """

    def __init__(
        self, members: Mapping[str, Judge], rule: Rule, fields: Sequence[str], threshold: float = 0.5
    ) -> None:
        if len(members) < 2:
            raise UsageError(f"an ensemble has {len(members)} members; allowed: at least 2")
        if rule not in RULES:
            raise UsageError(f"an ensemble by `{rule}`; allowed: {', '.join(RULES)}")
        self._members, self._fields = dict(members), tuple(fields)
        rules: Mapping[str, Combine] = {
            "mean": mean,
            "minimum": minimum,
            "vote": lambda values, abstained: vote(values, abstained, threshold),
        }
        self._combine = rules[rule]

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        said = {name: asked(name, judge, task, outputs) for name, judge in self._members.items()}
        return [
            _combined({name: verdicts[i] for name, verdicts in said.items()}, self._fields, self._combine)
            for i in range(len(outputs))
        ]


class GateThenJudge:
    """A cheap judge decides what an expensive one sees.

    A field below `threshold` at the gate is 0, a real one. The judge is asked only about outputs that have a
    field above it, and its answer counts for those fields.
    """

    def __init__(self, gate: Judge, judge: Judge, fields: Sequence[str], threshold: float = 0.5) -> None:
        self._gate, self._judge, self._fields, self._threshold = gate, judge, tuple(fields), threshold

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        gated = asked("gate", self._gate, task, outputs)
        passed = [any(self._passes(v, f) for f in self._fields) for v in gated]
        left = [output for output, through in zip(outputs, passed, strict=True) if through]
        answers = iter(asked("judge", self._judge, task, left) if left else ())
        return [
            self._verdict(gate, next(answers) if through else None)
            for gate, through in zip(gated, passed, strict=True)
        ]

    def _passes(self, verdict: Verdict, field: str) -> bool:
        value = answer(verdict, field)
        return isinstance(value, float) and value >= self._threshold

    def _verdict(self, gate: Verdict, judged: Verdict | None) -> Verdict:
        criteria: dict[str, float] = {}
        unscored: dict[str, str] = {}
        for field in self._fields:
            value = answer(gate, field)
            if isinstance(value, str):
                unscored[field] = f"gate: {value}"
            elif value < self._threshold or judged is None:
                criteria[field] = 0.0
            elif isinstance(found := answer(judged, field), str):
                unscored[field] = found
            else:
                criteria[field] = found
        return Verdict(criteria=criteria, unscored=unscored)


def asked(name: str, judge: Judge, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Raises ValueError when the verdicts are not one for each output: they could be anybody's."""
    verdicts = judge(task, outputs)
    if len(verdicts) != len(outputs):
        raise ValueError(f"judge `{name}`: {len(verdicts)} verdicts for {len(outputs)} outputs")
    return verdicts


def answer(verdict: Verdict, field: str) -> float | str:
    """The value of a field, or why there is none."""
    if field in verdict.unscored or field not in verdict.criteria:
        return verdict.unscored.get(field, NO_VERDICT)
    value = float(verdict.criteria[field])
    return value if 0.0 <= value <= 1.0 else "verdict outside [0, 1]"


def _combined(said: Mapping[str, Verdict], fields: Sequence[str], combine: Combine) -> Verdict:
    criteria: dict[str, float] = {}
    unscored: dict[str, str] = {}
    for field in fields:
        answers = {name: answer(verdict, field) for name, verdict in said.items()}
        open_ones = {name: why for name, why in answers.items() if isinstance(why, str)}
        value = combine([a for a in answers.values() if isinstance(a, float)], len(open_ones))
        if value is None:
            unscored[field] = "; ".join(f"{name}: {why}" for name, why in open_ones.items())
        else:
            criteria[field] = value
    return Verdict(criteria=criteria, unscored=unscored)
