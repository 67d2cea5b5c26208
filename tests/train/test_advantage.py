from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train.advantage import centered, scaled

rewards = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


def test_golden_numbers() -> None:
    groups = [centered([0.0, 1.0, 1.0]), centered([3.0, 1.0])]
    assert groups[0] == pytest.approx([-2 / 3, 1 / 3, 1 / 3], abs=1e-12)
    std = (((4 + 1 + 1) / 9 + 2) / 5) ** 0.5
    batch = scaled(groups, "batch_std", 0.1)
    assert batch[0] == pytest.approx([-0.9128709, 0.4564355, 0.4564355], abs=1e-6)
    assert batch[1] == pytest.approx([1 / std, -1 / std], abs=1e-6)
    group = scaled(groups, "group_std", 0.1)
    assert group[0] == pytest.approx([-1.4142136, 0.7071068, 0.7071068], abs=1e-6)
    assert group[1] == pytest.approx([1.0, -1.0], abs=1e-6)
    assert [g.tolist() for g in scaled(groups, "none", 0.1)] == [g.tolist() for g in groups]


def test_the_floor_keeps_judge_noise_small() -> None:
    noisy = [centered([1.0, 1.01])]
    assert np.abs(scaled(noisy, "batch_std", 0.1)[0]).max() == pytest.approx(0.05)
    assert np.abs(scaled(noisy, "group_std", 0.1)[0]).max() == pytest.approx(0.05)


def test_a_flat_group_beside_a_contrasting_one_is_not_blown_up() -> None:
    flat, sharp = centered([1.0, 1.02]), centered([0.0, 2.0])
    assert abs(scaled([flat, sharp], "batch_std", 1e-3)[0][0]) < 0.02
    assert abs(scaled([flat, sharp], "group_std", 1e-3)[0][0]) == pytest.approx(1.0)


@settings(max_examples=50, derandomize=True)
@given(st.lists(rewards, min_size=0, max_size=4), st.sampled_from(["batch_std", "group_std", "none"]))
def test_properties(groups: list[list[float]], scale: str) -> None:
    """Sizes and order stay, each group sums to zero, a shift of the rewards changes nothing."""
    out = scaled([centered(g) for g in groups], scale, 0.1)  # type: ignore[arg-type]
    moved = scaled([centered([x + 5 for x in g]) for g in groups], scale, 0.1)  # type: ignore[arg-type]
    assert [len(g) for g in out] == [len(g) for g in groups]
    for g, m, r in zip(out, moved, groups, strict=True):
        assert abs(g.sum()) < 1e-9 * 100
        assert g == pytest.approx(m, abs=1e-9)
        assert np.isfinite(g).all()
        order = np.argsort(r, kind="stable")
        assert (np.diff(g[order]) >= -1e-12).all()
