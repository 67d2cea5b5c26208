"""Keep freed memory in the process: on Linux, glibc returns every large tensor to the kernel and page-faults
it in again, which took more than half of a CPU update (docs/experiments.md)."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 32 << 20  # bytes: glibc accepts no higher threshold; above it, blocks still come and go one by one


def keep_memory() -> bool:
    """True when the C library took the settings; other platforms are left as they are."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, 2**31 - 1))
    return all([mallopt(key, value) == 1 for key, value in settings])
