"""The rubric: gates -> gate points + weighted criteria. One scorer for every structured job.

reward = 0 when a gate fails (a real zero; no judge is asked), else
reward = gate_points + sum of weight * criterion, each in [0, 1]; None when any criterion is unscored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fivestones.errors import UsageError
from fivestones.protocols import Gate, Judge
from fivestones.recipe import CriterionPart
from fivestones.score.criteria import exact, overlap
from fivestones.score.ensemble import answer, asked
from fivestones.score.rouge import rouge1, rouge_l
from fivestones.types import Rollout, Score, Task, Verdict

COMPARE: Mapping[str, Callable[[object, object], float]] = {
    "exact": exact,
    "overlap": overlap,
    "rouge1": rouge1,
    "rougeL": rouge_l,
}


class RubricScorer:
    """protocols.Scorer. Criteria are named by their field, or `field.kind` where a field has several and for
    those of weight 0, which are reported and never rewarded.

    gates: run in order, the first failure ends the scoring of that rollout.
    parse: the output text as an object, or None; the last gate.
    judges: criterion kind -> Judge, for kinds that are not in COMPARE. A judge sees all the
        outputs of the group that passed at once and answers by field name. What it leaves out or answers
        outside [0, 1] is unscored, never zero.
    """

    def __init__(
        self,
        *,
        gates: Mapping[str, Gate],
        parse: Callable[[str], Mapping[str, Any] | None],
        criteria: Sequence[CriterionPart],
        judges: Mapping[str, Judge],
        gate_points: float = 1.0,
    ) -> None:
        self._gates = dict(gates)
        self._parse = parse
        self._criteria = _named(criteria)
        self._judges = dict(judges)
        self._gate_points = gate_points
        for name, part in self._criteria.items():
            if part.kind not in COMPARE and part.kind not in self._judges:
                raise UsageError(
                    f"criterion `{name}` is of kind `{part.kind}` and no such judge was given; "
                    f"allowed here: {', '.join([*COMPARE, *self._judges])}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The criteria, in the order of the rubric."""
        return tuple(self._criteria)

    @property
    def points(self) -> Mapping[str, float]:
        """Criterion -> the points it can earn, of those that earn any."""
        return {name: part.weight for name, part in self._criteria.items() if part.weight > 0}

    @property
    def max_reward(self) -> float:
        """What a perfect output earns."""
        return self._gate_points + math.fsum(part.weight for part in self._criteria.values())

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        """One score a rollout, in order."""
        passed = [self._pass(task, rollout) for rollout in rollouts]
        outputs = [output for output in passed if not isinstance(output, Score)]
        judged = iter(self._judge(task, outputs))
        return [entry if isinstance(entry, Score) else self._score(next(judged)) for entry in passed]

    def _judge(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        """All criteria of each output, gates aside."""
        if not outputs:
            return []
        kinds = dict.fromkeys(part.kind for part in self._criteria.values() if part.kind in self._judges)
        answers = {kind: asked(kind, self._judges[kind], task, outputs) for kind in kinds}
        return [
            self._verdict(task, output, {kind: verdicts[i] for kind, verdicts in answers.items()})
            for i, output in enumerate(outputs)
        ]

    def _pass(self, task: Task, rollout: Rollout) -> Mapping[str, Any] | Score:
        for name, gate in self._gates.items():
            reason = gate(task, rollout)
            if reason is not None:
                return Score(reward=0.0, failed={name: reason})
        output = self._parse(rollout.answer)
        return Score(reward=0.0, failed={"parse": "no readable output"}) if output is None else output

    def _verdict(self, task: Task, output: Mapping[str, Any], answers: Mapping[str, Verdict]) -> Verdict:
        criteria: dict[str, float] = {}
        unscored: dict[str, str] = {}
        for name, part in self._criteria.items():
            verdict = answers.get(part.kind)
            value = _compared(task, output, part) if verdict is None else answer(verdict, part.field)
            if isinstance(value, str):
                unscored[name] = value
            else:
                criteria[name] = value
        return Verdict(criteria=criteria, unscored=unscored)

    def _score(self, verdict: Verdict) -> Score:
        reward = None
        if not verdict.unscored:
            earned = (self._criteria[name].weight * value for name, value in verdict.criteria.items())
            reward = self._gate_points + math.fsum(earned)
        return Score(reward=reward, criteria=verdict.criteria, unscored=verdict.unscored)


def _named(criteria: Sequence[CriterionPart]) -> dict[str, CriterionPart]:
    rewarded = [part.field for part in criteria if part.weight > 0]
    named = {
        (p.field if p.weight > 0 and rewarded.count(p.field) == 1 else f"{p.field}.{p.kind}"): p
        for p in criteria
    }
    if len(named) < len(criteria):
        raise UsageError(
            f"the rubric judges a field twice in the same way; fields: {', '.join(p.field for p in criteria)}"
        )
    return named


def _compared(task: Task, output: Mapping[str, Any], part: CriterionPart) -> float | str:
    """The criterion, or why it cannot be scored."""
    reference = task.reference.get("output")
    if not isinstance(reference, Mapping):
        return "no reference output"
    if part.field not in reference:  # an optional key that this case does not have
        return float(part.field not in output)
    return COMPARE[part.kind](reference[part.field], output[part.field]) if part.field in output else 0.0
