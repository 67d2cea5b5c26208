from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from attempts import rollout
from fivestones.rollout.overlap import Scoring
from fivestones.types import Message, Rollout, Score, Task

TASKS = [Task(id=i, prompt=(Message("user", i),), reference={}, cluster=i) for i in "ab"]


def length(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
    return [Score(reward=float(len(r.answer))) for r in rollouts]


def test_groups_keep_their_order_whatever_ends_first() -> None:
    told: list[int] = []
    texts = ["1", "22", "333", "4444"]
    with Scoring(length, TASKS, 2, told.append) as scoring:
        for place in (3, 0, 2, 1):
            scoring(place, rollout(TASKS[place // 2], texts[place]))
        groups = scoring.groups()
    assert [g.task.id for g in groups] == ["a", "b"]
    assert [[r.answer for r in g.rollouts] for g in groups] == [["1", "22"], ["333", "4444"]]
    assert [[s.reward for s in g.scores] for g in groups] == [[1, 2], [3, 4]]
    assert told == [1, 2, 3, 4]


def test_a_group_is_scored_while_others_are_generated() -> None:
    scored = threading.Event()

    def scorer(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        scored.set()
        return length(task, rollouts)

    with Scoring(scorer, TASKS, 1) as scoring:
        scoring(1, rollout(TASKS[1], "x"))
        assert scored.wait(10)  # the other rollout has not ended
        scoring(0, rollout(TASKS[0], "xx"))
        assert [g.scores[0].reward for g in scoring.groups()] == [2, 1]


def test_what_the_scorer_raises_is_raised() -> None:
    def broken(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        raise ValueError("no judge")

    with pytest.raises(ValueError, match="no judge"), Scoring(broken, TASKS[:1], 1) as scoring:
        scoring(0, rollout(TASKS[0], "x"))
        scoring.groups()


def test_what_waits_is_dropped_when_generation_fails() -> None:
    asked: list[str] = []
    go, begun = threading.Event(), threading.Event()

    def slow(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        asked.append(task.id)
        begun.set()
        go.wait(10)
        return length(task, rollouts)

    with pytest.raises(KeyboardInterrupt), Scoring(slow, TASKS, 1) as scoring:
        scoring(0, rollout(TASKS[0], "x"))
        assert begun.wait(10)
        scoring(1, rollout(TASKS[1], "x"))
        raise KeyboardInterrupt
    go.set()
    for thread in threading.enumerate():
        if thread.name == "scoring":
            thread.join(10)
    assert asked == ["a"]


def test_a_fault_of_the_scorer_is_heard_before_all_rollouts_have_ended() -> None:
    failed = threading.Event()

    def broken(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        failed.set()
        raise ValueError("no judge")

    with Scoring(broken, TASKS, 1) as scoring:
        scoring(0, rollout(TASKS[0], "x"))
        assert failed.wait(10)
        with pytest.raises(ValueError, match="no judge"):
            scoring._scores[0].exception(10)  # it has been told
            scoring(1, rollout(TASKS[1], "x"))


def test_a_judge_that_hangs_does_not_keep_the_process() -> None:
    program = """
import threading
from fivestones.rollout.overlap import Scoring
from fivestones.types import Message, Rollout, Task
asked = threading.Event()
def hanging(task, rollouts):
    asked.set()
    threading.Event().wait()
task = Task(id="a", prompt=(Message("user", "a"),), reference={}, cluster="a")
with Scoring(hanging, [task], 1) as scoring:
    scoring(0, None)
    assert asked.wait(10)
    raise KeyboardInterrupt
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert b"KeyboardInterrupt" in ended.stderr and ended.returncode != 0
