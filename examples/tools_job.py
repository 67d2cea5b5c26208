"""A job with tools, in two plain functions: what do so many items cost?

Run it: fivestones run examples/tools_job.yaml. A row has `id`, `item`, `count` and `answer`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.environments.tool_use import ToolError, ToolUse
from fivestones.types import Call, Message, Rollout, Score, Split, Task

PRICES = {"lamp": 40, "chair": 85, "desk": 210}


def price(item: str) -> int:
    """The price of one item, in dollars.

    Args:
        item: its name, such as lamp
    """
    if item not in PRICES:
        raise ToolError(f"no item {item!r}; there are {', '.join(PRICES)}")
    return PRICES[item]


def multiply(a: int, b: int) -> int:
    """The product of two numbers."""
    return a * b


class Shop(ToolUse):
    def __init__(self, rows: Mapping[Split, Sequence[Mapping[str, Any]]]) -> None:
        super().__init__([price, multiply])
        self.rows = rows

    def tasks(self, split: Split) -> list[Task]:
        return [self.task(row) for row in self.rows.get(split, ())]

    def task(self, row: Mapping[str, Any]) -> Task:
        asked = Message("user", f"What do {row['count']} of {row['item']} cost? End with the number only.")
        reference = {**row, "output": str(row["answer"])}  # `output` marks a task that can be imitated
        return Task(id=str(row["id"]), prompt=(asked,), reference=reference, cluster=str(row["item"]))

    def scorer(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        said = [self.final_text(rollout.messages) for rollout in rollouts]
        return [Score(reward=float(text == task.reference["answer"])) for text in said]

    def lenient(self, text: str) -> Mapping[str, Any] | None:
        return {"answer": text.strip()} if text.strip() else None

    def reference_text(self, task: Task) -> str:
        return str(task.reference["answer"])

    def demonstration(self, task: Task) -> list[Message]:
        """The turns after the prompt that imitation says, for a task whose reference has `output`."""
        item, count = task.reference["item"], task.reference["count"]
        first = Call("price", f'{{"item": "{item}"}}')
        second = Call("multiply", f'{{"a": {PRICES[item]}, "b": {count}}}')
        turns = [Message("assistant", "", (first,)), Message("tool", self.result(task, (), first))]
        turns += [Message("assistant", "", (second,)), Message("tool", self.result(task, (), second))]
        return [*turns, Message("assistant", self.reference_text(task))]
