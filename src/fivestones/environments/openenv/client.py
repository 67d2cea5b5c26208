"""A job that trains against somebody else's environment, over the OpenEnv protocol."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fivestones.environments.openenv.sessions import (
    RemoteTools,
    Session,
    SessionLost,
    Silent,
    changed,
    digest,
)
from fivestones.environments.tool_use.environment import ToolUse
from fivestones.environments.tool_use.tools import Tool
from fivestones.errors import DataError, EnvironmentFault, UsageError, nearest
from fivestones.types import Call, Message, Rollout, Score, Split, Task

INSTRUCTIONS = "Use the tools to find the answer. At the end call {submit} with it."
_CHECKED = 3  # seeds that are asked for twice
_ATTEMPTS = 2  # a turn's: with the session that is there, and once with a new one
_REMEMBERED = 65_536  # rewards of ended episodes


class RemoteEnvironment(ToolUse):
    """protocols.ScoredEnvironment over a server: its tasks, its tools, its reward.

    An episode is a session there and ends with the server's `done`, as after its submit tool; that
    observation's reward is the score. An episode that ends otherwise is scored 0 (failed: `submit`).

    A server of this package tells its tasks. Any other draws one for a seed: count says how many seeds are
    tried for each split, one after the other; a question that comes again is left out, and out of `train`
    when it is in `test` (`told` says how many). max_sessions: how many may wait for a next turn at once.

    A session that is not there any more (a resumed run, a lost connection) is made anew: reset to the task,
    the chat's calls again. Raises EnvironmentFault when that fails too, or the replies are others, and at
    once for `timeout_s` after a server did not answer to a new session, whichever chat asks; DataError
    when the server does not keep to its seeds; UsageError for a url, tool or count that does not fit.
    """

    def __init__(
        self,
        url: str,
        *,
        submit: str = "submit_answer",
        count: Mapping[Split, int] | None = None,
        instructions: str = INSTRUCTIONS,
        timeout_s: float = 60.0,
        max_sessions: int = 512,
        headers: Mapping[str, str] | None = None,
        idle_s: float = 1800.0,
        longest: int = 4000,
    ) -> None:
        self.remote = RemoteTools(
            url, timeout_s=timeout_s, max_sessions=max_sessions, headers=headers, idle_s=idle_s
        )
        self._silent_until = 0.0  # of time.monotonic
        self.told: list[str] = []
        self._turn = threading.local()  # .session: that of the turn which this thread replies to
        self._instructions = instructions.replace("{submit}", submit)
        self._rewards: OrderedDict[str, float | None] = OrderedDict()  # chat -> of the episode that it ended
        self._lock = threading.Lock()
        try:
            listed, state = self._about()
        except SessionLost as error:
            raise UsageError(str(error)) from error
        names = [str(tool["name"]) for tool in listed]
        if submit not in names:
            raise UsageError(
                f"{self.remote.url} has no tool `{submit}` that ends an episode; there are: "
                f"{', '.join(names) or 'none'}.{nearest(submit, names)}"
            )
        super().__init__([self._tool(tool) for tool in listed], submit=submit, longest=longest)
        self._tasks = self._enumerated(state.get("tasks"), count)
        self.scorer = RemoteScorer(self)

    def tasks(self, split: Split) -> Iterable[Task]:
        return self._tasks.get(split, ())

    def reference_text(self, task: Task) -> str:
        raise DataError(f"task {task.id}: {self.remote.url} tells no reference answer to imitate")

    def lenient(self, text: str) -> Mapping[str, Any] | None:
        """The arguments of the submit tool."""
        call = self._submitted(Message("assistant", text))
        return json.loads(call.arguments) if call else None

    def reply(self, task: Task, messages: Sequence[Message]) -> list[Message]:
        """The server's results of the last turn's calls; [] when the episode is over."""
        if not self.parsed(messages[-1]).calls:
            self.forget(task, messages[:-1])
            return []
        if time.monotonic() < self._silent_until:
            raise SessionLost(f"{self.remote.url} gave no answer a moment ago, to another chat")
        session = self.remote.take(task.id, messages[:-1])
        for attempt in range(_ATTEMPTS):
            try:
                session = session or self._replayed(task, messages[:-1])
                return self._answered(session, task, messages)
            except SessionLost:
                if session:
                    session.close()
                    session = None
                if attempt + 1 == _ATTEMPTS:
                    raise
            except BaseException:
                if session:
                    session.close()
                raise
        raise AssertionError("the last attempt returns or raises")

    def reward(self, task: Task, messages: Sequence[Message]) -> float | None:
        """Of the episode that this chat ended. KeyError when it ended none."""
        return self._rewards[digest(task.id, messages)]

    def forget(self, task: Task, messages: Sequence[Message]) -> None:
        """Closes the session of a chat that does not go on."""
        session = self.remote.take(task.id, messages)
        if session:
            session.close()

    def close(self) -> None:
        """Ends the sessions that are still open: those of chats that ended with a fault."""
        self.remote.close()

    def _answered(self, session: Session, task: Task, messages: Sequence[Message]) -> list[Message]:
        replies = self._stepped(session, task, messages)
        if session.done:
            with self._lock:
                self._rewards[digest(task.id, messages)] = session.reward
                if len(self._rewards) > _REMEMBERED:
                    self._rewards.popitem(last=False)
            session.close()
            return []
        session.replies = tuple(reply.content for reply in replies)
        self.remote.keep(task.id, messages, session)
        return replies

    def _stepped(self, session: Session, task: Task, messages: Sequence[Message]) -> list[Message]:
        """What the calls of the last turn do to a session."""
        self._turn.session = session
        try:
            replies = super().reply(task, messages)
        finally:
            self._turn.session = None
        call = None if replies or session.done else self._submitted(messages[-1])
        if call is None:
            return list(replies)
        said = session.call(call.name, json.loads(call.arguments))
        if not session.done and len(self.parsed(messages[-1]).calls) > 1:
            raise EnvironmentFault(f"{self.remote.url} does not end the episode at `{call.name}`: {said}")
        return [] if session.done else [Message("tool", said)]

    def _step(self, name: str, arguments: Mapping[str, Any]) -> str:
        session: Session = self._turn.session
        if session.done:  # by an earlier call of the turn
            return "error: the episode is over"
        return session.call(name, arguments)

    def _replayed(self, task: Task, history: Sequence[Message]) -> Session:
        """A new session in which all calls of a chat were made again."""
        try:
            session, first = self.remote.begin(task.reference["reset"])
        except Silent:
            self._silent_until = time.monotonic() + self.remote.timeout_s
            raise
        self._silent_until = 0.0
        try:
            prompt = self._prompt(first)
            if prompt != task.prompt:
                raise changed(self.remote.url, task.prompt[-1].content, prompt[-1].content)
            for end in range(len(task.prompt) + 1, len(history) + 1):
                if history[end - 1].role != "assistant":
                    continue
                replies = [reply.content for reply in self._stepped(session, task, history[:end])]
                before = [message.content for message in history[end : end + len(replies)]]
                if session.done or replies != before:
                    raise EnvironmentFault(
                        f"{self.remote.url} does not repeat its replies: task {task.id} cannot go on"
                    )
        except BaseException:
            session.close()
            raise
        return session

    def _submitted(self, message: Message) -> Call | None:
        calls = (call for call in self.parsed(message).calls if self.submits(call))
        return next((call for call in calls if isinstance(call, Call)), None)

    def _about(self) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
        session = self.remote.connect()
        try:
            return session.list_tools(), session.state()
        finally:
            session.close()

    def _tool(self, listed: Mapping[str, Any]) -> Tool:
        name = str(listed["name"])
        schema = listed.get("input_schema") or listed.get("inputSchema") or {}
        if not isinstance(schema, Mapping):
            raise UsageError(f"{self.remote.url}: tool `{name}` has no JSON Schema of its arguments")
        # a tool that does not tell its arguments takes any
        untold = {} if "properties" in schema else {"additionalProperties": True}
        parameters = {"type": "object", "properties": {}, **untold, **schema}
        return Tool(name, str(listed.get("description") or ""), parameters, partial(self._step, name))

    def _enumerated(self, served: Any, count: Mapping[Split, int] | None) -> dict[Split, tuple[Task, ...]]:
        splits: tuple[Split, ...] = ("test", "train")
        asked: dict[Split, list[Mapping[str, Any]]] = {}
        if isinstance(served, Mapping):
            for split in splits:
                most = int(served.get(split, 0))
                number = min(most, (count or {}).get(split, most))
                asked[split] = [{"seed": seed, "split": split} for seed in range(number)]
        elif not count:
            raise UsageError(
                f"{self.remote.url} does not tell its tasks; say how many seeds to try, for example "
                'count={"train": 1000, "test": 100}'
            )
        else:
            train = count.get("train", 0)
            asked["test"] = [{"seed": train + seed} for seed in range(count.get("test", 0))]
            asked["train"] = [{"seed": seed} for seed in range(train)]
        try:
            return self._asked(asked)
        except SessionLost as error:
            raise DataError(f"the tasks could not be read: {error}") from error

    def _asked(self, asked: Mapping[Split, Sequence[Mapping[str, Any]]]) -> dict[Split, tuple[Task, ...]]:
        session = self.remote.connect()
        again = self.remote.connect()
        try:
            seen: set[tuple[Message, ...]] = set()
            tasks: dict[Split, tuple[Task, ...]] = {}
            for split, resets in asked.items():
                made: dict[tuple[Message, ...], Task] = {}
                for place, reset in enumerate(resets):
                    task = self._task(reset, session.reset(reset))
                    if place < _CHECKED:
                        other = self._prompt(again.reset(reset))
                        if other != task.prompt:
                            raise changed(self.remote.url, task.prompt[-1].content, other[-1].content)
                    if task.prompt not in seen:
                        made.setdefault(task.prompt, task)
                if len(made) < len(resets):
                    left = len(resets) - len(made)
                    self.told.append(
                        f"{split}: {left} of {len(resets)} questions came before and are left out"
                    )
                seen.update(made)
                tasks[split] = tuple(made.values())
            return tasks
        finally:
            session.close()
            again.close()

    def _task(self, reset: Mapping[str, Any], first: Mapping[str, Any]) -> Task:
        named = first.get("task_id")
        company = _field(first, "company")
        name = f"seed-{reset['seed']}" if named is None else str(named)
        return Task(
            id=name,
            prompt=self._prompt(first),
            reference={"reset": dict(reset) if named is None else {"task_id": named}},
            cluster=name if company is None else str(company),
        )

    def _prompt(self, first: Mapping[str, Any]) -> tuple[Message, ...]:
        """The server's own prompt, else the question (and company) of the first observation."""
        turns = first.get("prompt")
        if isinstance(turns, list) and turns and all(map(_is_turn, turns)):
            return tuple(Message(turn["role"], turn["content"]) for turn in turns)
        question, company = _field(first, "question"), _field(first, "company")
        if question is None:
            raise DataError(
                f"{self.remote.url}: the first observation holds no `question` nor `prompt`, only "
                f"{', '.join(first) or 'nothing'}"
            )
        text = str(question) if company is None else f"Company: {company}\nQuestion: {question}"
        return (Message("system", self._instructions), Message("user", text))


class RemoteScorer:
    """The server's reward; unknown (never 0) when the server failed."""

    max_reward = 1.0
    names: tuple[str, ...] = ()

    def __init__(self, environment: RemoteEnvironment) -> None:
        self._environment = environment

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        return [self._score(task, rollout) for rollout in rollouts]

    def _score(self, task: Task, rollout: Rollout) -> Score:
        environment = self._environment
        # an episode may have run out of turns or room with its session still open
        environment.forget(task, rollout.messages)
        environment.forget(task, rollout.messages[:-1])
        try:
            reward = environment.reward(task, rollout.messages)
        except KeyError:
            if rollout.finish != "stop" or environment.lenient(rollout.answer) is None:
                return Score(reward=0.0, failed={"submit": f"the episode ended without {environment.submit}"})
            return self._again(task, rollout)
        return _scored(reward)

    def _again(self, task: Task, rollout: Rollout) -> Score:
        """The reward of an episode that another process had."""
        try:
            if environment_replies := self._environment.reply(task, rollout.messages):
                self._environment.forget(task, rollout.messages)
                return Score(reward=0.0, failed={"submit": f"not taken: {environment_replies[0].content}"})
            return _scored(self._environment.reward(task, rollout.messages))
        except EnvironmentFault as fault:
            return Score(reward=None, unscored={"remote": str(fault)})


def _scored(reward: float | None) -> Score:
    if reward is None:
        return Score(reward=None, unscored={"remote": "the server ended the episode without a reward"})
    return Score(reward=reward)


def _field(first: Mapping[str, Any], name: str) -> Any:
    """Of an observation, or of its metadata."""
    metadata = first.get("metadata")
    return first.get(name, metadata.get(name) if isinstance(metadata, Mapping) else None)


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and turn.get("role") in ("system", "user", "assistant", "tool")
        and isinstance(turn.get("content"), str)
    )
