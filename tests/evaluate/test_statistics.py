from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.evaluate import statistics as s
from fivestones.types import Estimate


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


UNBOUNDED = (-math.inf, math.inf)


def mean_of(
    values: Sequence[float] | s.Array,
    clusters: Sequence[str],
    draws: int,
    rng: np.random.Generator,
    bounds: s.Bounds = UNBOUNDED,
) -> Estimate:
    column = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    (found,) = s.clustered_means(column, clusters, [bounds], draws, rng)
    assert found is not None
    return found


def estimate(low: float, high: float) -> Estimate:
    return Estimate(mean=(low + high) / 2, low=low, high=high, n=10, clusters=10)


class TestWilson:
    def test_the_published_compliance(self) -> None:
        found = s.wilson(4027, 4028)
        assert found.n == 4028
        assert round(100 * found.mean, 3) == 99.975
        assert round(100 * found.low, 2) == 99.86
        assert round(100 * found.high, 3) == 99.996

    def test_textbook_value(self) -> None:  # Newcombe 1998, table I: 81 of 263
        found = s.wilson(81, 263)
        assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)

    @settings(max_examples=50)
    @given(st.integers(1, 5000), st.data())
    def test_bounds_hold_the_share(self, n: int, data: st.DataObject) -> None:
        k = data.draw(st.integers(0, n))
        found, mirrored = s.wilson(k, n), s.wilson(n - k, n)
        assert 0 <= found.low <= found.mean <= found.high <= 1
        assert found.low == pytest.approx(1 - mirrored.high)

    @pytest.mark.parametrize(("k", "n"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
    def test_impossible_counts(self, k: int, n: int) -> None:
        with pytest.raises(ValueError, match="share"):
            s.wilson(k, n)


class TestClusteredMean:
    def test_interval_matches_the_normal_one_without_clustering(self) -> None:
        values = rng(1).normal(3.0, 1.0, size=800)
        found = mean_of(values, [str(i) for i in range(800)], 4000, rng())
        half = 1.96 * values.std() / math.sqrt(800)
        assert found.mean == pytest.approx(values.mean())
        assert found.low == pytest.approx(values.mean() - half, abs=0.01)
        assert found.high == pytest.approx(values.mean() + half, abs=0.01)

    def test_alike_rows_in_a_cluster_widen_the_interval(self) -> None:
        centres = np.repeat(rng(2).normal(size=40), 10)
        clustered = mean_of(centres, [str(i // 10) for i in range(400)], 2000, rng())
        apart = mean_of(centres, [str(i) for i in range(400)], 2000, rng())
        ratio = (clustered.high - clustered.low) / (apart.high - apart.low)
        assert ratio == pytest.approx(math.sqrt(10), rel=0.15)
        assert (clustered.n, clustered.clusters) == (400, 40)

    def test_covers_the_truth_about_as_often_as_it_says(self) -> None:
        hits = 0
        for seed in range(200):
            r = rng(seed)
            values = np.repeat(r.normal(size=60), 3) + r.normal(size=180)
            found = mean_of(values, [str(i // 3) for i in range(180)], 400, r)
            hits += found.low <= 0 <= found.high
        assert 180 <= hits <= 198

    def test_covers_the_truth_with_few_clusters_too(self) -> None:
        """The plain percentile interval of ten clusters holds the truth in 90% of cases."""
        hits = 0
        for seed in range(400):
            r = rng(seed)
            values = np.repeat(r.normal(size=10), 3)
            found = mean_of(values, [str(i // 3) for i in range(30)], 400, r)
            hits += found.low <= 0 <= found.high
        assert 0.93 <= hits / 400 <= 0.97

    def test_the_tails_are_those_of_hesterberg(self) -> None:  # with Student's t from a table
        for clusters, t in ((6, 2.5706), (11, 2.2281), (21, 2.0860), (61, 2.0003)):
            expected = math.erfc(t * math.sqrt(clusters / (clusters - 1)) / math.sqrt(2)) / 2
            assert s.expanded_tail(clusters) == pytest.approx(expected, rel=0.02)
        assert s.expanded_tail(10**6) == pytest.approx(0.025, rel=1e-4)

    def test_unknown_is_not_zero(self) -> None:
        found = mean_of([4.0, math.nan, 4.0], ["a", "b", "c"], 100, rng())
        assert (found.mean, found.n, found.clusters) == (4.0, 2, 2)

    def test_nothing_known(self) -> None:
        assert s.clustered_means(np.full((1, 1), np.nan), ["a"], [UNBOUNDED], 100, rng()) == [None]
        assert s.clustered_means(np.zeros((0, 1)), [], [UNBOUNDED], 100, rng()) == [None]

    def test_one_cluster_has_no_interval(self) -> None:
        found = mean_of([1.0, 2.0], ["a", "a"], 100, rng())
        assert found.mean == 1.5
        assert math.isnan(found.low) and math.isnan(found.high)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(ValueError, match="2 values but 1 clusters"):
            mean_of([1.0, 2.0], ["a"], 100, rng())
        with pytest.raises(ValueError, match="2 columns but 1 bounds"):
            s.clustered_means(np.zeros((3, 2)), list("abc"), [UNBOUNDED], 100, rng())

    def test_nothing_but_failures_is_no_certainty(self) -> None:
        clusters = [str(i % 40) for i in range(200)]
        found = mean_of([0.0] * 200, clusters, 100, rng(), (0.0, 5.0))
        assert (found.mean, found.low) == (0.0, 0.0)
        assert found.high == pytest.approx(5 * s.wilson(0, 40).high)  # of clusters: their rows are alike
        assert found.high == pytest.approx(5 * 3.84 / 43.84, abs=1e-3)
        best = mean_of([5.0] * 200, clusters, 100, rng(), (0.0, 5.0))
        assert best.low == pytest.approx(5 - found.high) and best.high == 5.0

    def test_nothing_but_ties_may_be_better_or_worse(self) -> None:
        found = mean_of([0.0] * 20, [str(i) for i in range(20)], 100, rng(), (-1.0, 1.0))
        assert found.low == -found.high < -0.1
        assert s.verdict(found, 0.1) == "unclear" and s.verdict(found, 0.2) == "non-inferior"

    def test_equal_values_without_bounds_have_no_interval(self) -> None:
        for bounds in (UNBOUNDED, (0.0, math.inf)):
            found = mean_of([7.0] * 20, [str(i) for i in range(20)], 100, rng(), bounds)
            assert found.mean == 7.0 and math.isnan(found.low) and math.isnan(found.high)

    def test_equal_values_and_one_other_go_by_the_bootstrap(self) -> None:
        values = [0.0] * 39 + [1.0]
        found = mean_of(values, [str(i) for i in range(40)], 2000, rng(), (0.0, 5.0))
        assert found.low == 0.0 and 0.05 < found.high < 0.15

    @settings(max_examples=25)
    @given(
        st.lists(st.tuples(st.floats(0, 5), st.integers(0, 5)), min_size=2, max_size=40),
        st.randoms(use_true_random=False),
    )
    def test_row_order_does_not_matter(self, rows: list[tuple[float, int]], random) -> None:  # type: ignore[no-untyped-def]
        shuffled = list(rows)
        random.shuffle(shuffled)
        a, b = (mean_of([v for v, _ in r], [str(c) for _, c in r], 50, rng()) for r in (rows, shuffled))
        assert np.allclose([a.mean, a.low, a.high], [b.mean, b.low, b.high], equal_nan=True)

    @settings(max_examples=25)
    @given(st.lists(st.integers(-100, 100), min_size=3, max_size=30), st.floats(-3, 3))
    def test_shift_moves_the_interval_with_it(self, whole: list[int], shift: float) -> None:
        values = [v / 100 for v in whole]
        clusters = [str(i % 7) for i in range(len(values))]
        a = mean_of(values, clusters, 60, rng())
        b = mean_of(np.array(values) + shift, clusters, 60, rng())
        assert np.allclose(
            [a.mean + shift, a.low + shift, a.high + shift], [b.mean, b.low, b.high], equal_nan=True
        )

    def test_columns_at_once_equal_one_at_a_time(self) -> None:
        values = rng(3).normal(size=(90, 2))
        clusters = [str(i % 30) for i in range(90)]
        both = s.clustered_means(values, clusters, [UNBOUNDED] * 2, 500, rng(9))
        assert both[1] == mean_of(values[:, 1], clusters, 500, rng(9))

    def test_the_full_holdout_in_seconds(self) -> None:
        values = rng(4).normal(size=(4028, 40))  # contestants x metrics and their pairs
        start = time.perf_counter()
        s.clustered_means(values, [str(i % 400) for i in range(4028)], [UNBOUNDED] * 40, 10_000, rng())
        assert time.perf_counter() - start < 15  # about 1 s on a free machine


class TestTests:
    def test_mcnemar_golden(self) -> None:
        assert s.mcnemar_exact(0, 5) == 0.0625
        assert s.mcnemar_exact(1, 9) == pytest.approx(22 / 1024)
        assert s.mcnemar_exact(0, 0) == 1.0
        assert s.mcnemar_exact(7, 7) == 1.0
        assert 0 <= s.mcnemar_exact(0, 4028) < 1e-300

    @settings(max_examples=30)
    @given(st.integers(0, 300), st.integers(0, 300))
    def test_mcnemar_is_symmetric_and_a_probability(self, b: int, c: int) -> None:
        assert s.mcnemar_exact(b, c) == s.mcnemar_exact(c, b)
        assert 0 < s.mcnemar_exact(b, c) <= 1

    def test_mcnemar_refuses_negative_counts(self) -> None:
        with pytest.raises(ValueError, match="at least 0"):
            s.mcnemar_exact(-1, 2)

    def test_holm_golden(self) -> None:
        assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert s.holm([]) == []

    @settings(max_examples=50)
    @given(st.lists(st.floats(0, 1), max_size=8))
    def test_holm_keeps_order_and_never_lowers(self, ps: list[float]) -> None:
        adjusted = s.holm(ps)
        assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
        by_p = [q for _, q in sorted(zip(ps, adjusted, strict=True))]
        assert by_p == sorted(by_p)

    @pytest.mark.parametrize(
        ("low", "high", "said"),
        [
            (0.01, 0.2, "superior"),
            (-0.05, 0.2, "non-inferior"),
            (-0.05, -0.01, "non-inferior"),
            (-0.3, 0.2, "unclear"),
            (-0.3, -0.2, "inferior"),
            (0.0, 0.2, "non-inferior"),
            (-0.1, 0.2, "unclear"),
            (math.nan, math.nan, "unclear"),
        ],
    )
    def test_verdict(self, low: float, high: float, said: str) -> None:
        assert s.verdict(estimate(low, high), 0.1) == said

    def test_no_verdict_of_fewer_than_six_clusters(self) -> None:
        few = Estimate(mean=0.2, low=0.1, high=0.3, n=50, clusters=5)
        assert s.verdict(few, 0.1) == "unclear"
        assert s.verdict(Estimate(mean=0.2, low=0.1, high=0.3, n=50, clusters=6), 0.1) == "superior"

    def test_verdict_refuses_a_negative_margin(self) -> None:
        with pytest.raises(ValueError, match="margin"):
            s.verdict(estimate(0, 1), -0.1)
