"""Rollouts: tasks -> groups of attempts. Every turn is one `generate` call over the chats still open."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fivestones.errors import DataError, EnvironmentFault
from fivestones.protocols import Environment, Sampler
from fivestones.types import Completion, Finish, Generation, Message, Rollout, Task

log = logging.getLogger(__name__)


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
    prompt_messages: int
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
            prompt_messages=self.prompt_messages,
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
    ended: Callable[[int, Rollout], None] | None = None,
) -> list[Rollout]:
    """`group_size` rollouts of each task, in order. seed_of(task, member, turn) is a rollout's random
    stream; where a task comes twice, its members are counted on. `ended` hears of each rollout (its place,
    the rollout) when it has ended, while others are still under way.

    An episode ends when nothing replies, after `max_turns` turns (finish `turns`), or when another turn of
    `generation.max_tokens` would not fit `context` tokens (finish `length`). Its last message is always the
    policy's: a reply that nobody can answer is left out. Where the environment failed, or its reply cannot be
    put into tokens, the rollout ends with finish `error`: nothing is known of it.
    """
    rows: list[_Open] = []
    seen: Counter[str] = Counter()
    for task in tasks:
        prompt = chat.prompt_ids(task.prompt)
        for member in range(seen[task.id], seen[task.id] + group_size):
            rows.append(_Open(task, member, prompt, list(task.prompt), len(task.prompt)))
        seen[task.id] += group_size
    done: dict[int, Rollout] = {}
    active = list(range(len(rows)))
    for turn in range(max_turns):

        def said(place: int, completion: Completion, turn: int = turn, active: list[int] = active) -> None:
            row = rows[active[place]]
            row.said(completion)
            try:
                replies = env.reply(row.task, row.messages) if completion.finish == "stop" else ()
                if replies and turn + 1 == max_turns:
                    row.finish = "turns"
                elif replies:
                    ids = _reply_ids(chat, row, replies, ended=completion.token_ids[-1] in chat.ends)
                    if len(row.chat_ids) + len(ids) + generation.max_tokens <= context:
                        row.heard(replies, ids)
                        return
                    row.finish = "length"
            except EnvironmentFault as fault:
                log.warning("rollout of %s ended: %s", row.task.id, fault)
                row.finish = "error"
            done[active[place]] = row.rollout(version)
            if ended:
                ended(active[place], done[active[place]])

        asked = [rows[i] for i in active]
        seeds = [seed_of(row.task, row.member, turn) for row in asked]
        sampler.generate([row.chat_ids for row in asked], generation, seeds, said)
        active = [i for i in active if i not in done]
        if not active:
            break
    return [done[i] for i in range(len(rows))]


def _reply_ids(chat: Tokens, row: _Open, replies: Sequence[Message], *, ended: bool) -> tuple[int, ...]:
    """Raises EnvironmentFault for a reply that the template cannot write: that rollout alone ends."""
    try:
        return chat.reply_ids(row.messages, replies, ended=ended)
    except DataError as error:
        raise EnvironmentFault(str(error)) from error
