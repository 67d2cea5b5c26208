"""Ctrl-C between whole steps: never in the middle of an update, and what was learned is saved first."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from fivestones.errors import JudgePausedError, ModelError

log = logging.getLogger(__name__)


class WholeSteps:
    """While it is entered, Ctrl-C waits for `between`; a second one does not wait, and nothing is saved.
    A step that the model refuses (a gradient that is not finite) ends it too, and the steps before are saved.

    Elsewhere than in the main thread, which alone hears of Ctrl-C, it changes nothing.
    """

    def __init__(self, save: Callable[[], object]) -> None:
        """save: keeps the weights as they are between two steps."""
        self._save = save
        self._before: Any = None
        self._waits: tuple[int, FrameType | None] | None = None
        self._free = False

    def __enter__(self) -> WholeSteps:
        # a handler that is not Python's has its own ways
        if threading.current_thread() is threading.main_thread() and callable(
            signal.getsignal(signal.SIGINT)
        ):
            self._before = signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if error is None:
            self._deliver()
        elif isinstance(error, ModelError):  # refused before any weight changed
            self._save()

    @contextmanager
    def between(self) -> Iterator[None]:
        """The block changes no weights: Ctrl-C and a pause of the judge end it, and the last whole step is
        saved."""
        try:
            self._free = True
            self._deliver()
            yield
        except (KeyboardInterrupt, JudgePausedError):
            self._free = False
            self._save()
            raise
        finally:
            self._free = False

    def pause(self) -> None:
        """A moment between two whole steps."""
        with self.between():
            pass

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._free or self._waits:
            self._before(number, frame)
            return
        self._waits = (number, frame)
        log.warning("stopping when this step, or part of an evaluation, is done; Ctrl-C again stops at once")

    def _deliver(self) -> None:
        if self._waits and self._before is not None:
            waits, self._waits = self._waits, None
            self._before(*waits)
