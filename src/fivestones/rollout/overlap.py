"""Scoring while generation goes on: a group is scored as soon as its last rollout has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread

from fivestones.protocols import Scorer
from fivestones.types import Group, Rollout, Score, Task


class Scoring:
    """Give it to `collect` as `ended`. One thread scores, a group at a time, so that a scorer need not be
    safe for several; beside it the main thread goes on with the environment's replies.

    Use it as a context: when generation fails, what waits to be scored is dropped. What is being scored is
    not waited for: a judge that hangs does not keep Ctrl-C from ending the process.
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
        self._waiting: SimpleQueue[int | None] = SimpleQueue()  # places of whole groups; None: no more come

    def __enter__(self) -> Scoring:
        # a daemon: an executor's thread would be joined when the process ends
        Thread(target=self._work, name="scoring", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._scores.values():
            future.cancel()
        self._waiting.put(None)

    def __call__(self, place: int, rollout: Rollout) -> None:
        """place: of the rollout among all, task by task. Raises what the scorer raised before."""
        self._ended[place] = rollout
        self.tell(len(self._ended))
        task = place // self.group_size
        self._open[task] -= 1
        if self._open[task]:
            return
        for future in self._scores.values():
            if future.done():
                future.result()
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
            future = self._scores[task]
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self.scorer(self.tasks[task], self._rollouts(task)))
            except BaseException as error:  # raised where the score is asked for
                future.set_exception(error)

    def _rollouts(self, task: int) -> tuple[Rollout, ...]:
        start = task * self.group_size
        return tuple(self._ended[i] for i in range(start, start + self.group_size))
