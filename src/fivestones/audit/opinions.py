"""Asking a judge about many outputs: what it says, what it leaves open and why, and how long it takes.

N outputs. The outputs of one task are asked together, as a group is in training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fivestones.audit.agreement import Array
from fivestones.audit.cases import Case
from fivestones.protocols import Judge
from fivestones.score.facts import FactsJudge
from fivestones.types import Verdict

PRECISION = "precision"  # a criterion beside the fields: what is stated, not what is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What a judge said of N outputs."""

    fields: tuple[str, ...]
    values: Mapping[str, Array]  # criterion -> [N] in [0, 1], NaN where it is unscored
    causes: tuple[frozenset[str], ...]  # [N] why fields are unscored
    seconds: Array  # [N] its share of the call that asked for it

    @property
    def overall(self) -> Array:
        """Mean of the fields [N]; NaN where one is unscored."""
        out: Array = np.mean([self.values[f] for f in self.fields], axis=0)
        return out


def ask(
    judge: Judge,
    cases: Sequence[Case],
    fields: Sequence[str],
    told: Callable[[int], None],
    *,
    backwards: bool = False,
) -> Opinions:
    """told: called with the number of outputs judged so far; backwards: the outputs of a task are asked last
    one first."""
    groups: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        groups.setdefault(case.task.id, []).append(i)
    verdicts: dict[int, Verdict] = {}
    seconds = np.zeros(len(cases))
    for rows in groups.values():
        order = rows[::-1] if backwards else rows
        began = time.perf_counter()
        said = judge(cases[rows[0]].task, [cases[i].output for i in order])
        seconds[order] = (time.perf_counter() - began) / len(order)
        verdicts.update(zip(order, said, strict=True))
        told(len(verdicts))
    names = [*fields, *dict.fromkeys(n for v in verdicts.values() for n in v.criteria if n not in fields)]
    by_row = [verdicts[i] for i in range(len(cases))]
    return Opinions(
        fields=tuple(fields),
        values={n: np.array([value_of(v, n) for v in by_row]) for n in names},
        causes=tuple(
            frozenset(v.unscored.get(f, "no verdict") for f in fields if not _known(v, f)) for v in by_row
        ),
        seconds=seconds,
    )


def _known(verdict: Verdict, name: str) -> bool:
    return name not in verdict.unscored and 0.0 <= verdict.criteria.get(name, -1.0) <= 1.0


def value_of(verdict: Verdict, name: str) -> float:
    """The criterion; NaN when it is unscored."""
    return verdict.criteria[name] if _known(verdict, name) else float("nan")


def traced(judge: FactsJudge, cases: Sequence[Case]) -> Array:
    """What the embedded judge knows beyond its verdict [N]: how much of what an output states it could trace,
    and what it invents. No reward by itself, and what speaks of hallucination: the score of a field falls as
    much by what is left out."""
    return np.array([_traced(judge, case) for case in cases])


def _traced(judge: FactsJudge, case: Case) -> float:
    """Mean over the fields; a field that states nothing states nothing wrong."""
    findings = judge.explain(case.task, case.output)
    found = {(f.field, f.name): f.credit for f in findings if f.kind in ("section", "factor")}
    each = [found.get((f, "precision"), 1.0) * found.get((f, "invented"), 1.0) for f in judge.fields]
    return sum(each) / len(each) if findings else float("nan")
