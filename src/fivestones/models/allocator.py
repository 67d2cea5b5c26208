"""Memory of a long-running process: freed tensors stay in it within a step (on Linux, glibc returns every
large one to the kernel and faults it in again page by page), and torch's caches of kernels stay small
(docs/experiments.md)."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

from fivestones.machine import MOST, memory_limit, process_memory

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 32 << 20  # bytes: glibc accepts no higher threshold; above it, blocks still come and go one by one
SHARE = 0.3  # of the memory that there is
# Each shape of a bfloat16 product leaves about 0.6 MB in two caches of 1,024 kernels, which rows of ever new
# lengths fill; their capacity is read at the first product. A row needs about 40.
_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128", "LRU_CACHE_CAPACITY": "128"}


def keep_memory() -> bool:
    """True when the C library took the settings; other platforms, and what the environment sets, are left as
    they are. Call it before the first product of matrices."""
    for name, capacity in _KERNELS.items():
        os.environ.setdefault(name, capacity)
    libc = _glibc()
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, 2**31 - 1))
    return libc is not None and all([libc.mallopt(key, value) == 1 for key, value in settings])


def release_memory(most: int | None = None) -> None:
    """Give free pages back when the process holds more than `most` bytes; by default MOST or SHARE of what
    there is, the lower of both. Called between steps: kept for ever, blocks of many sizes would leave ever
    more holes; given back each time, every step faults them in anew (5 to 15% of its time)."""
    if most is None:
        limit = memory_limit()
        most = MOST if limit is None else min(MOST, int(SHARE * limit))
    libc = _glibc()
    if libc is not None and process_memory() > most:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:  # not glibc
        return None
