"""Intervals of any statistic, by drawing whole clusters (dialogues) with replacement.

Means go by `evaluate.statistics.clustered_means`; here is the same for statistics that are no means, with the
same widening for few clusters and the same rule where nothing varies. All statistics of one object see the
same draws, so that a difference of two of them is paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fivestones.evaluate.statistics import EQUAL, Array, Bounds, clustered_means, expanded_tail, wilson
from fivestones.types import Estimate

Measure = Callable[..., float]  # columns [N] -> a number, NaN where it is not defined
UNDEFINED = 0.1  # share of draws without the statistic, above which the rest would be a biased sample


class Bootstrap:
    """clusters [N]: of the rows of every column. draws: the more, the steadier the ends of the intervals."""

    def __init__(self, clusters: Sequence[str], draws: int, seed: int = 0) -> None:
        if draws < 1:
            raise ValueError(f"draws {draws}: must be at least 1")
        self.clusters = np.asarray(clusters, dtype=str)
        self._draws, self._seed = draws, seed
        self._drawn: dict[bytes, list[npt.NDArray[np.intp]]] = {}

    def estimate(self, measure: Measure, columns: Sequence[Array], bounds: Bounds) -> Estimate | None:
        """`measure` over the rows that all columns know; None where it is not defined.

        bounds: the least and the greatest value of the statistic. `low` and `high` are NaN with fewer than
        two clusters, or when more than a tenth of the draws leave the statistic undefined.
        """
        known = ~np.any([np.isnan(c) for c in columns], axis=0)
        kept = [c[known] for c in columns]
        value = measure(*kept)
        if math.isnan(value):
            return None
        names = self.clusters[known]
        size = len(np.unique(names))
        low, high = math.nan, math.nan
        if size >= 2:
            drawn = np.array([measure(*(c[rows] for c in kept)) for rows in self._rows(names)])
            if np.isnan(drawn).mean() <= UNDEFINED:
                low, high = _ends(value, drawn[~np.isnan(drawn)], bounds, size)
        return Estimate(mean=value, low=low, high=high, n=int(known.sum()), clusters=size)

    def mean(self, values: Array, bounds: Bounds) -> Estimate | None:
        """Of the known values [N]."""
        rng = np.random.default_rng(self._seed)
        names = self.clusters.tolist()
        return clustered_means(values.reshape(-1, 1), names, [bounds], self._draws, rng)[0]

    def _rows(self, names: npt.NDArray[np.str_]) -> list[npt.NDArray[np.intp]]:
        """The rows of each draw."""
        key = "\0".join(names.tolist()).encode()
        if key not in self._drawn:
            rng = np.random.default_rng(self._seed)
            members = [np.flatnonzero(names == name) for name in np.unique(names)]
            picks = rng.integers(len(members), size=(self._draws, len(members)))
            self._drawn[key] = [np.concatenate([members[i] for i in pick]) for pick in picks]
        return self._drawn[key]


def _ends(value: float, drawn: Array, bounds: Bounds, clusters: int) -> tuple[float, float]:
    if float(np.ptp(drawn)) > EQUAL:
        tail = 100 * expanded_tail(clusters)
        low, high = np.percentile(drawn, (tail, 100 - tail))
        return float(low), float(high)
    share = wilson(0, clusters).high  # of clusters that may be otherwise, though none was seen
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def as_json(found: Estimate | None) -> dict[str, Any] | None:
    """For a report; None (null) is what could not be measured."""
    if found is None:
        return None
    ends = {
        name: None if math.isnan(value) else value
        for name, value in (("low", found.low), ("high", found.high))
    }
    return {"value": found.mean, **ends, "n": found.n, "clusters": found.clusters}
