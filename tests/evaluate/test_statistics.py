from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.evaluate import statistics as s
from fivestones.types import Estimate


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
        found = s.clustered_mean(values, [str(i) for i in range(800)], 4000, rng())
        half = 1.96 * values.std() / math.sqrt(800)
        assert found.mean == pytest.approx(values.mean())
        assert found.low == pytest.approx(values.mean() - half, abs=0.01)
        assert found.high == pytest.approx(values.mean() + half, abs=0.01)

    def test_alike_rows_in_a_cluster_widen_the_interval(self) -> None:
        centres = np.repeat(rng(2).normal(size=40), 10)
        clustered = s.clustered_mean(centres, [str(i // 10) for i in range(400)], 2000, rng())
        apart = s.clustered_mean(centres, [str(i) for i in range(400)], 2000, rng())
        ratio = (clustered.high - clustered.low) / (apart.high - apart.low)
        assert ratio == pytest.approx(math.sqrt(10), rel=0.15)
        assert (clustered.n, clustered.clusters) == (400, 40)

    def test_covers_the_truth_about_as_often_as_it_says(self) -> None:
        hits = 0
        for seed in range(200):
            r = rng(seed)
            values = np.repeat(r.normal(size=60), 3) + r.normal(size=180)
            found = s.clustered_mean(values, [str(i // 3) for i in range(180)], 400, r)
            hits += found.low <= 0 <= found.high
        assert 180 <= hits <= 198

    def test_covers_the_truth_with_few_clusters_too(self) -> None:
        """The plain percentile interval of ten clusters holds the truth in 90% of cases."""
        hits = 0
        for seed in range(400):
            r = rng(seed)
            values = np.repeat(r.normal(size=10), 3)
            found = s.clustered_mean(values, [str(i // 3) for i in range(30)], 400, r)
            hits += found.low <= 0 <= found.high
        assert 0.93 <= hits / 400 <= 0.97

    def test_the_tails_are_those_of_hesterberg(self) -> None:  # with Student's t from a table
        for clusters, t in ((6, 2.5706), (11, 2.2281), (21, 2.0860), (61, 2.0003)):
            expected = math.erfc(t * math.sqrt(clusters / (clusters - 1)) / math.sqrt(2)) / 2
            assert s.expanded_tail(clusters) == pytest.approx(expected, rel=0.02)
        assert s.expanded_tail(10**6) == pytest.approx(0.025, rel=1e-4)

    def test_unknown_is_not_zero(self) -> None:
        found = s.clustered_mean([4.0, math.nan, 4.0], ["a", "b", "c"], 100, rng())
        assert (found.mean, found.n, found.clusters) == (4.0, 2, 2)

    def test_nothing_known(self) -> None:
        with pytest.raises(ValueError, match="no known value"):
            s.clustered_mean([math.nan], ["a"], 100, rng())
        with pytest.raises(ValueError, match="no known value"):
            s.clustered_mean([], [], 100, rng())

    def test_one_cluster_has_no_interval(self) -> None:
        found = s.clustered_mean([1.0, 2.0], ["a", "a"], 100, rng())
        assert found.mean == 1.5
        assert math.isnan(found.low) and math.isnan(found.high)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(ValueError, match="2 values but 1 clusters"):
            s.clustered_mean([1.0, 2.0], ["a"], 100, rng())

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0, 5), st.integers(0, 5)), min_size=2, max_size=40),
        st.randoms(use_true_random=False),
    )
    def test_row_order_does_not_matter(self, rows: list[tuple[float, int]], random) -> None:  # type: ignore[no-untyped-def]
        shuffled = list(rows)
        random.shuffle(shuffled)
        a, b = (
            s.clustered_mean([v for v, _ in r], [str(c) for _, c in r], 50, rng()) for r in (rows, shuffled)
        )
        assert np.allclose([a.mean, a.low, a.high], [b.mean, b.low, b.high], equal_nan=True)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.floats(-1, 1), min_size=3, max_size=30), st.floats(-3, 3))
    def test_shift_moves_the_interval_with_it(self, values: list[float], shift: float) -> None:
        clusters = [str(i % 7) for i in range(len(values))]
        a = s.clustered_mean(values, clusters, 60, rng())
        b = s.clustered_mean(np.array(values) + shift, clusters, 60, rng())
        assert np.allclose([a.mean + shift, a.low + shift, a.high + shift], [b.mean, b.low, b.high])

    def test_columns_at_once_equal_one_at_a_time(self) -> None:
        values = rng(3).normal(size=(90, 2))
        clusters = [str(i % 30) for i in range(90)]
        both = s.clustered_means(values, clusters, 500, rng(9))
        assert both[1] == s.clustered_mean(values[:, 1], clusters, 500, rng(9))

    def test_the_full_holdout_in_seconds(self) -> None:
        values = rng(4).normal(size=(4028, 40))  # contestants x metrics and their pairs
        start = time.perf_counter()
        s.clustered_means(values, [str(i % 400) for i in range(4028)], 10_000, rng())
        assert time.perf_counter() - start < 15  # about 1 s on a free machine


class TestPairedDifference:
    def test_pairing_removes_what_tasks_share(self) -> None:
        hardness = rng(5).normal(size=300)
        a, b = hardness + 0.1, hardness + 0.01 * rng(6).normal(size=300)
        found = s.paired_difference(a, b, [str(i) for i in range(300)], 1000, rng())
        assert 0.09 < found.low < 0.1 < found.high < 0.11

    def test_antisymmetric(self) -> None:
        a, b = rng(1).normal(size=50), rng(2).normal(size=50)
        clusters = [str(i % 10) for i in range(50)]
        ab = s.paired_difference(a, b, clusters, 500, rng())
        ba = s.paired_difference(b, a, clusters, 500, rng())
        assert np.allclose([ab.mean, ab.low, ab.high], [-ba.mean, -ba.high, -ba.low])

    def test_only_tasks_known_on_both_sides(self) -> None:
        found = s.paired_difference([1.0, math.nan, 3.0], [0.0, 0.0, math.nan], ["a", "b", "c"], 50, rng())
        assert (found.mean, found.n) == (1.0, 1)


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


class TestCorrelation:
    def test_pearson_equals_numpy(self) -> None:
        x = rng(1).normal(size=200)
        y = 0.5 * x + rng(2).normal(size=200)
        found = s.pearson(x, y, [str(i) for i in range(200)], 2000, rng())
        r = np.corrcoef(x, y)[0, 1]
        assert found.mean == pytest.approx(r)
        low, high = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / math.sqrt(197))  # Fisher's interval
        assert (found.low, found.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))

    def test_spearman_golden_with_ties(self) -> None:
        # middle ranks of x: 1, 2.5, 2.5, 4, 5; of y: 2, 1, 3, 4.5, 4.5
        found = s.spearman([1, 2, 2, 3, 4], [5, 3, 6, 8, 8], list("abcde"), 200, rng())
        expected = np.corrcoef([1, 2.5, 2.5, 4, 5], [2, 1, 3, 4.5, 4.5])[0, 1]
        assert found.mean == pytest.approx(expected)

    def test_spearman_sees_only_order(self) -> None:
        x = rng(3).normal(size=60)
        y = x + rng(4).normal(size=60)
        clusters = [str(i % 20) for i in range(60)]
        assert s.spearman(x, y, clusters, 300, rng()) == s.spearman(np.exp(x), y**3, clusters, 300, rng())

    def test_spearman_ranks_each_draw_anew(self) -> None:
        x, y = [1.0, 2.0, 2.0, 5.0], [1.0, 3.0, 2.0, 9.0]
        repeated = [0, 0, 1, 3]  # a draw, written out
        weights = np.array([[2.0, 1.0, 0.0, 1.0]])
        by_weight = s._rank_correlation(weights, np.array(x), np.array(y))[0]
        written_out = s.spearman([x[i] for i in repeated], [y[i] for i in repeated], list("abcd"), 10, rng())
        assert by_weight == pytest.approx(written_out.mean)

    def test_perfect_and_reversed(self) -> None:
        x = np.arange(30.0)
        clusters = [str(i) for i in range(30)]
        for f in (s.pearson, s.spearman):
            assert f(x, x, clusters, 100, rng()).low == pytest.approx(1.0)
            assert f(x, -x, clusters, 100, rng()).high == pytest.approx(-1.0)

    def test_clusters_widen(self) -> None:
        x = np.repeat(rng(1).normal(size=30), 8)
        y = np.repeat(rng(2).normal(size=30), 8)
        wide = s.pearson(x, y, [str(i // 8) for i in range(240)], 1000, rng())
        narrow = s.pearson(x, y, [str(i) for i in range(240)], 1000, rng())
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)

    def test_constant_side_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="constant"):
            s.pearson([1, 1, 1], [1, 2, 3], list("abc"), 10, rng())
        with pytest.raises(ValueError, match="constant"):
            s.spearman([1.0, math.nan], [1.0, 2.0], list("ab"), 10, rng())
