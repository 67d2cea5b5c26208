"""The statistics of an evaluation: pure functions over numpy arrays, every result with its interval.

Shapes: N rows (tasks), K columns (metrics), C clusters, D bootstrap draws. NaN is an unknown value: it is
left out and never counted as zero. Intervals are 95%. Clusters (a condition, a company) are what was sampled;
rows of one cluster are alike, so it is clusters that are resampled (Field and Welsh, 2007, "Bootstrapping
clustered data"; Miller, 2024, "Adding error bars to evals"). A percentile interval of few clusters is too
narrow: its percentiles are moved out as Student's t asks (Hesterberg, 2015, "What teachers should know about
the bootstrap"). Of fewer than six clusters no interval can hold 95%: they get no verdict.

Where all known values are equal every draw is the same, and the bootstrap would claim certainty. There the
interval is that of "nothing was seen in C trials" (Hanley and Lippman-Hand, 1983, "If nothing goes wrong, is
everything all right?", the rule of three; here two-sided, by Wilson's score interval): a share of clusters up
to z^2 / (C + z^2) may be otherwise, by as far as the bounds of the metric allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fivestones.types import Estimate

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Bounds = tuple[float, float]  # the least and the greatest possible value
Judgement = Literal["superior", "non-inferior", "inferior", "unclear"]

Z95 = 1.959963984540054  # 97.5% quantile of the standard normal
MIN_CLUSTERS = 6  # all on one side of the truth by chance: 2 * 0.5**6 is the first below 5%
EQUAL = 1e-9  # values closer than this are equal
CHUNK = 4_000_000  # cluster weights held at once: 32 MB


def clustered_means(
    values: Array, clusters: Sequence[str], bounds: Sequence[Bounds], draws: int, rng: np.random.Generator
) -> list[Estimate | None]:
    """Mean over the known values of each column [N, K], bootstrap over clusters. None: nothing is known.

    bounds: of the values of each column [K]. There is no interval (`low` and `high` are NaN) with fewer than
    two clusters, and for equal values without bounds.
    """
    if len(bounds) != values.shape[1]:
        raise ValueError(f"{values.shape[1]} columns but {len(bounds)} bounds")
    index, size = _index(clusters, len(values))
    known = ~np.isnan(values)
    sums_CK = _by_cluster(np.where(known, values, 0.0), index, size)
    counts_CK = _by_cluster(known.astype(np.float64), index, size)
    both = np.hstack([sums_CK, counts_CK])
    k = values.shape[1]
    totals_D2K = np.concatenate([np.zeros((0, 2 * k)), *(w @ both for w in _weights(size, draws, rng))])
    with np.errstate(invalid="ignore", divide="ignore"):
        means_DK = totals_D2K[:, :k] / totals_D2K[:, k:]  # NaN where a draw holds no known value
    out: list[Estimate | None] = []
    for j in range(k):
        n = int(known[:, j].sum())
        if n == 0:
            out.append(None)
            continue
        with_values = int((counts_CK[:, j] > 0).sum())
        mean = float(sums_CK[:, j].sum() / n)
        if with_values < 2:
            low, high = math.nan, math.nan
        elif float(np.ptp(values[known[:, j], j])) <= EQUAL:
            low, high = _of_equal(mean, bounds[j], with_values)
        else:
            low, high = _tails(means_DK[:, j], with_values)
        out.append(Estimate(mean=mean, low=low, high=high, n=n, clusters=with_values))
    return out


def wilson(k: int, n: int) -> Estimate:
    """Share k of n independent rows with the score interval (Wilson, 1927): honest near 0 and 1, unlike the
    normal one."""
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"share of {k} in {n}: give 0 <= k <= n and n > 0")
    share, z2 = k / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if k == 0 else max(0.0, centre - half)  # exact at the ends, where rounding would miss by 1e-17
    high = 1.0 if k == n else min(1.0, centre + half)
    return Estimate(mean=share, low=low, high=high, n=n, clusters=n)


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p of b against c discordant pairs (McNemar, 1947): would a fair coin split them so?"""
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts {b} and {c}: both must be at least 0")
    n, term, tail = b + c, 1, 0
    for i in range(min(b, c) + 1):
        tail += term
        term = term * (n - i) // (i + 1)  # next binomial coefficient, in whole numbers
    return min(1.0, 2 * tail / (1 << n))


def holm(ps: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values, in the order given (Holm, 1979)."""
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = worst
    return adjusted


def verdict(estimate: Estimate, margin: float) -> Judgement:
    """What the interval of a difference says, given the margin (>= 0) declared before the run."""
    if margin < 0:
        raise ValueError(f"margin {margin}: must be at least 0")
    if estimate.clusters < MIN_CLUSTERS:
        return "unclear"
    if estimate.low > 0:
        return "superior"
    if estimate.low > -margin:
        return "non-inferior"
    return "inferior" if estimate.high < 0 else "unclear"  # NaN ends compare false: unclear


def _weights(size: int, draws: int, rng: np.random.Generator) -> Iterator[Array]:
    """How often each of the clusters is drawn: multinomial weights [d, C], `draws` rows in all, in chunks."""
    if draws < 1:
        raise ValueError(f"draws {draws}: must be at least 1")
    if size == 0:
        return
    step = max(1, CHUNK // size)
    for start in range(0, draws, step):
        d = min(step, draws - start)
        picks = rng.integers(0, size, size=(d, size)) + np.arange(d)[:, None] * size
        yield np.bincount(picks.ravel(), minlength=d * size).reshape(d, size).astype(np.float64)


def _index(clusters: Sequence[str], rows: int) -> tuple[Indices, int]:
    """Cluster number of each row [N], and how many; sorted, so that row order does not matter."""
    if len(clusters) != rows:
        raise ValueError(f"{rows} values but {len(clusters)} clusters")
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return index.reshape(-1), len(names)


def _by_cluster(values: Array, index: Indices, size: int) -> Array:
    """Sums of the rows [N, K] of each cluster: [C, K]."""
    columns = [np.bincount(index, weights=column, minlength=size) for column in values.T]
    return np.column_stack(columns) if columns else np.zeros((size, 0))


def _tails(draws: Array, clusters: int) -> tuple[float, float]:
    """The ends of the interval: percentiles of the draws [D]; a draw without a known value is NaN."""
    tail = 100 * expanded_tail(clusters)
    low, high = np.nanpercentile(draws, (tail, 100 - tail))
    return float(low), float(high)


def _of_equal(value: float, bounds: Bounds, clusters: int) -> tuple[float, float]:
    """The interval of a mean when all that was seen is one value."""
    share = wilson(0, clusters).high
    low = value - share * max(0.0, value - bounds[0])
    high = value + share * max(0.0, bounds[1] - value)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)


def expanded_tail(clusters: int) -> float:
    """Share of bootstrap draws beyond each end: 2.5% of many clusters, less of few.

    The spread of bootstrap means is too small by sqrt((C - 1) / C), and normal where Student's t is due;
    its quantile by the series in Abramowitz and Stegun, 26.7.5, good to 0.2% from five degrees of freedom.
    """
    f, z = max(clusters - 1, 1), Z95
    t = z + (z**3 + z) / (4 * f) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    return math.erfc(t * math.sqrt(1 + 1 / f) / math.sqrt(2)) / 2
