"""A tiny tool-use job for the tests of remote environments: sums, looked up by name and submitted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fivestones.environments.tool_use.environment import ToolUse
from fivestones.environments.tool_use.tools import ToolError
from fivestones.types import Call, Message, Rollout, Score, Split, Task

NUMBERS = {f"n{i}": i * 7 for i in range(40)}


class Sums(ToolUse):
    """Task i asks for n<i> + 1; `look` tells n<i>."""

    def __init__(self, submit: bool = True) -> None:
        self.looked = 0
        tools = [self.look, self.wait, self.broken, *([submit_answer] if submit else [])]
        super().__init__(tools, submit="submit_answer" if submit else None)

    def tasks(self, split: Split) -> Iterable[Task]:
        return [_task(i) for i in (range(30) if split == "train" else range(30, 40))]

    @property
    def scorer(self) -> Any:
        return self._score

    def reference_text(self, task: Task) -> str:
        return str(task.reference["answer"])

    def lenient(self, text: str) -> Mapping[str, Any] | None:
        return {"text": text}

    def look(self, name: str) -> int:
        """What a name stands for.

        Args:
            name: such as n3
        """
        self.looked += 1
        if name not in NUMBERS:
            raise ToolError(f"no {name}; there are n0 to n39")
        return NUMBERS[name]

    def wait(self, seconds: float) -> str:
        """Waits."""
        time.sleep(seconds)
        return "waited"

    def broken(self) -> str:
        """Always fails."""
        raise ValueError("out of order")

    def _score(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        return [self._one(task, rollout) for rollout in rollouts]

    def _one(self, task: Task, rollout: Rollout) -> Score:
        calls = [c for c in self.parsed(rollout.messages[-1]).calls if isinstance(c, Call)]
        given = json.loads(calls[0].arguments).get("answer") if calls else rollout.answer
        if given == "unknown":
            return Score(reward=None, unscored={"answer": "nobody knows"})
        return Score(reward=float(given == task.reference["answer"]))


def submit_answer(answer: str) -> str:
    """Ends the episode."""
    return answer


def call(name: str, /, **arguments: Any) -> Message:
    """An assistant turn that calls one tool."""
    return Message(
        "assistant", f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"
    )


def rollout(task: Task, messages: Sequence[Message], finish: Any = "stop") -> Rollout:
    return Rollout(
        task_id=task.id,
        messages=tuple(messages),
        prompt_messages=len(task.prompt),
        prompt_ids=(),
        completion_ids=(),
        loss_mask=(),
        logprobs=(),
        finish=finish,
        policy_version=0,
    )


def _task(i: int) -> Task:
    return Task(
        id=f"sum-{i}",
        prompt=(Message("system", "Add."), Message("user", f"Company: c{i}\nQuestion: What is n{i} plus 1?")),
        reference={"answer": str(NUMBERS[f"n{i}"] + 1)},
        cluster=f"c{i}",
    )
