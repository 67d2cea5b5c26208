"""Many calls that wait for a server, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fivestones.errors import FivestonesError

T = TypeVar("T")


def in_order(call: Callable[..., T], arguments: Iterable[tuple[Any, ...]], threads: int) -> Iterator[T]:
    """Results in the order of the arguments. The first error ends it: calls that have not begun never do.

    Those under way are waited for when it is an error of ours (what they bring is paid for, and kept by
    whom they call), and left alone when it is Ctrl-C.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="teacher")
    try:
        futures = [pool.submit(call, *each) for each in arguments]
        for future in futures:
            yield future.result()
    except FivestonesError:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
