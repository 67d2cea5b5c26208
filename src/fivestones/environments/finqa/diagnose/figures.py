"""Numbers as transcripts show them, compared by size: sign, unit and scale are told apart by the grader.

A model may write what it saw in other words: 1,234 (in millions) as 1.234 billion, 0.125 as 12.5 %, a loss
as (56) or -56. So a number counts as shown when it equals one that was, to the last digit that it is written
with, up to the sign and a factor of 100, 10^3, 10^6 or 10^9.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FACTORS = (1.0, 100.0, 0.01, 1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9)
SLACK = 1e-9  # relative: binary fractions

_NUMBER = re.compile(
    r"(?:(?P<whole>\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.(?P<part>\d++))?|\.(?P<bare>\d++))"
    r"(?:[eE](?P<power>[+-]?\d{1,3})(?!\w))?"
)
_SIZE = re.compile(re.sub(r"\?P<\w+>", "?:", _NUMBER.pattern))  # without groups: replies hold many numbers
_NIL = re.compile(r'"[\s$]*[—–-]+[\s%]*"')  # a cell that shows a dash is a nil
_KEY = re.compile(r"^[^:;]*:(?!\d)")  # of a field: "2023: 5.1 %"
_FIELDS = re.compile(r"[;\n]")


@dataclass(frozen=True, slots=True)
class Figure:
    """The size of a number and half a unit of the last digit that it is written with."""

    size: float  # at least 0
    half: float

    def shown_in(self, seen: Sequence[float], factors: Sequence[float] = FACTORS) -> bool:
        """seen: sizes, ascending."""
        return any(self._meets(seen, factor) for factor in factors)

    def _meets(self, seen: Sequence[float], factor: float) -> bool:
        slack = self.half + self.size * SLACK
        low = (self.size - slack) * factor
        place = bisect_left(seen, low)
        return place < len(seen) and seen[place] <= (self.size + slack) * factor


def figures(text: str) -> tuple[Figure, ...]:
    """All numbers in a text, as they stand there."""
    return tuple(map(_figure, _NUMBER.finditer(text)))


def figures_of_output(text: str) -> tuple[float, ...]:
    """Sizes of all numbers that a tool's reply shows, ascending; a cell with a dash shows 0."""
    sizes = {float(number.replace(",", "")) for number in _SIZE.findall(text)}
    if _NIL.search(text):
        sizes.add(0.0)
    return tuple(sorted(sizes))


def figures_of_answer(answer: str) -> tuple[Figure, ...]:
    """The values of an answer: without the keys of its fields, numbers that are part of a word, and years
    that only say when (those beside another number, or behind words)."""
    out: list[Figure] = []
    for part in _FIELDS.split(answer):
        value = _KEY.sub("", part)
        found = [m for m in _NUMBER.finditer(value) if not _in_word(value, m.start())]
        values = [m for m in found if not _year(m)]
        alone = [m for m in found if not any(map(str.isalpha, value[: m.start()]))]
        out += map(_figure, values or alone)
    return tuple(out)


def sizes(found: Iterable[Figure]) -> tuple[float, ...]:
    """Ascending, as `shown_in` wants them."""
    return tuple(sorted({figure.size for figure in found}))


def _figure(match: re.Match[str]) -> Figure:
    whole, part, power, bare = match.group("whole", "part", "power", "bare")
    fraction = part or bare or ""
    exponent = int(power or 0)
    text = f"{(whole or '0').replace(',', '')}.{fraction or '0'}e{exponent}"
    return Figure(float(text), float(f"0.5e{exponent - len(fraction)}"))


def _in_word(text: str, start: int) -> bool:
    return start > 0 and (text[start - 1].isalpha() or text[start - 1] == "_")


def _year(match: re.Match[str]) -> bool:
    return bool(re.fullmatch(r"(?:19|20)\d\d", match.group()))
