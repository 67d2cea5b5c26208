from __future__ import annotations

import math

import numpy as np
import pytest

from fivestones.audit.agreement import Array, auroc, pearson
from fivestones.audit.bootstrap import Bootstrap, as_json
from fivestones.evaluate.statistics import wilson
from fivestones.types import Estimate

BOTH = (-1.0, 1.0)


def boot(clusters: int, each: int = 1, draws: int = 500) -> Bootstrap:
    return Bootstrap([str(i // each) for i in range(clusters * each)], draws)


def correlated(n: int, rho: float, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)


def test_covers_the_true_correlation_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(120):
        x, y = correlated(60, 0.5, seed)
        found = boot(60, draws=200).estimate(pearson, [x, y], BOTH)
        assert found is not None
        hits += found.low <= 0.5 <= found.high
    assert 106 <= hits <= 120


def test_rows_of_one_dialogue_are_one_draw() -> None:
    x, y = correlated(20, 0.5, 1)
    apart = boot(20).estimate(pearson, [x, y], BOTH)
    copies = boot(20, 10).estimate(pearson, [np.repeat(x, 10), np.repeat(y, 10)], BOTH)
    assert apart is not None and copies is not None
    assert (copies.n, copies.clusters) == (200, 20)
    assert (copies.mean, copies.low, copies.high) == pytest.approx((apart.mean, apart.low, apart.high))


def test_differences_are_paired() -> None:
    """Two statistics of one object see the same draws: equal columns differ by 0 in each."""
    x, y = correlated(30, 0.3, 2)
    found = boot(30).estimate(lambda a, b, t: pearson(a, t) - pearson(b, t), [x, x, y], (-2.0, 2.0))
    assert found is not None and found.mean == 0.0
    one, two = (boot(30).estimate(pearson, [x, y], BOTH) for _ in range(2))
    assert one == two


def test_what_is_unknown_is_left_out() -> None:
    x, y = correlated(12, 0.5, 3)
    known = boot(12).estimate(pearson, [x, y], BOTH)
    holes = Bootstrap([*map(str, range(12)), "x", "y"], 500)
    both = [np.append(x, [math.nan, 5.0]), np.append(y, [5.0, math.nan])]
    assert holes.estimate(pearson, both, BOTH) == known


def test_a_constant_series_is_unknown_and_not_zero() -> None:
    assert boot(10).estimate(pearson, [np.ones(10), np.arange(10.0)], BOTH) is None
    assert boot(10).estimate(pearson, [np.full(10, math.nan), np.arange(10.0)], BOTH) is None
    assert boot(2).estimate(pearson, [np.arange(2.0), np.arange(2.0)], BOTH) is None  # two points


def test_perfect_agreement_is_no_certainty() -> None:
    x = np.arange(20.0)
    found = boot(20).estimate(pearson, [x, x], BOTH)
    assert found is not None and (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 2 * wilson(0, 20).high)


def test_no_interval_of_one_dialogue_or_of_a_statistic_that_most_draws_lack() -> None:
    x = np.arange(6.0)
    alone = Bootstrap(["a"] * 6, 100).estimate(pearson, [x, x], BOTH)
    assert alone is not None and alone.mean == 1.0 and math.isnan(alone.low)
    lone = boot(6).estimate(auroc, [x, np.array([0, 0, 0, 0, 0, 1.0])], (0.0, 1.0))
    assert lone is not None and lone.mean == 1.0 and math.isnan(lone.high)  # a third of draws lacks the one


def test_json_says_null() -> None:
    assert as_json(None) is None
    found = as_json(Estimate(mean=1.0, low=math.nan, high=math.nan, n=6, clusters=1))
    assert found == {"value": 1.0, "low": None, "high": None, "n": 6, "clusters": 1}


def test_draws_are_needed() -> None:
    with pytest.raises(ValueError, match="draws 0"):
        Bootstrap(["a"], 0)
