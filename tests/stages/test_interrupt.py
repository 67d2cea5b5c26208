"""Ctrl-C waits for the end of an update, and what was learned is saved."""

from __future__ import annotations

import signal
import threading

import pytest

from fivestones.errors import JudgePausedError, ModelError
from fivestones.stages.interrupt import WholeSteps


class Saved:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_between_steps_ctrl_c_ends_the_block_and_saves() -> None:
    saved, done = Saved(), []
    whole = WholeSteps(saved)
    with pytest.raises(KeyboardInterrupt), whole, whole.between():
        ctrl_c()
        done.append("the rest of the block")
    assert (saved.times, done) == (1, [])


def test_in_an_update_it_waits_for_the_next_pause() -> None:
    saved, done = Saved(), []
    whole = WholeSteps(saved)
    with pytest.raises(KeyboardInterrupt), whole:
        ctrl_c()
        done.append("update")
        assert saved.times == 0
        with whole.between():
            done.append("rollouts")
    assert (saved.times, done) == (1, ["update"])


def test_after_the_last_update_it_waits_for_the_end() -> None:
    saved, done = Saved(), []
    with pytest.raises(KeyboardInterrupt), WholeSteps(saved):
        ctrl_c()
        done.append("update")
    assert (saved.times, done) == (0, ["update"])  # the last step has saved


def test_a_second_one_does_not_wait_and_saves_no_half_update() -> None:
    saved = Saved()
    with pytest.raises(KeyboardInterrupt), WholeSteps(saved):
        ctrl_c()
        ctrl_c()
        raise AssertionError("went on")
    assert saved.times == 0


def test_it_does_not_interrupt_the_saving() -> None:
    done = []

    def save() -> None:
        ctrl_c()
        done.append("saved")

    whole = WholeSteps(save)
    with pytest.raises(KeyboardInterrupt), whole, whole.between():
        ctrl_c()
    assert done == ["saved"]


def test_a_pause_of_the_judge_saves_and_a_bug_does_not() -> None:
    for error, times in ((JudgePausedError("paused"), 1), (ZeroDivisionError("bug"), 0)):
        saved = Saved()
        whole = WholeSteps(saved)
        with pytest.raises(type(error)), whole, whole.between():
            raise error
        assert saved.times == times


def test_a_refused_step_saves_the_ones_before() -> None:
    for error, times in ((ModelError("the gradient is not finite"), 1), (ZeroDivisionError("bug"), 0)):
        saved = Saved()
        with pytest.raises(type(error)), WholeSteps(saved):
            raise error
        assert saved.times == times


def test_it_leaves_the_handler_as_it_was_and_works_in_any_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    with WholeSteps(Saved()):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
    told: list[str] = []

    def elsewhere() -> None:
        whole = WholeSteps(Saved())
        with whole, whole.between():
            told.append("ran")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert told == ["ran"]
