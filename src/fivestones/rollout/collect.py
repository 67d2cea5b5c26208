"""Rollouts: tasks -> groups of attempts. Every turn is one `generate` call over the chats still open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fivestones.protocols import Environment, Sampler
from fivestones.types import Finish, Generation, Message, Rollout, Task


class Tokens(Protocol):
    """What `chat.Chat` gives."""

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]: ...

    def reply_ids(self, messages: Sequence[Message], replies: Sequence[Message]) -> tuple[int, ...]: ...


@dataclass(slots=True)
class _Open:
    task: Task
    messages: list[Message]
    prompt_ids: tuple[int, ...]
    seed: int
    ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish = "turns"


def collect(
    env: Environment,
    tasks: Sequence[Task],
    sampler: Sampler,
    chat: Tokens,
    generation: Generation,
    seed_of: Callable[[Task, int, int], int],
    *,
    group_size: int,
    max_turns: int = 1,
    version: int = 0,
) -> list[tuple[Task, tuple[Rollout, ...]]]:
    """`group_size` rollouts of each task, in order. seed_of(task, member, turn) is a rollout's random
    stream."""
    prompts = {task.id: chat.prompt_ids(task.prompt) for task in tasks}
    members = range(group_size)
    rows = [_Open(t, list(t.prompt), prompts[t.id], j) for t in tasks for j in members]
    active = rows
    for turn in range(max_turns):
        done = sampler.generate(
            [(*r.prompt_ids, *r.ids) for r in active],
            generation,
            [seed_of(r.task, r.seed, turn) for r in active],
        )
        still = []
        for row, c in zip(active, done, strict=True):
            row.ids += c.token_ids
            row.mask += [True] * len(c.token_ids)
            row.logprobs += c.logprobs
            row.messages.append(Message("assistant", c.text))
            row.finish = c.finish
            replies = env.reply(row.task, row.messages) if c.finish == "stop" else ()
            if replies:
                added = chat.reply_ids(row.messages, replies)
                row.ids += added
                row.mask += [False] * len(added)
                row.logprobs += [0.0] * len(added)
                row.messages += replies
                row.finish = "turns"
                still.append(row)
        active = still
        if not active:
            break
    rollouts = [
        Rollout(
            task_id=r.task.id,
            messages=tuple(r.messages),
            prompt_ids=r.prompt_ids,
            completion_ids=tuple(r.ids),
            loss_mask=tuple(r.mask),
            logprobs=tuple(r.logprobs),
            finish=r.finish,
            policy_version=version,
        )
        for r in rows
    ]
    size = group_size
    return [(task, tuple(rollouts[i * size : (i + 1) * size])) for i, task in enumerate(tasks)]
