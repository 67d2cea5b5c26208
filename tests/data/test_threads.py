from __future__ import annotations

import subprocess
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Any

import pytest

from fivestones.data import threads
from fivestones.data.threads import in_order
from fivestones.errors import DataError


def test_results_keep_the_order_whatever_ends_first() -> None:
    second = threading.Event()

    def call(i: int) -> int:
        if i == 0:
            assert second.wait(10)
        if i == 1:
            second.set()
        return i * i

    assert list(in_order(call, [(i,) for i in range(5)], 2)) == [0, 1, 4, 9, 16]
    assert list(in_order(call, [], 4)) == []


def test_after_an_error_nothing_more_begins() -> None:
    begun = []

    def call(i: int) -> int:
        begun.append(i)
        if i == 3:
            raise DataError("row 3")
        return i

    rows = in_order(call, [(i,) for i in range(50)], 1)
    assert [next(rows) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="row 3"):
        next(rows)
    assert begun == [0, 1, 2, 3]


def test_a_call_that_has_begun_is_not_taken_back_by_the_error_of_a_later_one() -> None:
    def hold_up(frame: FrameType, event: str, arg: Any) -> Any:
        """The thread with row 0, at each line of `in_order`: row 1 fails meanwhile."""
        if frame.f_code.co_filename != threads.__file__:
            return None
        if frame.f_locals.get("each") == (0,):
            time.sleep(0.005)
        return hold_up

    def call(i: int) -> int:
        if i:
            raise DataError("row 1")
        return i

    threading.settrace(hold_up)
    try:
        rows = in_order(call, [(0,), (1,)], 2)
        assert next(rows) == 0
        with pytest.raises(DataError, match="row 1"):
            next(rows)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]


def test_a_result_that_was_taken_is_forgotten() -> None:
    class Row:
        pass

    taken = []
    for row in in_order(lambda i: Row(), [(i,) for i in range(20)], 2):
        taken.append(weakref.ref(row))
        if len(taken) == 20:
            assert [ref() for ref in taken[:-3]] == [None] * 17


def test_an_error_of_ours_waits_for_what_is_under_way() -> None:
    ended = []
    under_way, failed = threading.Event(), threading.Event()

    def call(i: int) -> None:
        if i == 0:
            assert under_way.wait(10)
            failed.set()
            raise DataError("row 0")
        under_way.set()
        assert failed.wait(10)
        ended.append(i)

    with pytest.raises(DataError, match="row 0"):
        list(in_order(call, [(0,), (1,)], 2))
    assert ended == [1]


def test_a_call_that_hangs_does_not_keep_the_process() -> None:
    program = """
import threading
from fivestones.data.threads import in_order
asked = threading.Event()
def call(i):
    asked.set()
    threading.Event().wait()
rows = in_order(call, [(0,)], 1)
threading.Thread(target=lambda: next(rows), daemon=True).start()
assert asked.wait(10)
raise KeyboardInterrupt
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert b"KeyboardInterrupt" in ended.stderr and ended.returncode != 0
