"""Tasks, rollouts and groups by hand."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.types import Group, Message, Rollout, Score, Task


def task(name: str) -> Task:
    return Task(id=name, prompt=(Message("user", name),), reference={}, cluster=name)


def rollout(name: str, *, tokens: int = 3, mask: Sequence[bool] | None = None, first: int = 10) -> Rollout:
    kept = tuple(mask) if mask is not None else (True,) * tokens
    return Rollout(
        task_id=name,
        messages=(Message("user", name), Message("assistant", f"{name}-{first}")),
        prompt_messages=1,
        prompt_ids=(1, 2),
        completion_ids=tuple(range(first, first + len(kept))),
        loss_mask=kept,
        logprobs=tuple(-0.5 if m else 0.0 for m in kept),
        finish="stop",
        policy_version=0,
    )


def score(reward: float | None, *, failed: bool = False) -> Score:
    if reward is None:
        return Score(reward=None, unscored={"content": "timeout"})
    return Score(reward=reward, failed={"json": "not JSON"} if failed else {})


def group(name: str, rewards: Sequence[float | None], *, tokens: Sequence[int] | None = None) -> Group:
    lengths = tokens or [3] * len(rewards)
    return Group(
        task=task(name),
        rollouts=tuple(rollout(name, tokens=n, first=10 * i) for i, n in enumerate(lengths)),
        scores=tuple(score(r) for r in rewards),
    )
