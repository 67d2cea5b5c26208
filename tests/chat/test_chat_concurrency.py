from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivestones.chat.concurrency import GROW_AFTER, AdaptiveLimit, Slots


def values(start: int, most: int, events: str) -> list[int]:
    """The limit after each event: `+` GROW_AFTER successes, `-` the refusal of a request sent just before."""
    limit = AdaptiveLimit(start, most)
    seen = []
    for event in events:
        if event == "+":
            for _ in range(GROW_AFTER):
                limit.succeeded()
        else:
            limit.refused(limit.sent())
        seen.append(limit.value)
    return seen


@pytest.mark.parametrize(
    ("start", "most", "events", "expected"),
    [
        (8, 64, "+++", [9, 10, 11]),
        (8, 64, "------", [6, 4, 3, 2, 1, 1]),
        (8, 64, "-++-", [6, 7, 8, 6]),
        (63, 64, "+++", [64, 64, 64]),
        (1, 1, "+-+", [1, 1, 1]),
        (64, 64, "-", [48]),
    ],
)
def test_golden_sequences(start: int, most: int, events: str, expected: list[int]) -> None:
    assert values(start, most, events) == expected


def test_growth_takes_exactly_25_successes_since_the_last_change() -> None:
    limit = AdaptiveLimit(4, 8)
    for _ in range(24):
        limit.succeeded()
    assert limit.value == 4
    limit.succeeded()
    assert limit.value == 5
    for _ in range(24):
        limit.succeeded()
    limit.refused(limit.sent())
    limit.succeeded()
    assert limit.value == 3  # the 24 before the cut no longer count


def test_a_burst_of_refusals_is_one_signal() -> None:
    limit = AdaptiveLimit(32, 64)
    burst = [limit.sent() for _ in range(32)]
    for sent in burst:
        limit.refused(sent)
    assert limit.value == 24
    limit.refused(limit.sent())
    assert limit.value == 18


@given(st.integers(1, 40), st.integers(0, 40), st.lists(st.booleans(), max_size=400))
def test_the_limit_stays_between_one_and_the_most(start: int, more: int, good: list[bool]) -> None:
    limit = AdaptiveLimit(start, start + more)
    for g in good:
        limit.succeeded() if g else limit.refused(limit.sent())
        assert 1 <= limit.value <= start + more


def run_slots(
    limit: AdaptiveLimit, tasks: int, cancelled: frozenset[int] = frozenset()
) -> tuple[int, list[int]]:
    """(most inside at once, who got in, in order); those of `cancelled` leave while they wait."""

    async def main() -> tuple[int, list[int]]:
        slots, inside, most, order = Slots(limit), 0, 0, []

        async def one(i: int) -> None:
            nonlocal inside, most
            async with slots.slot():
                order.append(i)
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                finally:
                    inside -= 1
                limit.succeeded()

        started = [asyncio.create_task(one(i)) for i in range(tasks)]
        await asyncio.sleep(0)
        for i in cancelled:
            started[i].cancel()
        await asyncio.gather(*started, return_exceptions=True)
        async with slots.slot():  # nothing leaked
            pass
        return most, order

    return asyncio.run(asyncio.wait_for(main(), 10))


def test_no_more_inside_than_the_limit_and_in_order() -> None:
    most, order = run_slots(AdaptiveLimit(3, 3), 20)
    assert most == 3
    assert order == list(range(20))


def test_a_limit_that_grows_lets_more_in() -> None:
    most, _ = run_slots(AdaptiveLimit(2, 4), 120)
    assert most == 4


@given(st.sets(st.integers(0, 29)))
def test_who_is_cancelled_takes_no_slot_along(cancelled: set[int]) -> None:
    most, order = run_slots(AdaptiveLimit(2, 2), 30, frozenset(cancelled))
    assert most <= 2
    assert set(range(30)) - cancelled <= set(order)


def test_a_slot_handed_over_to_who_is_cancelled_in_the_same_moment_is_handed_on() -> None:
    async def main() -> None:
        slots = Slots(AdaptiveLimit(1, 1))

        async def hold() -> None:
            async with slots.slot():
                await asyncio.sleep(0)

        first = asyncio.create_task(hold())
        second = asyncio.create_task(hold())
        third = asyncio.create_task(hold())
        await first  # its slot is second's now, who has not run yet
        second.cancel()
        await third

    asyncio.run(asyncio.wait_for(main(), 10))
