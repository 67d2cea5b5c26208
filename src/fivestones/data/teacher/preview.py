"""A few rows as they would be, and what all of them would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.data.teacher.account import cost_of
from fivestones.data.teacher.attempts import Attempt
from fivestones.data.teacher.realiser import Told
from fivestones.data.threads import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Of all rows, from a few: good to the order of magnitude."""

    rows: int
    seen: int  # rows that it was made from
    replies: int
    input_tokens: int
    output_tokens: int
    money: float  # in the currency of the recipe's prices; 0 where it names none
    seconds_low: float  # with as many requests at once as the limits allow
    seconds_high: float  # with as many as they begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    told: tuple[Told, ...]
    columns: tuple[str, ...]  # that are shown, in order
    forecast: Forecast


def preview(
    tell: Callable[[Any], Told],
    items: Sequence[Any],
    count: int,
    columns: Sequence[str],
    *,
    at_once: tuple[int, int],
) -> Preview:
    """Tells `count` items, spread evenly over all. at_once: requests at the beginning, and at most."""
    n = min(count, len(items))
    chosen = [items[k * len(items) // n] for k in range(n)]
    told = tuple(in_order(tell, [(item,) for item in chosen], at_once[1]))
    return Preview(told=told, columns=tuple(columns), forecast=_forecast(told, len(items), at_once))


def _forecast(told: Sequence[Told], rows: int, at_once: tuple[int, int]) -> Forecast:
    """Scales what these rows took, rejected attempts included."""
    replies = [attempt.reply for one in told for attempt in one.attempts]
    spent: Mapping[str, Any] = cost_of(replies)
    times = rows / len(told) if told else 0.0
    # a reply that was kept still says how long it took; what no model wrote took its own time
    seconds = sum(reply.seconds for reply in replies) or sum(one.seconds for one in told)
    first, most = at_once
    return Forecast(
        rows=rows,
        seen=len(told),
        replies=round(spent["replies"] * times),
        input_tokens=round(spent["input_tokens"] * times),
        output_tokens=round(spent["output_tokens"] * times),
        money=spent["money"] * times,
        seconds_low=seconds * times / most,
        seconds_high=seconds * times / first,
    )


def line_of(attempt: Attempt) -> str:
    """An attempt in words: "dialogue, attempt 2: left out: cough 3 day"."""
    return f"{attempt.column}, attempt {attempt.number}: {'; '.join(attempt.faults) or 'passes'}"
