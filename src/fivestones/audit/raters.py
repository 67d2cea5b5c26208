"""How far people agree with each other: the ceiling of any judge that is measured by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fivestones.audit.agreement import Array, kappa, krippendorff
from fivestones.audit.bootstrap import Bootstrap, as_json
from fivestones.score.people import Reviews

Json = dict[str, Any]
BOTH_SIGNS, SHARE = (-1.0, 1.0), (0.0, 1.0)


def rater_agreement(reviews: Reviews, *, draws: int = 2000, seed: int = 0) -> Json:
    """{criterion: {items, doubly, alpha, agreement, kappa: {"a, b": ...}}}.

    items: labelled; doubly: by two raters or more, and only those are compared. alpha: Krippendorff's;
    agreement: share of pairs of labels of one item that are equal; kappa: Cohen's, of each pair of raters.
    Estimates as in an audit, tasks are the clusters; null where nothing can be said.
    """
    names = dict.fromkeys(c for by_criterion in reviews.verdicts.values() for c in by_criterion)
    return {name: _criterion(reviews, name, draws, seed) for name in names}


def _criterion(reviews: Reviews, criterion: str, draws: int, seed: int) -> Json:
    said = {key: by[criterion] for key, by in reviews.verdicts.items() if criterion in by}
    twice = [key for key in said if len(said[key]) >= 2]
    raters = sorted({rater for key in twice for rater in said[key]})
    labels_RU = np.array(
        [[float(said[k][r].passed) if r in said[k] else math.nan for k in twice] for r in raters]
    ).reshape(len(raters), len(twice))
    boot = Bootstrap([reviews.items[key].task_id for key in twice], draws, seed)
    places = np.arange(len(twice), dtype=np.float64)

    def alpha(rows: Array) -> float:
        return krippendorff(labels_RU[:, rows.astype(np.intp)])

    pairs = combinations(range(len(raters)), 2)
    return {
        "items": len(said),
        "doubly": len(twice),
        "alpha": as_json(boot.estimate(alpha, [places], BOTH_SIGNS)),
        "agreement": as_json(boot.mean(_equal_pairs(labels_RU), SHARE)) if twice else None,
        "kappa": {
            f"{raters[a]}, {raters[b]}": as_json(
                boot.estimate(kappa, [labels_RU[a], labels_RU[b]], BOTH_SIGNS)
            )
            for a, b in pairs
        },
    }


def _equal_pairs(labels_RU: Array) -> Array:
    """Of each unit [U] the share of pairs of labels that are equal."""

    def share(column: Sequence[float]) -> float:
        pairs = [a == b for a, b in combinations([x for x in column if not math.isnan(x)], 2)]
        return sum(pairs) / len(pairs)

    return np.array([share(column) for column in labels_RU.T.tolist()])
