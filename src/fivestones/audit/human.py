"""How far scores agree with what people said of the same outputs.

N outputs. A higher score is better; a human score may be a rate of faults, so that its correlation with a
good judge is negative. A verdict ("something is wrong here") is a score below a threshold, which for a row
of one half of the dialogues is chosen on the other half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fivestones.audit.agreement import Array, Flags, auroc, best_threshold, kappa, pearson, spearman
from fivestones.audit.bootstrap import Bootstrap, as_json
from fivestones.audit.cases import Case, fields_of, in_half
from fivestones.audit.opinions import PRECISION, Opinions
from fivestones.score.rouge import rouge1

Json = dict[str, Any]
Scores = Callable[[str], Array]
"""Human score -> what is compared with it [N]."""

HALLUCINATION = "HallucinationRate"
ANY_HALLUCINATION = "any_hallucination"
QUALITY = "FactualF1"
ABOUT_WHAT_IS_STATED = (HALLUCINATION, "FactualPrecision")  # not about what is left out
OVERALL = "overall"  # the mean of the fields
BOTH_SIGNS, SHARE = (-1.0, 1.0), (0.0, 1.0)


class Compared:
    """Which of a judge's criteria is compared with which human score."""

    def __init__(self, said: Opinions) -> None:
        self._said = said

    def about(self, key: str) -> str:
        if key in self._said.fields:
            return key
        return PRECISION if key in ABOUT_WHAT_IS_STATED and PRECISION in self._said.values else OVERALL

    def __call__(self, key: str) -> Array:
        about = self.about(key)
        return self._said.overall if about == OVERALL else self._said.values[about]


class HumanAgreement:
    """Of any score with the human ones.

    kept [N]: the outputs that are shown, whose dialogues `boot` draws; threshold: None chooses it.
    """

    def __init__(self, cases: Sequence[Case], kept: Flags, boot: Bootstrap, threshold: float | None) -> None:
        self.keys = list(dict.fromkeys(key for case in cases for key in case.human))
        self._fields = fields_of(cases)
        self._human = {k: np.array([c.human.get(k, math.nan) for c in cases]) for k in self.keys}
        self._tune = np.array([in_half(c.task.cluster, "tune") for c in cases])
        self._kept, self._boot, self._threshold = kept, boot, threshold

    def of(self, scores: Scores) -> Json:
        """{pearson, spearman: {human score: ...}, auroc, kappa, sensitivity, specificity, threshold: {event:
        ...}}."""
        out: Json = {"pearson": {}, "spearman": {}}
        for key, human in self._human.items():
            pair = [scores(key)[self._kept], human[self._kept]]
            out["pearson"][key] = as_json(self._boot.estimate(pearson, pair, BOTH_SIGNS))
            out["spearman"][key] = as_json(self._boot.estimate(spearman, pair, BOTH_SIGNS))
        events = {name: self._event(happened, scores(key)) for name, key, happened in self._events()}
        for what in ("auroc", "kappa", "sensitivity", "specificity", "threshold"):
            out[what] = {name: event[what] for name, event in events.items()}
        return out

    def lead(self, key: str, score: Array, other: Array) -> Json | None:
        """How much more `score` [N] correlates with a human score than `other` does."""

        def ahead(a: Array, b: Array, y: Array) -> float:
            return pearson(a, y) - pearson(b, y)

        columns = [column[self._kept] for column in (score, other, self._human[key])]
        return as_json(self._boot.estimate(ahead, columns, (-2.0, 2.0)))

    def _events(self) -> list[tuple[str, str, Array]]:
        """(name, human score, 1 where it happened [N]): any hallucination, and each field that people
        failed."""
        out = []
        for key, human in self._human.items():
            known = human[~np.isnan(human)]
            if key == HALLUCINATION:
                out.append((ANY_HALLUCINATION, key, np.where(np.isnan(human), np.nan, human > 0)))
            elif key in self._fields and np.isin(known, (0.0, 1.0)).all():
                out.append((f"fails_{key}", key, 1 - human))
        return out

    def _event(self, happened: Array, score: Array) -> Json:
        """How well a low score tells that it happened."""
        of_tune, of_report = (self._cut(rows, happened, score) for rows in (self._tune, ~self._tune))
        cuts = np.where(self._tune, of_report, of_tune)[self._kept]
        happened, score = happened[self._kept], score[self._kept]
        flagged = np.where(np.isnan(score) | np.isnan(cuts), np.nan, score < cuts)
        return {
            "auroc": as_json(self._boot.estimate(_auroc_of_low, [score, happened], SHARE)),
            "kappa": as_json(self._boot.estimate(kappa, [flagged, happened], BOTH_SIGNS)),
            "sensitivity": as_json(self._boot.mean(np.where(happened == 1, flagged, np.nan), SHARE)),
            "specificity": as_json(self._boot.mean(np.where(happened == 0, 1 - flagged, np.nan), SHARE)),
            "threshold": sorted({float(cut) for cut in cuts if not math.isnan(cut)}),
        }

    def _cut(self, rows: Flags, happened: Array, score: Array) -> float:
        """The threshold that suits these rows."""
        if self._threshold is not None:
            return self._threshold
        known = rows & ~np.isnan(happened) & ~np.isnan(score)
        return best_threshold(score[known], happened[known] == 1)


def _auroc_of_low(score: Array, happened: Array) -> float:
    return auroc(-score, happened)


def baseline(
    agreed: HumanAgreement, cases: Sequence[Case], fields: Sequence[str], scores: Scores
) -> Json | None:
    """ROUGE-1 F in the judge's place, on the outputs that the judge scored, and how much more the judge's
    `scores` correlate; None without a reference, or without the package that computes it."""
    try:
        rouge = np.array([_rouge(case, fields) for case in cases])
    except ImportError:  # a light installation
        return None
    if np.isnan(rouge).all():
        return None
    ahead = {key: agreed.lead(key, scores(key), rouge) for key in agreed.keys}
    on_the_same = agreed.of(lambda key: np.where(np.isnan(scores(key)), np.nan, rouge))
    return {**on_the_same, "judge_minus_this": {"pearson": ahead}}


def _rouge(case: Case, fields: Sequence[str]) -> float:
    reference = case.task.reference.get("output")
    if reference is None:
        return math.nan
    return float(np.mean([rouge1(reference[f], case.output[f]) for f in fields]))


def quality(cases: Sequence[Case]) -> Array | None:
    """How good people found each output [N]: its factual F1, or the mean of what they said of its fields."""
    keys = [QUALITY] if any(QUALITY in case.human for case in cases) else list(fields_of(cases))
    known = [[case.human.get(key, math.nan) for key in keys] for case in cases]
    means = np.array(known).mean(axis=1)
    return None if np.isnan(means).all() else means
