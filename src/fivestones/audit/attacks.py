"""The adversarial table of a judge: notes that try to fool it, made from reference notes (score.adversarial).

An attack passes when the mean over its changed fields stays below its bound and no single field reaches the
worst that is allowed; it fails visibly otherwise. Where the judge said nothing of more than a tenth of the
fields, or the cases allow no such attack, it is unknown, which is neither: but for a field that reached the
worst, which fails whatever was not said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fivestones.audit.bootstrap import Bootstrap
from fivestones.audit.opinions import value_of
from fivestones.protocols import Judge
from fivestones.recipe import MemberPart
from fivestones.score.adversarial import (
    BOUNDS,
    REFERENCE_LEAST,
    REFERENCE_MEAN,
    UNSEEN,
    WORST,
    Attack,
    Mode,
    attacks,
)
from fivestones.score.facts.case import as_fact
from fivestones.score.llm import load_rubric
from fivestones.types import Fact, Task

Json = dict[str, Any]
REFERENCE = "reference"  # the reference note itself, which must score high
UNSURE = 0.1  # share of the fields, above which those that were scored are no fair sample


def table(
    judge: Judge,
    tasks: Sequence[Task],
    fields: Sequence[str],
    forms: Mapping[str, Sequence[str]],
    mode: Mode,
    *,
    draws: int,
    told: Callable[[int, int], None],
) -> Json:
    """{mode, cases, passed, failed, unknown, attacks: {name: {status, mean, low, high, worst, cases, bound,
    worst_allowed, n, unscored}}}. The reference note is among the attacks: it must reach its bound.

    tasks: with a reference output whose `fields` are texts; the output of the one before serves as another
    case's. forms: concept -> surface forms; mode: what the judge may know of a case.
    """
    scores: dict[str, list[float]] = {name: [] for name in (REFERENCE, *BOUNDS)}
    clusters: dict[str, list[str]] = {name: [] for name in scores}
    for number, task in enumerate(tasks):
        note = _note(task, fields)
        made = attacks(
            note,
            facts=_facts(task),
            source=str(task.reference.get("source") or ""),
            other=_note(tasks[number - 1], fields) if len(tasks) > 1 else None,
            forms=forms,
        )
        shown = [Attack(REFERENCE, note, tuple(fields)), *made.values()]
        known = Task(id=task.id, prompt=task.prompt, reference=_known(task, mode), cluster=task.cluster)
        for attack, verdict in zip(shown, judge(known, [a.output for a in shown]), strict=True):
            scores[attack.name] += [value_of(verdict, f) for f in attack.fields]
            clusters[attack.name] += [task.id] * len(attack.fields)
        told(number + 1, len(tasks))
    rows = {name: _row(name, np.array(scores[name]), clusters[name], mode, draws) for name in scores}
    counted = [row["status"] for row in rows.values()]
    return {
        "mode": mode,
        "cases": len(tasks),
        "passed": counted.count("passes"),
        "failed": counted.count("fails"),
        "unknown": counted.count("unknown"),
        "attacks": rows,
    }


def mode_of(part: MemberPart, fields: Sequence[str], task: Task) -> Mode:
    """What the judge of a recipe knows of cases like the task: one behind a rubric what that shows it, any
    other what is there."""
    kinds = {p.kind for p in part.judges}
    rubrics = [load_rubric(p.rubric) for p in part.judges if p.kind == "llm"]
    if any(rubric.criterion(field).reference for rubric in rubrics for field in fields):
        return "reference"
    if rubrics and kinds <= {"llm", "people", "ensemble"}:
        return "dialogue"
    reference = task.reference
    return "facts" if reference.get("facts") else "reference" if reference.get("output") else "dialogue"


def _row(name: str, values: Any, clusters: Sequence[str], mode: Mode, draws: int) -> Json:
    known = values[~np.isnan(values)] if len(values) else values
    honest = name == REFERENCE
    bound = REFERENCE_MEAN[mode] if honest else BOUNDS[name]
    allowed = REFERENCE_LEAST[mode] if honest else UNSEEN.get((mode, name), WORST[name])
    row: Json = {
        "bound": bound,
        "worst_allowed": allowed,
        "n": len(known),
        "unscored": len(values) - len(known),
    }
    found = Bootstrap(clusters, draws).mean(values, (0.0, 1.0)) if len(known) else None
    if found is None:
        return {
            "status": "unknown",
            "mean": None,
            "low": None,
            "high": None,
            "worst": None,
            "cases": 0,
            **row,
        }
    worst = float(known.min() if honest else known.max())
    gave_in = worst < allowed if honest else worst > allowed
    held = found.mean >= bound if honest else found.mean < bound
    sure = gave_in or row["unscored"] <= UNSURE * len(values)
    return {
        "status": "unknown" if not sure else "fails" if gave_in or not held else "passes",
        "mean": found.mean,
        "low": None if np.isnan(found.low) else found.low,
        "high": None if np.isnan(found.high) else found.high,
        "worst": worst,
        "cases": found.clusters,
        **row,
    }


def _note(task: Task, fields: Sequence[str]) -> dict[str, str]:
    output = task.reference["output"]
    return {f: str(output.get(f, "")) for f in fields}


def _facts(task: Task) -> list[Fact]:
    return [as_fact(f) for f in task.reference.get("facts") or ()]


def _known(task: Task, mode: Mode) -> Json:
    """Of the reference what the mode lets a judge see."""
    seen = {"facts": ("facts", "source"), "reference": ("output", "source"), "dialogue": ("source",)}[mode]
    return {key: task.reference[key] for key in seen if task.reference.get(key) is not None}
