"""Each statistic against numbers worked out by hand or published."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.audit import agreement as a

NAN = math.nan


def array(*values: float) -> a.Array:
    return np.array(values, dtype=np.float64)


CONSTANT = array(2, 2, 2, 2)
RISING = array(1, 2, 3, 4)


class TestCorrelation:
    def test_pearson_by_hand(self) -> None:
        # dx = -2 -1 0 1 2, dy = -1.2 -2.2 0.8 1.8 0.8: sum of products 8, of squares 10 and 10.8
        assert a.pearson(array(1, 2, 3, 4, 5), array(2, 1, 4, 5, 4)) == pytest.approx(8 / math.sqrt(108))
        assert a.pearson(RISING, -RISING) == -1.0

    def test_ranks_share_ties(self) -> None:
        assert a.ranks(array(10, 20, 20, 5, 20)).tolist() == [2, 4, 4, 1, 4]

    def test_spearman_published(self) -> None:
        """The worked example of the encyclopedias: IQ and hours of television, rho = -29 / 165."""
        iq = array(106, 100, 86, 101, 99, 103, 97, 113, 112, 110)
        hours = array(7, 27, 2, 50, 28, 29, 20, 12, 6, 17)
        assert a.spearman(iq, hours) == pytest.approx(-29 / 165)

    def test_spearman_with_ties_by_hand(self) -> None:
        # ranks 1.5 1.5 3 4 and 1 2 3 4: covariance 4.5, variances 4.5 and 5
        assert a.spearman(array(1, 1, 2, 3), RISING) == pytest.approx(4.5 / math.sqrt(22.5))

    def test_spearman_sees_order_alone(self) -> None:
        assert a.spearman(RISING, np.exp(RISING)) == pytest.approx(1.0)

    def test_partial_by_hand(self) -> None:
        # ranks 1 2 3 4, 2 1 4 3 and 1 3 2 4: rho_xy 0.6, rho_xz 0.8, rho_yz 0
        x, y, z = array(1, 2, 3, 4), array(2, 1, 4, 3), array(1, 3, 2, 4)
        assert (a.spearman(x, y), a.spearman(x, z), a.spearman(y, z)) == pytest.approx((0.6, 0.8, 0.0))
        assert a.partial_spearman(x, y, z) == pytest.approx(0.6 / math.sqrt(0.36))

    @pytest.mark.parametrize("measure", [a.pearson, a.spearman])
    def test_without_contrast_nothing_is_known(self, measure: Callable[[a.Array, a.Array], float]) -> None:
        for x, y in ((CONSTANT, RISING), (RISING, CONSTANT), (array(1, 2), array(3, 1)), (array(), array())):
            assert math.isnan(measure(x, y))
        assert math.isnan(a.partial_spearman(RISING, RISING, CONSTANT))
        assert math.isnan(a.partial_spearman(RISING, array(1, 3, 2, 4), RISING))

    def test_equal_values_that_are_no_round_number_are_constant(self) -> None:
        assert math.isnan(a.pearson(np.full(7, 0.1), np.arange(7.0)))

    @settings(max_examples=50, derandomize=True)
    @given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=20))
    def test_properties(self, rows: list[tuple[int, int]]) -> None:
        """Symmetric, within [-1, 1], unchanged by scale and shift, turned by a sign."""
        x, y = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
        for measure in (a.pearson, a.spearman):
            found = measure(x, y)
            assert math.isnan(found) or -1 <= found <= 1
            assert measure(y, x) == pytest.approx(found, nan_ok=True)
            assert measure(3 * x + 2, y) == pytest.approx(found, nan_ok=True)
            assert measure(-x, y) == pytest.approx(-found, nan_ok=True)


class TestAuroc:
    def test_by_hand(self) -> None:
        # positives 0.8 0.4, others 0.4 0.1 0.6: pairs won 1 1 1 and 0.5 1 0 of 6
        assert a.auroc(array(0.8, 0.4, 0.4, 0.1, 0.6), array(1, 1, 0, 0, 0)) == pytest.approx(4.5 / 6)
        assert a.auroc(RISING, array(0, 0, 1, 1)) == 1.0
        assert a.auroc(CONSTANT, array(0, 1, 0, 1)) == 0.5  # a judge that says one thing knows nothing

    def test_one_class_alone(self) -> None:
        for positive in (np.zeros(4), np.ones(4)):
            assert math.isnan(a.auroc(RISING, positive))
        assert math.isnan(a.auroc(array(), array()))

    @settings(max_examples=50, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=20))
    def test_is_the_share_of_pairs_won(self, rows: list[tuple[int, bool]]) -> None:
        up = [x for x, p in rows if p]
        down = [x for x, p in rows if not p]
        found = a.auroc(array(*(x for x, _ in rows)), array(*(p for _, p in rows)))
        if not up or not down:
            assert math.isnan(found)
        else:
            won = sum((u > d) + 0.5 * (u == d) for u in up for d in down)
            assert found == pytest.approx(won / (len(up) * len(down)))


class TestKappa:
    def test_published(self) -> None:
        """The textbook table: both yes 20, only the first 5, only the second 10, both no 15: kappa 0.4."""
        first = array(*[1] * 25, *[0] * 25)
        second = array(*[1] * 20, *[0] * 5, *[1] * 10, *[0] * 15)
        assert a.kappa(first, second) == pytest.approx(0.4)

    def test_three_categories_by_hand(self) -> None:
        # seen 4 / 6; chance (2 * 2 + 2 * 3 + 2 * 1) / 36 = 1 / 3
        assert a.kappa(array(0, 0, 1, 1, 2, 2), array(0, 0, 1, 1, 1, 2)) == pytest.approx(
            (5 / 6 - 1 / 3) / (2 / 3)
        )

    def test_less_than_chance_is_negative(self) -> None:
        assert a.kappa(array(0, 1, 0, 1), array(1, 0, 1, 0)) == -1.0

    def test_a_rater_who_says_one_thing(self) -> None:
        for x, y in ((np.zeros(4), array(0, 1, 0, 1)), (np.ones(4), np.ones(4)), (array(), array())):
            assert math.isnan(a.kappa(x, y))


class TestKrippendorff:
    def test_two_observers_binary_published(self) -> None:  # Krippendorff 2011, section A: alpha 0.095
        meg = array(0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
        owen = array(1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
        assert round(a.krippendorff(np.stack([meg, owen])), 3) == 0.095

    def test_any_observers_with_gaps_published(self) -> None:  # Krippendorff 2011, section C: alpha 0.743
        values = np.array(
            [
                [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
                [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
                [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
                [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
            ]
        )
        assert round(a.krippendorff(values), 3) == 0.743

    def test_nothing_to_compare(self) -> None:
        assert math.isnan(a.krippendorff(np.array([[1.0, NAN], [NAN, 0.0]])))  # no unit seen twice
        assert math.isnan(a.krippendorff(np.ones((2, 5))))  # nobody ever said otherwise
        assert math.isnan(a.krippendorff(np.zeros((0, 0))))

    def test_agreement_is_one(self) -> None:
        assert a.krippendorff(np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])) == 1.0


class TestThreshold:
    def test_rates_published(self) -> None:
        """The textbook screening test: 20 of 30 ill found, 1820 of 2000 healthy let go."""
        positive = np.arange(2030) < 30
        flagged = np.r_[np.arange(30) < 20, np.arange(2000) < 180]
        found = a.rates(flagged, positive)
        assert (found.sensitivity, found.specificity) == pytest.approx((20 / 30, 0.91))

    def test_a_kind_that_is_absent(self) -> None:
        none = np.zeros(3, dtype=bool)
        assert math.isnan(a.rates(none, none).sensitivity) and a.rates(none, none).specificity == 1.0
        assert math.isnan(a.rates(none, ~none).specificity) and a.rates(none, ~none).sensitivity == 0.0

    def test_best_threshold_by_hand(self) -> None:
        score, bad = array(0.1, 0.2, 0.5, 0.6, 0.9), np.array([True, True, False, True, False])
        # below 0.35: 2 of 3 found, 2 of 2 spared; below 0.75: 3 of 3 and 1 of 2: the first is better
        assert a.best_threshold(score, bad) == pytest.approx(0.35)

    def test_no_threshold_without_contrast(self) -> None:
        yes = np.ones(4, dtype=bool)
        for score, bad in ((RISING, yes), (RISING, ~yes), (CONSTANT, np.array([True, False] * 2))):
            assert math.isnan(a.best_threshold(score, bad))
