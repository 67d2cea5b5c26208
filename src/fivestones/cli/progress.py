"""Draws `protocols.Progress` calls: bars on a terminal, now and then a line anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 15.0  # seconds between plain lines of one stage


class Bars:
    """`bars(done, total, "train: reward 0.42")`: the stage before the colon, what is to be told of it after.

    A new stage, or one that starts over, gets its own bar; `total` 0 means unknown.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._stage = ""
        self._done = 0
        self._task: TaskID | None = None
        self._started = self._told = 0.0
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False, style="dim"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, done: int, total: int, text: str) -> None:
        stage, _, detail = text.partition(":")
        new = stage != self._stage or done < self._done
        self._stage, self._done = stage, done
        if self._console.is_terminal:
            self._draw(done, total, detail.strip(), new)
        else:
            self._print(done, total, detail.strip(), new)

    def _draw(self, done: int, total: int, detail: str, new: bool) -> None:
        if new or self._task is None:
            self._task = self._live.add_task(self._stage, total=total or None, detail=detail)
        self._live.update(self._task, completed=done, total=total or None, detail=detail)

    def _print(self, done: int, total: int, detail: str, new: bool) -> None:
        now = self._clock()
        if new:
            self._started = now
        elif now - self._told < LINE_EVERY and not (total and done >= total):
            return
        self._told = now
        count = f"{done}/{total}" if total else str(done)
        line = f"{self._stage} {count} {now - self._started:.0f} s {detail}".rstrip()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
