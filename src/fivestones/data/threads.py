"""Many calls that wait for a server, at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from fivestones.errors import FivestonesError

T = TypeVar("T")


def in_order(call: Callable[..., T], arguments: Iterable[tuple[Any, ...]], threads: int) -> Iterator[T]:
    """Results in the order of the arguments, each forgotten once it is taken. The first error ends it: calls
    that have not begun never do.

    Those under way are waited for when it is an error of ours (what they bring is paid for, and kept by
    whom they call), and left alone when it is Ctrl-C: their threads do not keep the process from ending.
    """
    # a deque may be popped and cleared by several threads: a call has begun, or it is here
    waiting: deque[tuple[Future[T], tuple[Any, ...]]] = deque()
    futures: deque[Future[T]] = deque()
    for each in arguments:
        futures.append(Future())
        waiting.append((futures[-1], each))

    def work() -> None:
        while True:
            try:
                future, each = waiting.popleft()
            except IndexError:
                return
            try:
                future.set_result(call(*each))
            except BaseException as error:  # raised where the result is asked for
                waiting.clear()  # those before it have all begun
                future.set_exception(error)

    # daemons: an executor's threads would be joined when the process ends
    workers = [Thread(target=work, name="rows", daemon=True) for _ in range(min(threads, len(futures)))]
    for worker in workers:
        worker.start()
    try:
        while futures:
            yield futures.popleft().result()
    except FivestonesError:
        waiting.clear()
        for worker in workers:
            worker.join()
        raise
    finally:
        waiting.clear()
