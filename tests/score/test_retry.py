"""Unscored rollouts are asked again, a bounded number of times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

import attempts
from fivestones.score.retry import retrying
from fivestones.types import Message, Rollout, Score, Task

TASK = Task(id="1", prompt=(Message("user", "x"),), reference={}, cluster="1")


rollout = partial(attempts.rollout, TASK)


class Flaky:
    """Answers the nth call with the nth row of rewards; None: the judge failed."""

    def __init__(self, *rewards: Sequence[float | None]) -> None:
        self.rewards = list(rewards)
        self.asked: list[list[str]] = []

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        self.asked.append([r.answer for r in rollouts])
        row = self.rewards[len(self.asked) - 1]
        return [Score(reward=r, unscored={} if r is not None else {"note": "timeout"}) for r in row]


GROUP = [rollout("a"), rollout("b"), rollout("c")]


def rewards(flaky: Flaky, retries: int) -> list[float | None]:
    return [s.reward for s in retrying(flaky, [0.0] * retries)(TASK, GROUP)]


def test_what_was_unscored_is_asked_again_and_what_was_known_stays() -> None:
    flaky = Flaky([1.0, None, 3.0], [9.0, 2.0, None])
    assert rewards(flaky, 1) == [1.0, 2.0, 3.0]
    assert flaky.asked == [["a", "b", "c"]] * 2  # a whole group at a time


def test_a_complete_group_is_asked_once() -> None:
    flaky = Flaky([1.0, 0.0, 3.0])
    assert rewards(flaky, 5) == [1.0, 0.0, 3.0]
    assert len(flaky.asked) == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_retries_are_bounded(retries: int) -> None:
    flaky = Flaky(*[[1.0, None, None]] * 9)
    assert rewards(flaky, retries) == [1.0, None, None]
    assert len(flaky.asked) == 1 + retries


def test_each_retry_may_add_something() -> None:
    assert rewards(Flaky([None, None, 1.0], [None, 2.0, None], [4.0, None, None]), 2) == [4.0, 2.0, 1.0]


@pytest.mark.parametrize(("answers", "waited"), [(1, []), (2, [1.0]), (3, [1.0, 5.0]), (9, [1.0, 5.0])])
def test_a_judge_gets_time_to_recover_between_retries(answers: int, waited: list[float]) -> None:
    slept: list[float] = []
    flaky = Flaky(*[[None, 1.0, 1.0]] * (answers - 1), [1.0] * 3)
    retrying(flaky, [1.0, 5.0], slept.append)(TASK, GROUP)
    assert slept == waited


def test_without_a_wait_nothing_sleeps() -> None:
    slept: list[float] = []
    retrying(Flaky([None] * 3, [1.0] * 3), [0.0], slept.append)(TASK, GROUP)
    assert slept == []
