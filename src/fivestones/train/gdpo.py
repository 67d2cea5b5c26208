"""Advantages of several rewards, each normalised by itself (GDPO, arXiv 2601.05242).

A sum that is normalised gives rollouts of different merit the same advantage: in groups of two, (0, 1) and
(0, 2) criteria passed both become (-1, 1). Normalised one by one, the second is twice the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fivestones.types import Score

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """What a reward is made of."""

    gates: float  # for passing all of them
    criteria: Mapping[str, float]  # criterion -> the most it can earn


def components(scores: Sequence[Score], points: Points) -> Array:
    """The parts of the rewards of a group [G], in [0, 1]: [G, 1 + criteria], the gates first. A failed gate
    is a real 0 in all of them; no score may be unknown."""
    names = list(points.criteria)
    rows = [
        [0.0, *(0.0 for _ in names)] if s.failed else [1.0, *(s.criteria[n] for n in names)] for s in scores
    ]
    return np.array(rows, dtype=np.float64)


def decoupled(groups_GK: Sequence[Array], weights: Sequence[float], floor: float) -> list[Array]:
    """Rewards of each group [G, K], K components -> its advantages [G]; groups may differ in size.

    Within a group each component is centered and divided by its standard deviation, the components are summed
    with `weights` [K], and the step's sums are centered and divided by their standard deviation. A component
    without contrast gives 0. No deviation counts as less than `floor` (in units of a component, which is in
    [0, 1] before its weight): a group whose outputs are nearly equal is not blown up by its judge's noise.
    """
    sums = [_normalised(g, floor) @ np.asarray(weights, dtype=np.float64) for g in groups_GK]
    if not sums:
        return []
    step = np.concatenate(sums)
    return [(s - step.mean()) / max(float(step.std()), floor) for s in sums]


def _normalised(rewards_GK: Array, floor: float) -> Array:
    centered = rewards_GK - rewards_GK.mean(axis=0)
    out: Array = centered / np.maximum(rewards_GK.std(axis=0), floor)
    return out
