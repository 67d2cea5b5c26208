"""How people say things: numbers, units, durations and doses aloud, and the noises in between.

Every `say_*` function returns one of several renderings; `renderings(value)` lists all that may occur for a
value, which is what a test (or a judge) needs to find the value in a dialogue again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import TypeVar

T = TypeVar("T")

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNIT_WORDS = {
    "mg": "milligram",
    "mcg": "microgram",
    "g": "gram",
    "mL": "milliliter",
    "units": "unit",
    "puffs": "puff",
    "drops": "drop",
    "sprays": "spray",
}
FREQUENCIES: dict[str, tuple[str, ...]] = {
    "once daily": ("once a day", "once daily", "one time a day"),
    "twice daily": ("twice a day", "two times a day", "twice daily"),
    "three times daily": ("three times a day", "three times daily"),
    "four times daily": ("four times a day", "four times daily"),
    "five times daily": ("five times a day", "five times daily"),
    "at bedtime": ("at bedtime", "every night at bedtime"),
    "every morning": ("every morning",),
    "every 4 hours": ("every four hours", "every 4 hours"),
    "every 6 hours": ("every six hours", "every 6 hours"),
    "every 8 hours": ("every eight hours", "every 8 hours"),
    "every 12 hours": ("every twelve hours", "every 12 hours"),
    "every other day": ("every other day",),
    "once weekly": ("once a week", "once weekly"),
    "twice weekly": ("twice a week", "twice weekly"),
    "every 2 weeks": ("every two weeks", "every 2 weeks"),
    "once monthly": ("once a month", "once monthly"),
    "every 3 months": ("every three months", "every 3 months"),
    "once": ("just once", "once", "one single time, once"),
    "as needed": ("as needed", "only as needed"),
}
HESITATIONS = ("um", "uh", "er", "hmm", "you know", "let me think", "I mean", "well", "how do I put it")


def pick(rng: Random, options: Sequence[T]) -> T:
    """One of `options`; faster than `Random.choice`."""
    return options[int(rng.random() * len(options))]


@lru_cache(maxsize=4096)
def words(n: int) -> str:
    """12 -> "twelve", 145 -> "one hundred and forty-five". Up to 999,999."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")
    if n < 1000:
        rest = f" and {words(n % 100)}" if n % 100 else ""
        return f"{_ONES[n // 100]} hundred{rest}"
    rest = f" {words(n % 1000)}" if n % 1000 else ""
    return f"{words(n // 1000)} thousand{rest}"


@lru_cache(maxsize=4096)
def short_words(n: int) -> str:
    """The clipped way: 142 -> "one forty two", 101 -> "one oh one", 150 -> "one fifty"."""
    if not 100 < n < 1000 or n % 100 == 0:
        return words(n).replace("-", " ")
    head, tail = _ONES[n // 100], n % 100
    return f"{head} {'oh ' + _ONES[tail] if tail < 10 else words(tail).replace('-', ' ')}"


@lru_cache(maxsize=8192)
def renderings(value: str) -> tuple[str, ...]:
    """All ways a decimal number ("7.2") or a pair ("142/88") may be said or written, digits first."""
    if "/" in value:
        high, low = value.split("/")
        return (
            value,
            f"{high} over {low}",
            f"{short_words(int(high))} over {short_words(int(low))}",
            f"{words(int(high))} over {words(int(low))}",
        )
    if "." in value:
        whole, tail = value.split(".")
        digits = " ".join(_ONES[int(d)] for d in tail)
        out = [value, f"{words(int(whole))} point {digits}", f"{short_words(int(whole))} point {digits}"]
        if 100 <= int(whole) < 200:
            out.append(words(int(whole)).replace("one hundred", "a hundred", 1) + f" point {digits}")
        return tuple(dict.fromkeys(out))
    n = int(value)
    return tuple(dict.fromkeys((value, words(n), short_words(n))))


def say_number(value: str, rng: Random, spoken: float = 0.5) -> str:
    """A number as digits or, with probability `spoken`, as words."""
    forms = renderings(value)
    if rng.random() >= spoken:
        return forms[1] if "/" in value and rng.random() < 0.5 else forms[0]
    return pick(rng, forms[2:] if "/" in value else forms[1:])


def plural(noun: str, value: str) -> str:
    return noun if value in ("1", "one") else f"{noun}s"


def say_duration(time: str, rng: Random, spoken: float = 0.7) -> str:
    """ "3 day" -> "three days" or "3 days"."""
    number, noun = time.split(" ", 1)
    if number == "1" and rng.random() < 0.5:
        return f"{'an' if noun[0] == 'h' else 'a'} {noun}" if noun != "day" else "one day"
    return f"{say_number(number, rng, spoken)} {plural(noun, number)}"


def say_dose(value: str, unit: str, rng: Random, spoken: float = 0.5) -> str:
    """ "10", "mg" -> "ten milligrams", "10 milligrams" or "10 mg"."""
    word = plural(_UNIT_WORDS[unit], value) if unit in _UNIT_WORDS else "percent" if unit == "%" else unit
    if "/" in value or rng.random() >= spoken:  # a combined strength such as 875/125 stays written
        return f"{value} {unit if unit in ('mg', 'mcg', 'g', 'mL') else word}"
    return f"{value if rng.random() < 0.3 else pick(rng, renderings(value)[1:])} {word}"


def say_frequency(frequency: str, rng: Random) -> str:
    return pick(rng, FREQUENCIES.get(frequency, (frequency,)))


def hesitate(rng: Random) -> str:
    return pick(rng, HESITATIONS)


def listing(items: Sequence[str], last: str = "or") -> str:
    """["a", "b", "c"] -> "a, b or c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
