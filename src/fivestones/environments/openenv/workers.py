"""Threads that run an environment's calls; each owns an environment.

An environment may hold what belongs to one thread (a database connection), so each thread makes its own. A
thread cannot be stopped from outside: one whose call overran its time is left to end by itself, and another
takes its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Env = TypeVar("Env")
Made = TypeVar("Made")


class Workers(Generic[Env]):
    """`count` threads over environments of `make`. stuck_limit: how many overrun calls may be alive before no
    further thread is started (then calls wait, and time out, until one of them ends)."""

    def __init__(self, make: Callable[[], Env], count: int, stuck_limit: int = 16) -> None:
        self._make = make
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[Env], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._running: dict[Future[Any], _Worker] = {}
        self._stuck: set[_Worker] = set()
        self._stuck_limit = stuck_limit
        self._wanted = count
        self._alive = 0
        self._closed = False
        with self._lock:
            self._fill()

    def run(self, work: Callable[[Env], Made]) -> Future[Made]:
        """Work in a thread that has an environment; what it raises is the future's exception."""
        future: Future[Made] = Future()
        self._queue.put((future, work))
        return future

    def give_up(self, future: Future[Any]) -> None:
        """Nobody waits for this work any more: drops it if it has not begun, else replaces its thread."""
        if future.cancel():
            return
        with self._lock:
            worker = self._running.get(future)
            if worker is not None:
                worker.left = True
                self._stuck.add(worker)
                self._alive -= 1
                self._fill()

    def close(self) -> None:
        """Lets the threads end after what they are doing."""
        with self._lock:
            self._closed = True
        for _ in range(self._wanted):
            self._queue.put(None)

    def _fill(self) -> None:
        while not self._closed and self._alive < self._wanted and len(self._stuck) < self._stuck_limit:
            self._alive += 1
            # daemon: a stuck call must not keep the process from ending
            threading.Thread(target=self._loop, args=(_Worker(),), daemon=True).start()

    def _loop(self, worker: _Worker) -> None:
        environment: Env | None = None
        while not worker.left:
            item = self._queue.get()
            if item is None:
                return
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            with self._lock:
                self._running[future] = worker
            try:
                if environment is None:
                    environment = self._make()
                future.set_result(work(environment))
            except BaseException as error:
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._running[future]
        with self._lock:
            self._stuck.discard(worker)
            self._fill()


class _Worker:
    left = False  # its call overran: it ends when the call does
