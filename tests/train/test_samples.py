from __future__ import annotations

import pytest
from groups import group, rollout, score, task
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.recipe import TrainPart
from fivestones.train.samples import contrast, length_penalty, to_samples
from fivestones.types import Group

PLAIN = TrainPart(scale="none", length_penalty=0.0)


def test_length_penalty_golden() -> None:
    got = [length_penalty(n, 100, 0.9, 0.5) for n in (0, 90, 91, 95, 100, 130)]
    assert got == pytest.approx([0.0, 0.0, 0.05, 0.25, 0.5, 0.5], abs=1e-6)
    assert length_penalty(100, 100, 1.0, 0.5) == 0.0  # soft = 1: no ramp
    assert length_penalty(50, 100, 0.0, 0.5) == pytest.approx(0.25)


def test_advantages_are_spread_over_the_sampled_tokens() -> None:
    g = Group(
        task=task("a"),
        rollouts=(rollout("a", mask=[True, False, True]), rollout("a", tokens=2)),
        scores=(score(3.0), score(1.0)),
    )
    first, second = to_samples([g], PLAIN, 100)
    assert first.advantages == (1.0, 0.0, 1.0)
    assert second.advantages == (-1.0, -1.0)
    assert first.loss_mask == (True, False, True) and first.logprobs == (-0.5, 0.0, -0.5)
    assert first.prompt_ids == second.prompt_ids == (1, 2)


def test_what_failed_can_weigh_less() -> None:
    g = group("a", [3.0, 1.0, 2.0])
    tempered = to_samples([g], PLAIN.model_copy(update={"negative_weight": 0.25}), 100)
    assert [s.advantages[0] for s in tempered] == [1.0, -0.25, 0.0]
    without = PLAIN.model_copy(update={"negative_weight": 0.0})
    assert [s.advantages[0] for s in to_samples([g], without, 100)] == [1.0, 0.0]  # and no forward pass
    held = to_samples([g], without.model_copy(update={"kl": 0.1}), 100)
    assert [s.advantages[0] for s in held] == [1.0, 0.0, 0.0]  # they are still held to the reference


def test_unscored_rollouts_leave_the_update_and_the_baseline() -> None:
    samples = to_samples([group("a", [3.0, None, 1.0])], PLAIN, 100)
    assert [s.advantages[0] for s in samples] == [1.0, -1.0]
    assert [s.completion_ids[0] for s in samples] == [0, 20]
    assert to_samples([group("a", [3.0, None])], PLAIN, 100) == []
    assert to_samples([group("a", [None, None])], PLAIN, 100) == []


def test_groups_without_contrast_are_dropped() -> None:
    groups = [group("flat", [2.0, 2.0]), group("sharp", [2.0, 0.0])]
    assert {s.task_id for s in to_samples(groups, PLAIN, 100)} == {"sharp"}
    noisy = PLAIN.model_copy(update={"min_contrast": 1.0})
    assert to_samples(groups, noisy, 100) == []  # not above the judge's noise


def test_the_dropped_do_not_change_the_scale() -> None:
    part = TrainPart(scale="batch_std", length_penalty=0.0)
    sharp = group("sharp", [2.0, 0.0])
    assert to_samples([group("flat", [2.0, 2.0]), sharp], part, 100) == to_samples([sharp], part, 100)


@settings(max_examples=50, derandomize=True)
@given(st.floats(0.01, 10), st.integers(2, 16))
def test_equal_rewards_have_no_contrast(reward: float, n: int) -> None:
    """np.std of equal numbers may be 1e-17."""
    assert contrast(group("a", [reward] * n)) == 0.0


def test_contrast() -> None:
    assert contrast(group("a", [0.0, 2.0])) == pytest.approx(1.0)
    assert contrast(group("a", [0.0, None, 2.0])) == pytest.approx(1.0)
    assert contrast(group("a", [1.0])) == 0.0


def test_the_length_penalty_is_part_of_the_advantage_not_of_the_contrast() -> None:
    part = TrainPart(scale="none", length_soft=0.5, length_penalty=1.0)
    samples = to_samples([group("a", [2.0, 0.0], tokens=[10, 5])], part, 10)
    assert [s.advantages[0] for s in samples] == pytest.approx([0.5, -0.5], abs=1e-6)
    assert to_samples([group("a", [2.0, 2.0], tokens=[10, 5])], part, 10) == []
