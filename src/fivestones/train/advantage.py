"""Advantages of a step's rewards. B groups of G rewards each; groups may differ in size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def centered(rewards: Sequence[float]) -> Array:
    """rewards [G] - their mean: the group-mean baseline (GRPO, arXiv 2402.03300)."""
    values = np.asarray(rewards, dtype=np.float64)
    out: Array = values - values.mean()
    return out


def scaled(
    groups: Sequence[Array], scale: Literal["batch_std", "group_std", "none"], floor: float
) -> list[Array]:
    """Centered groups divided by a standard deviation of at least `floor` (reward points).

    `batch_std` divides by one figure for the step: a group whose notes are nearly equal is not blown up to
    full size by its own judge noise, as `group_std` (the original GRPO) would (Dr. GRPO, arXiv 2503.20783,
    drops it).
    """
    if scale == "none" or not groups:
        return list(groups)
    if scale == "group_std":
        return [g / max(float(g.std()), floor) for g in groups]
    return [g / max(float(np.concatenate(groups).std()), floor) for g in groups]
