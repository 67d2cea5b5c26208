"""The loop with fakes, and a tiny model that learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groups import group, rollout, score, task

import tiny
from fivestones.recipe import Lora, ModelPart, TrainPart
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.train.grpo import train
from fivestones.train.policy import TorchPolicy
from fivestones.train.schedule import stream
from fivestones.types import Completion, Finish, Generation, Group, Rollout, Sample, Task


class FakePolicy:
    def __init__(self, step: int = 0) -> None:
        self.step = step
        self.updates: list[Sequence[Sample]] = []

    def update(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        self.updates.append(samples)
        self.step += 1
        return {"loss": float(len(samples))}

    def weights(self) -> Any:
        return f"weights-{self.step}"

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


class FakeSampler:
    def __init__(self) -> None:
        self.synced: list[tuple[Any, int]] = []

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        generation: Generation,
        seeds: Sequence[int],
        ended: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        raise AssertionError("the collector is scripted")

    def sync(self, weights: Any, version: int) -> None:
        self.synced.append((weights, version))


FLAT, SHARP = [1.0, 1.0], [0.0, 2.0]


def looped(
    rewards: Mapping[str, Sequence[float | None]], *, start: int = 0, **settings: Any
) -> tuple[FakePolicy, FakeSampler, list[tuple[int, list[str]]], list[tuple[int, int, float]]]:
    """Tasks of a step are s<step>-r<round>-<i>; rewards by name, contrasting unless given."""
    part = TrainPart(tasks_per_step=3, scale="none", length_penalty=0.0, **settings)
    policy, sampler = FakePolicy(start), FakeSampler()
    asked: list[tuple[int, list[str]]] = []
    told: list[tuple[int, int, float]] = []

    def collect(tasks: Sequence[Task], step: int) -> list[Group]:
        asked.append((step, [t.id for t in tasks]))
        return [group(t.id, rewards.get(t.id, SHARP)) for t in tasks]

    train(
        part,
        lambda step, extra: [task(f"s{step}-r{extra}-{i}") for i in range(3)],
        collect,
        policy,
        sampler,
        100,
        lambda step, groups, metrics: told.append((step, len(groups), metrics["loss"])),
    )
    return policy, sampler, asked, told


def test_each_step_syncs_rolls_out_and_updates() -> None:
    policy, sampler, asked, told = looped({}, steps=2)
    assert sampler.synced == [("weights-0", 0), ("weights-1", 1)]
    assert [step for step, _ in asked] == [0, 1]
    assert told == [(0, 3, 6.0), (1, 3, 6.0)]
    assert [s.advantages[0] for s in policy.updates[0]] == [-1.0, 1.0] * 3


def test_a_resumed_loop_starts_at_the_policys_step() -> None:
    _, sampler, asked, _ = looped({}, start=2, steps=4)
    assert [v for _, v in sampler.synced] == [2, 3] == [step for step, _ in asked]
    assert looped({}, start=4, steps=4)[0].updates == []


def test_groups_without_contrast_are_dropped_and_refilled() -> None:
    policy, _, asked, told = looped({"s0-r0-1": FLAT, "s0-r0-2": [None, 1.0]}, steps=1, refill=1)
    assert asked == [(0, ["s0-r0-0", "s0-r0-1", "s0-r0-2"]), (0, ["s0-r1-0", "s0-r1-1"])]
    assert told[0][1] == 5  # what was rolled out is told in full
    assert {s.task_id for s in policy.updates[0]} == {"s0-r0-0", "s0-r1-0", "s0-r1-1"}


def test_refilling_is_bounded() -> None:
    flat = {f"s0-r{r}-{i}": FLAT for r in range(9) for i in range(3)}
    policy, _, asked, _ = looped(flat, steps=1, refill=2)
    assert len(asked) == 3 and policy.updates == [[]]
    assert len(looped(flat, steps=1, refill=0)[2]) == 1


def test_a_look_comes_before_the_update_and_its_metrics_after() -> None:
    policy = FakePolicy()
    told: list[dict[str, float]] = []

    def look(step: int, groups: Sequence[Group]) -> Mapping[str, float]:
        assert policy.step == step
        return {"seen": float(len(groups))}

    train(
        TrainPart(tasks_per_step=3, scale="none", steps=2),
        lambda step, extra: [task(f"s{step}-{i}") for i in range(3)],
        lambda tasks, step: [group(t.id, SHARP) for t in tasks],
        policy,
        FakeSampler(),
        100,
        lambda step, groups, metrics: told.append(dict(metrics)),
        look=look,
    )
    assert told == [{"loss": 6.0, "seen": 3.0}] * 2


def test_unscored_rollouts_leave_the_update() -> None:
    policy, _, _, _ = looped({"s0-r0-0": [None, 0.0, 2.0]}, steps=1)
    first = [s for s in policy.updates[0] if s.task_id == "s0-r0-0"]
    assert [s.advantages[0] for s in first] == [-1.0, 1.0]


WANTED = 7


def learn(policy: TorchPolicy, part: TrainPart, temperature: float) -> list[float]:
    """Reward 1 for an answer that begins with the wanted token; the mean of each step."""
    sampler = NativeSampler(policy.model, tiny.tokenizer(), (), slots=32)
    prompts = {f"t{i}": (20 + i, 3, 4) for i in range(4)}
    curve: list[float] = []

    def collect(tasks: Sequence[Task], step: int) -> list[Group]:
        flat = [(t, m) for t in tasks for m in range(8)]
        done = sampler.generate(
            [prompts[t.id] for t, _ in flat],
            Generation(max_tokens=2, temperature=temperature),
            [stream(step, t.id, m) for t, m in flat],
        )
        finish: Finish = "stop"
        rolled = [
            Rollout(
                task_id=t.id,
                messages=rollout(t.id).messages,
                prompt_messages=1,
                prompt_ids=prompts[t.id],
                completion_ids=c.token_ids,
                loss_mask=(True,) * 2,
                logprobs=c.logprobs,
                finish=finish,
                policy_version=sampler.version,
            )
            for (t, _), c in zip(flat, done, strict=True)
        ]
        scores = [score(float(r.completion_ids[0] == WANTED)) for r in rolled]
        curve.append(float(np.mean([s.reward or 0.0 for s in scores])))
        return [
            Group(task=t, rollouts=tuple(rolled[8 * i : 8 * i + 8]), scores=tuple(scores[8 * i : 8 * i + 8]))
            for i, t in enumerate(tasks)
        ]

    mismatch: list[float] = []
    tasks = [task(name) for name in prompts]
    train(
        part,
        lambda step, extra: tasks,
        collect,
        policy,
        sampler,
        100,
        lambda s, g, m: mismatch.append(m.get("mismatch_k3", 0.0)),  # absent without contrast,
    )
    assert max(mismatch) < 1e-6  # on-policy: the sampler's log-probs are the trainer's
    return curve


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=8.0)], ids=["full", "lora"])
def test_a_tiny_model_learns_the_wanted_token(lora: Lora | None, temperature: float) -> None:
    part = TrainPart(steps=30, tasks_per_step=4, lr=0.03 if lora else 0.01, refill=0, length_penalty=0.0)
    loaded = tiny.loaded(vocabulary=24)
    policy = TorchPolicy(
        loaded, ModelPart(dtype="float32", lora=lora), part, loss_constant=64.0, temperature=temperature
    )
    curve = learn(policy, part, temperature)
    assert curve[0] < 0.4
    assert np.mean(curve[-5:]) > 0.9
