"""Many calls that wait for a server, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from fivestones.errors import FivestonesError

T = TypeVar("T")


def in_order(call: Callable[..., T], arguments: Iterable[tuple[Any, ...]], threads: int) -> Iterator[T]:
    """Results in the order of the arguments. The first error ends it: calls that have not begun never do.

    Those under way are waited for when it is an error of ours (what they bring is paid for, and kept by
    whom they call), and left alone when it is Ctrl-C: their threads do not keep the process from ending.
    """
    waiting: SimpleQueue[tuple[Future[T], tuple[Any, ...]]] = SimpleQueue()
    futures: list[Future[T]] = []
    for each in arguments:
        futures.append(Future())
        waiting.put((futures[-1], each))

    def work() -> None:
        while True:
            try:
                future, each = waiting.get_nowait()
            except Empty:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call(*each))
            except BaseException as error:  # raised where the result is asked for
                future.set_exception(error)
                _drop(futures)  # those before it have all begun

    # daemons: an executor's threads would be joined when the process ends
    workers = [Thread(target=work, name="rows", daemon=True) for _ in range(min(threads, len(futures)))]
    for worker in workers:
        worker.start()
    try:
        for future in futures:
            yield future.result()
    except FivestonesError:
        _drop(futures)
        for worker in workers:
            worker.join()
        raise
    finally:
        _drop(futures)


def _drop(futures: Iterable[Future[T]]) -> None:
    for future in futures:
        future.cancel()
