from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from groups import group, rollout, score, task

from fivestones.train.step_log import gate_rate
from fivestones.train.warmup import demonstration, imitate, imitation_batches, winners, with_examples
from fivestones.types import Group, Message, Sample

SAMPLES = [demonstration(f"t{i}", (1, i), (5, 6, 7)) for i in range(7)]


class Pupil:
    """Notes the rates and batches."""

    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.seen: list[tuple[float, Sequence[Sample]]] = []

    def imitate(self, samples: Sequence[Sample], lr: float) -> Mapping[str, float]:
        self.seen.append((lr, samples))
        return {"loss": 1.0}


def taught(step: int, batches: Any) -> tuple[Pupil, list[tuple[int, int]]]:
    pupil, told = Pupil(step), []
    imitate(pupil, batches, 0.9, lambda done, total, m: told.append((done, total)))  # type: ignore[arg-type]
    return pupil, told


def test_a_demonstration_trains_on_the_whole_answer() -> None:
    s = SAMPLES[3]
    assert s.loss_mask == (True,) * 3 and s.advantages == (1.0,) * 3 and s.prompt_ids == (1, 3)


def test_only_the_marked_part_of_a_rollout_is_imitated() -> None:
    s = demonstration("t", (1,), (5, 6, 7), (True, False, True))
    assert s.loss_mask == (True, False, True) and s.advantages == (1.0, 0.0, 1.0)


def test_batches_hold_every_sample_once_a_pass_and_are_repeatable() -> None:
    batches = imitation_batches(SAMPLES, 3, 4, seed=5)
    assert [len(b) for b in batches] == [4, 3] * 3
    passes = [[s.task_id for b in batches[i : i + 2] for s in b] for i in (0, 2, 4)]
    assert all(sorted(p) == sorted(s.task_id for s in SAMPLES) for p in passes)
    assert passes[0] != passes[1]
    assert batches == imitation_batches(SAMPLES, 3, 4, seed=5) != imitation_batches(SAMPLES, 3, 4, seed=6)
    assert imitation_batches([], 3, 4, seed=5) == []


def test_rates_rise_stay_and_fall() -> None:
    batches = imitation_batches(SAMPLES, 5, 4, seed=0)[:9]
    pupil, told = taught(0, batches)
    rates = [lr for lr, _ in pupil.seen]
    assert rates == pytest.approx([0.3, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.6, 0.3], abs=1e-6)
    assert told == [(i + 1, 9) for i in range(9)]


def test_a_resumed_warmup_goes_on_where_it_was() -> None:
    batches = imitation_batches(SAMPLES, 5, 4, seed=0)
    whole, _ = taught(0, batches)
    rest, _ = taught(4, batches)
    assert rest.seen == whole.seen[4:] and rest.step == len(batches)
    assert taught(len(batches), batches)[0].seen == []


EXAMPLE = (Message("user", "e2"), Message("assistant", "a2"))


def test_examples_are_earlier_turns() -> None:
    prompt = (Message("system", "s"), Message("user", "q"))
    got = with_examples(prompt, [[Message("user", "e1"), Message("assistant", "a1")], EXAMPLE])
    assert [(m.role, m.content) for m in got] == [
        ("system", "s"),
        ("user", "e1"),
        ("assistant", "a1"),
        ("user", "e2"),
        ("assistant", "a2"),
        ("user", "q"),
    ]
    assert with_examples(prompt, []) == prompt


def test_winners_pass_the_gates_and_are_the_best() -> None:
    failed = Group(
        task=task("f"), rollouts=(rollout("f"), rollout("f")), scores=(score(0.0, failed=True), score(None))
    )
    found = winners([group("a", [1.0, 3.0, None, 3.0]), failed, group("z", [0.0, 0.0])])
    assert [(t.id, r.completion_ids[0]) for t, r in found] == [("a", 10)]  # the first of equals


def test_gate_rate() -> None:
    g = Group(
        task=task("f"), rollouts=(rollout("f"), rollout("f")), scores=(score(0.0, failed=True), score(1.0))
    )
    assert gate_rate([g]) == 0.5
    assert gate_rate([]) == 0.0
