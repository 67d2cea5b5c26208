"""Rollouts: tasks -> groups of attempts. Every turn is one `generate` call over the chats still open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fivestones.protocols import Environment, Sampler
from fivestones.types import Completion, Finish, Generation, Message, Rollout, Task


class Tokens(Protocol):
    """What `chat.Chat` gives."""

    @property
    def ends(self) -> Sequence[int]: ...

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]: ...

    def reply_ids(
        self, messages: Sequence[Message], replies: Sequence[Message], *, ended: bool
    ) -> tuple[int, ...]: ...


@dataclass(slots=True)
class _Open:
    """One attempt under way."""

    task: Task
    member: int
    prompt_ids: tuple[int, ...]
    messages: list[Message]
    ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Finish = "stop"

    @property
    def chat_ids(self) -> tuple[int, ...]:
        return (*self.prompt_ids, *self.ids)

    def said(self, completion: Completion) -> None:
        self.messages.append(Message("assistant", completion.text))
        self.ids += completion.token_ids
        self.mask += [True] * len(completion.token_ids)
        self.logprobs += completion.logprobs
        self.finish = completion.finish

    def heard(self, replies: Sequence[Message], ids: Sequence[int]) -> None:
        self.messages += replies
        self.ids += ids
        self.mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)

    def rollout(self, version: int) -> Rollout:
        return Rollout(
            task_id=self.task.id,
            messages=tuple(self.messages),
            prompt_ids=self.prompt_ids,
            completion_ids=tuple(self.ids),
            loss_mask=tuple(self.mask),
            logprobs=tuple(self.logprobs),
            finish=self.finish,
            policy_version=version,
        )


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
    context: int = 1 << 30,
    version: int = 0,
) -> list[tuple[Task, tuple[Rollout, ...]]]:
    """`group_size` rollouts of each task, in order. seed_of(task, member, turn) is a rollout's random
    stream; where a task comes twice, its members are counted on.

    An episode ends when nothing replies, after `max_turns` turns (finish `turns`), or when another turn of
    `generation.max_tokens` would not fit `context` tokens (finish `length`). Its last message is always the
    policy's: a reply that nobody can answer is left out.
    """
    rows: list[_Open] = []
    seen: Counter[str] = Counter()
    for task in tasks:
        prompt = chat.prompt_ids(task.prompt)
        for member in range(seen[task.id], seen[task.id] + group_size):
            rows.append(_Open(task, member, prompt, list(task.prompt)))
        seen[task.id] += group_size
    active = rows
    for turn in range(max_turns):
        done = sampler.generate(
            [row.chat_ids for row in active],
            generation,
            [seed_of(row.task, row.member, turn) for row in active],
        )
        still = []
        for row, completion in zip(active, done, strict=True):
            row.said(completion)
            replies = env.reply(row.task, row.messages) if completion.finish == "stop" else ()
            if not replies:
                continue
            if turn + 1 == max_turns:
                row.finish = "turns"
                continue
            ids = chat.reply_ids(row.messages, replies, ended=completion.token_ids[-1] in chat.ends)
            if len(row.chat_ids) + len(ids) + generation.max_tokens > context:
                row.finish = "length"
                continue
            row.heard(replies, ids)
            still.append(row)
        active = still
        if not active:
            break
    rollouts = [row.rollout(version) for row in rows]
    return [(task, tuple(rollouts[i * group_size : (i + 1) * group_size])) for i, task in enumerate(tasks)]


def rising(tell: Callable[[int], None]) -> Callable[[int], None]:
    """For a sampler's `on_done`: passes on only counts above all before, because each later turn of the same
    episodes counts anew."""
    most = 0

    def told(done: int) -> None:
        nonlocal most
        if done > most:
            most = done
            tell(done)

    return told
