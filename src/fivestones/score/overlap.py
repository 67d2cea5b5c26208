"""Scoring while generation goes on: a group is scored as soon as its last rollout has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from fivestones.protocols import Scorer
from fivestones.types import Group, Rollout, Score, Task


class Scoring:
    """Give it to `collect` as `ended`; one thread, so that a user's scorer need not be safe for several.

    Use it as a context: when generation fails, what waits to be scored is dropped.
    """

    def __init__(
        self,
        scorer: Scorer,
        tasks: Sequence[Task],
        group_size: int,
        tell: Callable[[int], None] = lambda ended: None,
    ) -> None:
        """tell: hears how many rollouts have ended so far."""
        self.scorer, self.tasks, self.group_size, self.tell = scorer, tasks, group_size, tell
        self._ended: dict[int, Rollout] = {}
        self._open = [group_size] * len(tasks)  # rollouts of each task still under way
        self._scores: dict[int, Future[list[Score]]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def __call__(self, place: int, rollout: Rollout) -> None:
        """place: of the rollout among all, task by task."""
        self._ended[place] = rollout
        self.tell(len(self._ended))
        task = place // self.group_size
        self._open[task] -= 1
        if not self._open[task]:
            self._scores[task] = self._thread.submit(self.scorer, self.tasks[task], self._rollouts(task))

    def groups(self) -> list[Group]:
        """Waits for the scores. Call it when all rollouts have ended; raises what the scorer raised."""
        return [
            Group(task=task, rollouts=self._rollouts(i), scores=tuple(self._scores[i].result()))
            for i, task in enumerate(self.tasks)
        ]

    def _rollouts(self, task: int) -> tuple[Rollout, ...]:
        start = task * self.group_size
        return tuple(self._ended[i] for i in range(start, start + self.group_size))
