"""Scoring while generation goes on: a group is scored as soon as its last rollout has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

from fivestones.protocols import Scorer
from fivestones.types import Group, Rollout, Score, Task


class Scoring:
    """Give it to `collect` as `ended`. Use it as a context: when generation fails, what waits to be scored is
    dropped, and what is under way is left alone: its threads do not keep the program from ending."""

    def __init__(
        self,
        scorer: Scorer,
        tasks: Sequence[Task],
        group_size: int,
        tell: Callable[[int], None] = lambda ended: None,
        at_once: int = 1,
    ) -> None:
        """tell: hears how many rollouts have ended so far; at_once: groups that are scored at the same time
        (a user's scorer need not be safe for several threads)."""
        self.scorer, self.tasks, self.group_size, self.tell = scorer, tasks, group_size, tell
        self._ended: dict[int, Rollout] = {}
        self._open = [group_size] * len(tasks)  # rollouts of each task still under way
        self._scores: dict[int, Future[list[Score]]] = {}
        self._waiting: SimpleQueue[int | None] = SimpleQueue()  # tasks; None ends a thread
        self._threads = [
            threading.Thread(target=self._work, name="scoring", daemon=True)
            for _ in range(min(at_once, len(tasks)))
        ]

    def __enter__(self) -> Scoring:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for scores in self._scores.values():
            scores.cancel()
        for _thread in self._threads:
            self._waiting.put(None)

    def __call__(self, place: int, rollout: Rollout) -> None:
        """place: of the rollout among all, task by task."""
        self._ended[place] = rollout
        self.tell(len(self._ended))
        task = place // self.group_size
        self._open[task] -= 1
        if not self._open[task]:
            self._scores[task] = Future()
            self._waiting.put(task)

    def groups(self) -> list[Group]:
        """Waits for the scores. Call it when all rollouts have ended; raises what the scorer raised."""
        return [
            Group(task=task, rollouts=self._rollouts(i), scores=tuple(self._scores[i].result()))
            for i, task in enumerate(self.tasks)
        ]

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            scores = self._scores[task]
            if not scores.set_running_or_notify_cancel():
                continue
            try:
                scores.set_result(self.scorer(self.tasks[task], self._rollouts(task)))
            except BaseException as error:  # told to whoever waits for the scores
                scores.set_exception(error)

    def _rollouts(self, task: int) -> tuple[Rollout, ...]:
        start = task * self.group_size
        return tuple(self._ended[i] for i in range(start, start + self.group_size))
