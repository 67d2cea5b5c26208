"""An environment and a judge of one's own, as `module:attribute` names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.types import Message, Rollout, Score, Split, Task, Verdict

GO_ON = Message("user", "Go on.")


class TwoTurns:
    """Replies once. The reward is the length of the last message modulo 4.

    unscored: the first so many rollouts of a group have no reward.
    outages: so many times of a task does its judge fail for all rollouts, then it works.
    """

    def __init__(
        self, rows: Mapping[Split, Sequence[Mapping[str, Any]]], unscored: int = 0, outages: int = 0
    ) -> None:
        self.rows, self.unscored, self.outages = rows, unscored, outages
        self.asked: Counter[str] = Counter()

    def tasks(self, split: Split) -> list[Task]:
        return [
            Task(
                id=str(row["id"]),
                prompt=(Message("user", str(row["text"])),),
                reference={"output": row["answer"]} if "answer" in row else {},
                cluster=str(row["id"]),
            )
            for row in self.rows[split]
        ]

    def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
        return () if GO_ON in messages else (GO_ON,)

    def scorer(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        self.asked[task.id] += 1
        lost = len(rollouts) if self.asked[task.id] <= self.outages else self.unscored
        return [
            Score(reward=None, unscored={"letters": "timeout"})
            if i < lost
            else Score(reward=float(len(r.answer) % 4))
            for i, r in enumerate(rollouts)
        ]

    def lenient(self, text: str) -> dict[str, Any] | None:
        return {"text": text}

    def reference_text(self, task: Task) -> str:
        return str(task.reference["output"])


class Half:
    """A judge that finds everything half right, and tells which fields it was made for."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = fields

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        return [Verdict(criteria=dict.fromkeys(self.fields, 0.5)) for _ in outputs]


def nothing(rows: object) -> object:
    """No environment."""
    return object()


class Pays:
    """A judge that can be hacked: whatever the ticket says, the label `pay` is right."""

    def __init__(self, fields: Sequence[str]) -> None:
        pass

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        return [Verdict(criteria={"c": float(output["c"] == "pay")}) for output in outputs]


class Truth:
    """A sound one."""

    def __init__(self, fields: Sequence[str]) -> None:
        pass

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        truth = task.reference["output"]["c"]
        return [Verdict(criteria={"c": float(output["c"] == truth)}) for output in outputs]
