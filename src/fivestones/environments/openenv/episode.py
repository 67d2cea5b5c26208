"""An environment of this package as episodes of the OpenEnv protocol; knows no sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fivestones.environments.openenv.protocol import Observation, ProtocolError, write_tools
from fivestones.environments.tool_use.calls import Malformed, parse
from fivestones.errors import UsageError, nearest
from fivestones.hermes import write
from fivestones.protocols import ScoredEnvironment
from fivestones.types import Call, Finish, Message, Rollout, Split, Task

SUBMIT = "submit_answer"
SPLITS: tuple[Split, ...] = ("train", "test")
Observe = Callable[[Task], Mapping[str, Any]]
"""What a client is shown of a task at reset, beside its id and prompt; never its reference."""

_ASKED = re.compile(r"\ACompany: (?P<company>.+)\nQuestion: (?P<question>.+)\Z", re.DOTALL)


class ServedEnvironment(ScoredEnvironment, Protocol):
    """A tool-use environment (tool_use.environment.ToolUse with tasks and a scorer)."""

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def submit(self) -> str | None: ...


def question_of(task: Task) -> dict[str, Any]:
    """The last user message as `question`; a financial question is parted into `company` and `question`."""
    said = next((m.content for m in reversed(task.prompt) if m.role == "user"), task.prompt[-1].content)
    asked = _ASKED.match(said)
    return {**asked.groupdict()} if asked else {"question": said}


class Catalogue:
    """What is served: the tasks by split and the tools. Read once, shared by all threads.

    An environment whose episodes end in plain text (no submit tool) is given one, `submit_answer(answer)`:
    the answer becomes the final message.
    """

    def __init__(self, environment: ServedEnvironment, splits: Sequence[Split], observe: Observe) -> None:
        self.tasks: dict[str, tuple[Task, ...]] = {split: tuple(environment.tasks(split)) for split in splits}
        if not any(self.tasks.values()):
            raise UsageError(f"there is nothing to serve: no task in {' or '.join(splits)}")
        self.submit = environment.submit or SUBMIT
        self.tools = write_tools(environment.tools)
        if environment.submit is None:
            self.tools.append(_submit_tool())
        self._by_id = {task.id: task for part in self.tasks.values() for task in part}
        self._observe = observe
        self._next = 0

    def counts(self) -> dict[str, int]:
        return {split: len(part) for split, part in self.tasks.items()}

    def choose(self, data: Mapping[str, Any]) -> Task:
        """The task that a reset asks for: by `task_id`, else the one of `seed` in `split` (the same seed is
        always the same task, and the seeds below the number of tasks are all of them), else the next in
        turn."""
        if data.get("task_id") is not None:
            task = self._by_id.get(str(data["task_id"]))
            if task is None:
                close = nearest(str(data["task_id"]), self._by_id)
                raise ProtocolError("VALIDATION_ERROR", f"there is no task_id {data['task_id']!r}.{close}")
            return task
        split = data.get("split") or next(name for name, part in self.tasks.items() if part)
        part = self.tasks.get(split) if isinstance(split, str) else None
        if not part:
            served = ", ".join(name for name, part in self.tasks.items() if part)
            raise ProtocolError("VALIDATION_ERROR", f"there is no split {split!r}; there are: {served}")
        seed = data.get("seed")
        if seed is None:
            seed, self._next = self._next, self._next + 1
        elif not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ProtocolError("VALIDATION_ERROR", f"seed must be an integer from 0 on, got {seed!r}")
        return part[seed % len(part)]

    def first(self, task: Task) -> Observation:
        """The observation at reset."""
        prompt = [{"role": message.role, "content": message.content} for message in task.prompt]
        shown = {**self._observe(task), "task_id": task.id, "prompt": prompt}
        return Observation({**shown, "tools": [tool["name"] for tool in self.tools]})


class Episode:
    """One attempt at one task. calls: the most calls it may take; then it ends, and is scored as it is."""

    def __init__(self, catalogue: Catalogue, task: Task, calls: int) -> None:
        self._catalogue = catalogue
        self.task = task
        self.steps = 0
        self.done = False
        self._calls = calls
        self._messages: list[Message] = list(task.prompt)

    def call(self, environment: ServedEnvironment, name: str, arguments: Mapping[str, Any]) -> Observation:
        """One tool call. The observation that ends the episode has the reward. Raises ProtocolError."""
        if self.done:
            raise ProtocolError("SESSION_ERROR", "the episode is over; reset before the next call")
        if environment.submit is None and name == self._catalogue.submit:
            return self._submitted(environment, arguments)
        self.steps += 1
        self._messages.append(Message("assistant", _written(name, arguments)))
        replies = environment.reply(self.task, self._messages)
        if not replies:
            submitted = name == environment.submit
            said = "The answer is submitted." if submitted else "The episode is over: it went round."
            return self._end(environment, name, said, "stop")
        if self.steps >= self._calls:
            return self._end(environment, name, replies[0].content, "turns")
        self._messages.extend(replies)
        return _said(name, replies[0].content)

    def _submitted(self, environment: ServedEnvironment, arguments: Mapping[str, Any]) -> Observation:
        answer = arguments.get("answer")
        if not isinstance(answer, str) or len(arguments) != 1:
            return _said(SUBMIT, f"error: {SUBMIT} takes one argument, `answer`, a text")
        self.steps += 1
        self._messages.append(Message("assistant", answer))
        return self._end(environment, SUBMIT, "The answer is submitted.", "stop")

    def _end(self, environment: ServedEnvironment, name: str, text: str, finish: Finish) -> Observation:
        rollout = Rollout(
            task_id=self.task.id,
            messages=tuple(self._messages),
            prompt_messages=len(self.task.prompt),
            prompt_ids=(),
            completion_ids=(),
            loss_mask=(),
            logprobs=(),
            finish=finish,
            policy_version=0,
        )
        (score,) = environment.scorer(self.task, [rollout])
        self.done = True
        # an unknown score stays unknown: reward null, and why
        shown = {"unscored": dict(score.unscored)} if score.reward is None else {}
        return Observation({**_said(name, text).observation, **shown}, score.reward, True)


def _said(name: str, text: str) -> Observation:
    return Observation({"tool_name": name, "result": text, "error": None})


def _written(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as an assistant's text; `<` is escaped, so that an argument cannot end the call."""
    text = json.dumps(arguments, ensure_ascii=False).replace("<", "\\u003c")
    content = write((Call(name, text),))
    read = parse(content).calls
    if len(read) != 1 or isinstance(read[0], Malformed) or read[0].name != name:
        raise ProtocolError("VALIDATION_ERROR", f"tool_name {name!r:.80} cannot be called")
    return content


def _submit_tool() -> dict[str, Any]:
    answer = {"type": "string", "description": "The final answer."}
    return {
        "name": SUBMIT,
        "description": "Submit the final answer. This ends the episode.",
        "input_schema": {"type": "object", "properties": {"answer": answer}, "required": ["answer"]},
    }
