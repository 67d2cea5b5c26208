from __future__ import annotations

from dataclasses import replace

import pytest
from groups import task
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train.schedule import opened, stream, tasks_at

TASKS = [task(f"t{i}") for i in range(11)]


def ids(step: int, extra: int = 0, *, n: int = 11, per_step: int = 3, seed: int = 0) -> list[str]:
    return [t.id for t in tasks_at(TASKS[:n], per_step, seed, step, extra)]


def test_streams_are_pinned() -> None:
    """Equal on every machine: a change would break the resume of older runs."""
    assert stream(0, "step-3", "t1", 2, 0) == 15690166925511971698
    assert stream("a", "b") != stream("ab") != stream("b", "a")
    assert 0 <= stream("x") < 1 << 64


def test_an_epoch_visits_every_task_once() -> None:
    walk = [i for step in range(11) for i in ids(step)]
    for epoch in range(3):
        assert sorted(walk[epoch * 11 : (epoch + 1) * 11]) == sorted(t.id for t in TASKS)
    assert walk[:11] != walk[11:22]
    assert ids(4, seed=1) != ids(4)


@settings(max_examples=60, derandomize=True)
@given(st.integers(1, 11), st.integers(1, 4), st.integers(0, 30), st.integers(0, 3))
def test_refills_are_new_tasks(n: int, per_step: int, step: int, rounds: int) -> None:
    """Not of this step and not of an earlier refill of it: they would repeat the same random streams."""
    seen = set(ids(step, n=n, per_step=per_step))
    for extra in range(1, rounds + 1):
        more = ids(step, extra, n=n, per_step=per_step)
        assert more == ids(step, extra, n=n, per_step=per_step)
        assert len(more) == len(set(more)) <= per_step
        assert not seen & set(more)
        seen |= set(more)


@pytest.mark.parametrize(
    ("step", "levels"), [(0, "a"), (4, "a"), (5, "ab"), (9, "ab"), (10, "abc"), (14, "abc"), (99, "abc")]
)
def test_a_curriculum_opens_one_level_after_the_other(step: int, levels: str) -> None:
    tasks = [replace(t, tags={"level": "abc"[i % 3]}) for i, t in enumerate(TASKS)]
    found = opened(tasks, ("a", "none", "b", "c"), step, 15)
    assert {t.tags["level"] for t in found} == set(levels)
    assert found == [t for t in tasks if t.tags["level"] in levels]
