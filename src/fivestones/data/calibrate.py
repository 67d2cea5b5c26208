"""At which cosine do two rows say the same? Measured on pairs of which it is known.

Positives: a row and its paraphrase (the same facts told in another style). Hard negatives: rows of one
condition with other facts. The rule: the threshold is the middle of the gap between the 99.9% quantile of the
hard negatives and the 1% quantile of the positives; across the splits it is stricter, a quarter of the gap
above the hard negatives. Where the two overlap, the threshold with the largest recall minus false-positive
rate, and 0.02 less across the splits.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fivestones.data.dedup import pair_cosines
from fivestones.data.embed import Vectors
from fivestones.errors import DataError

Cosines = npt.NDArray[np.float32]

RULE = (
    "middle of the gap between q99.9 of hard negatives and q1 of positives, a quarter of it across splits; "
    "without a gap: max recall minus false-positive rate, and 0.02 less across splits"
)
LOW_POSITIVE, HIGH_NEGATIVE = 0.01, 0.999  # quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Precision is at equal numbers of positives and negatives, so that it does not depend on how many were
    drawn.
    """

    within: float  # threshold
    across: float  # threshold between train and test
    gap: float  # negative: the two kinds overlap
    precision: float
    recall: float
    false_positive_rate: float
    false_positive_rate_across: float
    positives: int
    negatives: int
    positive_quantiles: dict[str, float]
    negative_quantiles: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def calibrate(positives: Cosines, negatives: Cosines) -> Calibration:
    """Thresholds from the cosines of known pairs. Raises DataError with fewer than 10 of either kind."""
    if min(len(positives), len(negatives)) < 10:
        raise DataError(
            f"calibration: {len(positives)} paraphrase pairs and {len(negatives)} same-condition pairs; "
            "at least 10 of each are needed"
        )
    low = float(np.quantile(positives, LOW_POSITIVE))
    high = float(np.quantile(negatives, HIGH_NEGATIVE))
    if low > high:
        within, across = (low + high) / 2, high + (low - high) / 4
    else:
        within = _best_split(positives, negatives)
        across = within - 0.02
    within, across = round(within, 4), round(across, 4)
    recall = float(np.mean(positives > within))
    false = float(np.mean(negatives > within))
    return Calibration(
        within=within,
        across=across,
        gap=round(low - high, 4),
        precision=round(recall / (recall + false), 5) if recall + false else 0.0,
        recall=round(recall, 5),
        false_positive_rate=round(false, 5),
        false_positive_rate_across=round(float(np.mean(negatives > across)), 5),
        positives=len(positives),
        negatives=len(negatives),
        positive_quantiles=quantiles(positives),
        negative_quantiles=quantiles(negatives),
    )


def quantiles(cosines: Cosines) -> dict[str, float]:
    """Minimum, 1, 10, 50, 90, 99, 99.9% and maximum, to 4 decimals; empty for nothing."""
    if not len(cosines):
        return {}
    at = {"min": 0.0, "q1": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99, "q99.9": 0.999, "max": 1.0}
    return {name: round(float(np.quantile(cosines, q)), 4) for name, q in at.items()}


def negative_pairs(
    vectors: Vectors, conditions: Sequence[str], facts: Sequence[str], *, most: int, seed: int
) -> Cosines:
    """Cosines of up to `most` seeded pairs of rows with one condition and different facts."""
    members: dict[str, list[int]] = defaultdict(list)
    for i, condition in enumerate(conditions):
        members[condition].append(i)
    rng = random.Random(seed)
    pairs: list[tuple[int, int]] = []
    groups = [rows for _, rows in sorted(members.items()) if len(rows) > 1]
    each = max(1, -(-most // max(1, len(groups))))  # evenly over the conditions
    for rows in groups:
        possible = len(rows) * (len(rows) - 1) // 2
        for _ in range(min(each, possible)):
            i, j = rng.sample(rows, 2)
            if facts[i] != facts[j]:
                pairs.append((i, j))
    pairs = sorted(set(pairs[:most]))
    return pair_cosines(vectors, [i for i, _ in pairs], [j for _, j in pairs])


def _best_split(positives: Cosines, negatives: Cosines) -> float:
    """The cosine with the largest recall minus false-positive rate (Youden 1950); the lowest of equals."""
    at = np.unique(np.concatenate([positives, negatives]))
    recall = 1 - np.searchsorted(np.sort(positives), at, side="right") / len(positives)
    false = 1 - np.searchsorted(np.sort(negatives), at, side="right") / len(negatives)
    return float(at[int(np.argmax(recall - false))])
