from __future__ import annotations

from dataclasses import replace

import groups
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.recipe import TrainPart
from fivestones.train.advantage import centered, scaled
from fivestones.train.gdpo import Array, Points, components, decoupled
from fivestones.train.samples import contrast, to_samples
from fivestones.types import Score

FLOOR = 1e-6


def group(*rollouts: tuple[float, ...]) -> Array:
    return np.array(rollouts, dtype=np.float64)


def test_golden_numbers_of_the_paper() -> None:
    """Two binary rewards, two rollouts: sums (0, 1) and (0, 2) collapse in GRPO and do not in GDPO."""
    one, two = group((0, 0), (0, 1)), group((0, 0), (1, 1))
    grpo = scaled([centered(g.sum(axis=1).tolist()) for g in (one, two)], "group_std", FLOOR)
    assert grpo[0] == pytest.approx([-1, 1]) and grpo[1] == pytest.approx([-1, 1])
    found = decoupled([one, two], (1, 1), FLOOR)
    # before the step's scale (-1, 1) and (-2, 2); the standard deviation of those four is sqrt(2.5)
    assert found[0] == pytest.approx([-0.6324555, 0.6324555], abs=1e-6)
    assert found[1] == pytest.approx([-1.2649111, 1.2649111], abs=1e-6)


def test_weights_and_a_component_without_contrast() -> None:
    # components: 0 1 1 -> -1.41 0.71 0.71; 1 1 1 -> 0; 0 0 1 -> -0.71 -0.71 1.41, of weight 2
    (found,) = decoupled([group((0, 1, 0), (1, 1, 0), (1, 1, 1))], (1, 9, 2), FLOOR)
    sums = np.array([-4, -1, 5]) / np.sqrt(2)
    assert found == pytest.approx(sums / sums.std(), abs=1e-9)


def test_one_component_is_grpo_with_the_deviation_of_the_step_on_top() -> None:
    groups = [group((0.0,), (1.0,), (1.0,)), group((0.2,), (0.9,))]
    found = decoupled(groups, (3.0,), FLOOR)
    each = scaled([centered(g[:, 0].tolist()) for g in groups], "group_std", FLOOR)
    assert np.concatenate(found) == pytest.approx(np.concatenate(each) / np.concatenate(each).std())


def test_the_floor_keeps_judge_noise_small() -> None:
    noisy, sharp = group((0.50,), (0.51,)), group((0.0,), (1.0,))
    found = decoupled([noisy, sharp], (1.0,), 0.1)
    assert abs(found[0][0]) < 0.1 * abs(found[1][0])
    (alone,) = decoupled([noisy], (1.0,), 0.1)
    assert np.abs(alone).max() == pytest.approx(0.5)  # 0.005 / 0.1 twice


def test_components_of_scores() -> None:
    """1 for the gates, then the criteria; a failed gate is 0 in all, a reported criterion is left out."""
    scores = [
        Score(reward=0.0, failed={"json": "not JSON"}),
        Score(reward=2.5, criteria={"S": 0.5, "O": 1.0, "S.rouge1": 0.9}),
    ]
    assert components(scores, Points(1.0, {"O": 2.0, "S": 1.0})).tolist() == [[0, 0, 0], [1, 1, 0.5]]


def test_nothing_to_learn_from() -> None:
    assert decoupled([], (1.0,), 0.1) == []
    (flat,) = decoupled([group((1, 0), (1, 0))], (1, 1), 0.1)
    assert flat.tolist() == [0.0, 0.0]


@settings(max_examples=50, derandomize=True)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6), min_size=1, max_size=4
    ),
    st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)),
)
def test_properties(rows: list[list[tuple[float, float]]], weights: tuple[float, float]) -> None:
    """Sizes stay, each group sums to zero, a shift of a component changes nothing, who is better in all
    components is ahead."""
    groups = [np.array(g) for g in rows]
    found = decoupled(groups, weights, 0.1)
    moved = decoupled([g + np.array([1.0, -2.0]) for g in groups], weights, 0.1)
    for g, a, b in zip(groups, found, moved, strict=True):
        assert a.shape == (len(g),) and np.isfinite(a).all()
        assert abs(a.sum()) < 1e-9
        assert a == pytest.approx(b, abs=1e-9)
        for i in range(len(g)):
            for j in range(len(g)):
                if (g[i] >= g[j]).all():
                    assert a[i] >= a[j] - 1e-9


def test_a_group_whose_sums_are_equal_has_contrast_in_its_components() -> None:
    """It would be dropped by its sum, and is what this scale is for."""
    points = Points(1.0, {"S": 2.0, "O": 2.0})
    scores = (
        Score(reward=3.0, criteria={"S": 1.0, "O": 0.0}),
        Score(reward=3.0, criteria={"S": 0.0, "O": 1.0}),
        Score(reward=3.0, criteria={"S": 0.5, "O": 0.5}),
    )
    g = groups.group("a", [3.0, 3.0, 3.0])
    g = replace(g, scores=scores)
    assert contrast(g) == 0.0
    assert contrast(g, points) == pytest.approx(2.0 * np.std([1.0, 0.0, 0.5]))
    part = TrainPart(scale="gdpo", length_penalty=0.0)
    assert len(to_samples([g], part, 100, points)) == 3
    flat = replace(g, scores=scores[2:] * 3)
    assert contrast(flat, points) == 0.0 and to_samples([flat], part, 100, points) == []
    assert contrast(replace(g, rollouts=(), scores=()), points) == 0.0
