"""People's labels as a reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivestones.protocols import Judge
from fivestones.score.people.queue import append_pending, read_pending
from fivestones.score.people.reviews import Item, item_key, read_reviews
from fivestones.types import Task, Verdict

NO_LABEL = "no label"


class PeopleJudge:
    """protocols.Judge. A criterion is the share of its raters who passed it; labels are read once, when this
    is made, so that a run is rewarded by the same labels from its start to its end.

    labels: the file of reviews. What has no label is judged by `otherwise`, or is unscored and written to
    the file of what is pending (`queue.pending_path`): a run with too much of that pauses, people label, and
    the resumed run makes the same outputs again and finds their labels. ask: False writes nothing there.
    """

    def __init__(
        self, labels: Path, fields: Sequence[str], otherwise: Judge | None = None, *, ask: bool = True
    ) -> None:
        self._labels, self._fields, self._otherwise = labels, tuple(fields), otherwise
        self._ask = ask
        self._said = read_reviews(labels).verdicts
        self._asked = {item.key for item in read_pending(labels)}

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        known = [self._labelled(task, output) for output in outputs]
        missing = [i for i, found in enumerate(known) if len(found) < len(self._fields)]
        rest = self._others(task, [outputs[i] for i in missing]) if missing else []
        verdicts = [Verdict(criteria=found) for found in known]
        for i, verdict in zip(missing, rest, strict=True):
            # a person's word goes before a judge's
            unscored = {f: why for f, why in verdict.unscored.items() if f not in known[i]}
            verdicts[i] = Verdict(criteria={**verdict.criteria, **known[i]}, unscored=unscored)
        return verdicts

    def _labelled(self, task: Task, output: Mapping[str, Any]) -> dict[str, float]:
        said = self._said.get(item_key(task.id, output), {})
        return {
            f: sum(v.passed for v in raters.values()) / len(raters)
            for f in self._fields
            if (raters := said.get(f))
        }

    def _others(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        if self._otherwise is not None:
            return self._otherwise(task, outputs)
        if self._ask:
            self._queue(task, outputs)
        return [Verdict(criteria={}, unscored=dict.fromkeys(self._fields, NO_LABEL)) for _ in outputs]

    def _queue(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> None:
        items = [
            Item(task_id=task.id, source=_source(task), output=output, criteria=self._fields)
            for output in outputs
        ]
        new = {item.key: item for item in items if item.key not in self._asked}
        if new:
            append_pending(self._labels, list(new.values()))
            self._asked |= set(new)


def _source(task: Task) -> str:
    users = [m.content for m in task.prompt if m.role == "user"]
    return users[-1] if users else ""
