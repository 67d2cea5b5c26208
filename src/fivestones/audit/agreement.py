"""How well two series agree: pure functions over numpy arrays. NaN says that nothing can be said.

Shapes: N rows, R raters, U units. All take known values only. A series without contrast (one value, or fewer
than three rows) has no correlation, and a rater who always says the same no kappa: chance alone would explain
it, so that the answer is unknown and not 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

UNKNOWN = float("nan")
FEWEST = 3  # two points lie on a line whatever they say


def pearson(x: Array, y: Array) -> float:
    """Product-moment correlation of x [N] and y [N]."""
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return UNKNOWN
    dx, dy = x - x.mean(), y - y.mean()
    size = float(np.sqrt((dx @ dx) * (dy @ dy)))
    return UNKNOWN if size == 0 else float(np.clip(dx @ dy / size, -1.0, 1.0))


def ranks(x: Array) -> Array:
    """Ranks from 1 [N]; ties get the mean of theirs (midranks)."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    out: Array = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return out


def spearman(x: Array, y: Array) -> float:
    """Rank correlation (Spearman, 1904): Pearson's of the midranks."""
    return pearson(ranks(x), ranks(y)) if len(x) else UNKNOWN


def partial_spearman(x: Array, y: Array, z: Array) -> float:
    """Rank correlation of x and y [N] that z [N] does not explain (first-order partial correlation)."""
    xy, xz, yz = spearman(x, y), spearman(x, z), spearman(y, z)
    rest = (1 - xz**2) * (1 - yz**2)
    return float(np.clip((xy - xz * yz) / np.sqrt(rest), -1.0, 1.0)) if rest > 1e-12 else UNKNOWN


def auroc(x: Array, positive: Array) -> float:
    """Chance that a positive row has the higher x [N]; ties count half (Mann and Whitney, 1947).

    positive [N]: not 0 where the row is positive.
    """
    up = positive != 0
    with_it, without = int(up.sum()), int((~up).sum())
    if not with_it or not without:
        return UNKNOWN
    return float((ranks(x)[up].sum() - with_it * (with_it + 1) / 2) / (with_it * without))


def kappa(a: Array, b: Array) -> float:
    """Agreement of two raters in categories a [N] and b [N] beyond chance (Cohen, 1960)."""
    if len(a) == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return UNKNOWN
    names = np.unique(np.concatenate([a, b]))
    seen = float((a == b).mean())
    chance = float(sum((a == name).mean() * (b == name).mean() for name in names))
    return (seen - chance) / (1 - chance)


def krippendorff(values: Array) -> float:
    """Alpha for categories: agreement of any number of raters who need not all have seen all units.

    values [R, U], NaN where a rater did not see the unit. 1 - observed / expected disagreement over all
    pairs within a unit, each unit weighing as its number of values (Krippendorff, 2011, "Computing
    Krippendorff's alpha-reliability", nominal metric). Unknown without a unit seen twice, or when all those
    values are equal.
    """
    known = ~np.isnan(values)
    paired = values[:, known.sum(axis=0) >= 2]
    names = np.unique(paired[~np.isnan(paired)])
    if len(names) < 2:
        return UNKNOWN
    counts_KU = np.stack([(paired == name).sum(axis=0) for name in names]).astype(np.float64)
    seen_U = counts_KU.sum(axis=0)
    totals_K = counts_KU.sum(axis=1)
    n = totals_K.sum()
    observed = float(((seen_U**2 - (counts_KU**2).sum(axis=0)) / (seen_U - 1)).sum()) / n
    expected = float(n**2 - (totals_K**2).sum()) / (n * (n - 1))
    return float(1 - observed / expected)


@dataclass(frozen=True, slots=True)
class Rates:
    """sensitivity: share of the positive rows that are flagged; specificity: of the others that are not."""

    sensitivity: float
    specificity: float


def rates(flagged: Flags, positive: Flags) -> Rates:
    """Of flags [N] against the truth [N]; NaN where there is no row of the kind."""
    return Rates(
        sensitivity=float(flagged[positive].mean()) if positive.any() else UNKNOWN,
        specificity=float((~flagged[~positive]).mean()) if (~positive).any() else UNKNOWN,
    )


def best_threshold(x: Array, positive: Flags) -> float:
    """Where to cut x [N] so that `x < threshold` flags the positive rows: the greatest sensitivity +
    specificity (Youden, 1950), half-way between two values; of equal ones the lowest, which flags least.
    """
    values = np.unique(x)
    if len(values) < 2 or not positive.any() or positive.all():
        return UNKNOWN
    cuts = (values[1:] + values[:-1]) / 2
    gains = [found.sensitivity + found.specificity for found in (rates(x < cut, positive) for cut in cuts)]
    return float(cuts[int(np.argmax(gains))])
