"""Numbers, spoken or in digits, with units and conversion; frequencies as doses a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fivestones.score.facts.frequency import rates
from fivestones.score.facts.tokens import Token, tokenize
from fivestones.score.facts.units import ONES, PER, TENS, UNITS, WORDS


@dataclass(frozen=True, slots=True)
class Quantity:
    value: float
    second: float | None  # the lower number of a pair such as 142/88
    unit: str | None  # canonical, None when the text gives none
    dimension: str  # mass, time, temperature, pair, rate (a day), age, date, number ...
    start: int  # token positions [start, end)
    end: int
    weak: bool = False  # a small bare number word ("one of them"): satisfies, never counts against

    @property
    def label(self) -> str:
        if self.dimension == "date":
            return f"date {self.value:.0f}"
        pair = "" if self.second is None else f"/{self.second:g}"
        return f"{self.value:g}{pair} {self.unit or ''}".strip()

    @property
    def base(self) -> float:
        """The value in the base unit of its dimension (mg, day, F, kg, cm ...)."""
        if self.unit == "C":
            return self.value * 9 / 5 + 32
        known = UNITS.get((self.unit or "").lower())
        return self.value * known[1] if known and known[2] == self.dimension else self.value


def same(a: Quantity, b: Quantity) -> bool:
    """Equal after conversion. A bare number equals the same number with any unit."""
    if (a.second is None) != (b.second is None):
        return False
    if a.second is not None and b.second is not None:
        return a.value == b.value and a.second == b.second
    if a.dimension != b.dimension:
        bare = "number" in (a.dimension, b.dimension) and not {a.dimension, b.dimension} & {"rate", "date"}
        return bare and abs(a.value - b.value) < 1e-9
    if a.dimension == "temperature":
        return abs(a.base - b.base) <= (0.01 if a.unit == b.unit else 0.15)
    # 2 weeks = 14 days exactly; 6 weeks ~ 1.5 months, 155 lb ~ 70 kg only roughly
    slack = (
        1e-6 if a.unit == b.unit else {"time": 0.09, "weight": 0.015, "length": 0.03}.get(a.dimension, 1e-6)
    )
    return abs(a.base - b.base) <= slack * max(abs(a.base), abs(b.base)) + 1e-9


def quantities(text: str, tokens: Sequence[Token]) -> list[Quantity]:
    """Every number, pair, duration, frequency and date, in text order."""
    lower = text.lower()
    out: list[Quantity] = []
    taken: set[int] = set()
    starts = {t.start: i for i, t in enumerate(tokens)}
    for start, end, doses in rates(lower) if len(lower) == len(text) else ():
        first = starts.get(start)
        if first is None:
            continue
        last = first
        while last < len(tokens) and tokens[last].start < end:
            last += 1
        out += [Quantity(rate, None, "a day", "rate", first, last) for rate in doses]
        taken.update(range(first, last))
    i = 0
    while i < len(tokens):
        found = None if i in taken else _quantity(tokens, i, taken)
        if found:
            out += found
            i = max(found[-1].end, i + 1)
        else:
            i += 1
    return sorted(out, key=lambda q: (q.start, q.end, q.value))


def spoken_time(q: Quantity) -> str:
    """The canonical text of a duration or frequency; `parse` reads it back."""
    if q.dimension != "rate":
        return f"{q.value:g} {q.unit}"
    named = {
        1: "once daily",
        2: "twice daily",
        3: "three times daily",
        4: "four times daily",
        5: "five times daily",
    }
    if q.value in named:
        return named[int(q.value)]
    return f"every {round(1 / q.value)} days" if q.value < 1 else f"every {round(24 / q.value)} hours"


def parse(text: str) -> list[Quantity]:
    """The quantities of a short canonical text such as "3 day", "142/88", "twice daily"."""
    return quantities(text, tokenize(text))


def canonical(value: str, unit: str | None) -> list[Quantity]:
    """The quantity of a fact's value and unit; empty when the value is not a number."""
    found = parse(f"{value} {unit}" if unit else value)
    if unit and found and found[0].dimension == "number":
        return (
            [Quantity(found[0].value, found[0].second, unit, unit, 0, 0)]
            if found[0].second is None
            else found[:1]
        )
    return found[:1]


def _quantity(tokens: Sequence[Token], i: int, taken: set[int]) -> list[Quantity] | None:
    text = tokens[i].text
    if text.count("/") == 2 and text[0].isdecimal():
        return [Quantity(float(text.replace("/", "")), None, None, "date", i, i + 1)]
    parsed = number(tokens, i)
    if parsed is None:
        return None
    value, j, spoken = parsed
    second = None
    if j < len(tokens) and tokens[j].text in ("/", "over") and j not in taken:
        lower_part = number(tokens, j + 1)
        if lower_part:
            second, j = lower_part[0], lower_part[1]
    elif _is(tokens, j, "out") and _is(tokens, j + 1, "of"):
        whole = number(tokens, j + 2)
        if whole:
            second, j = whole[0], whole[1]
    if second is not None:
        end = j + 1 if j < len(tokens) and tokens[j].text == "mmhg" else j
        return [Quantity(value, second, None, "pair", i, end)]
    values = [value]
    if j < len(tokens) and tokens[j].text in ("-", "to", "or", "\u2013"):
        upper = number(tokens, j + 1)
        if upper and upper[0] > value and _unit(tokens, upper[1], upper[0])[0]:
            values.append(upper[0])
            j = upper[1]
    unit, dimension, end = _unit(tokens, j, value)
    if text in ("a", "an") and (dimension != "time" or end == j) and not (spoken and value >= 2):
        return None
    weak = unit is None and (spoken and value < 20)
    return [Quantity(v, None, unit, dimension, i, end, weak) for v in values]


def _is(tokens: Sequence[Token], i: int, word: str) -> bool:
    return i < len(tokens) and tokens[i].text == word


def _unit(tokens: Sequence[Token], j: int, value: float) -> tuple[str | None, str, int]:
    """(unit, dimension, end) of the unit at token j, or (None, "number", j)."""
    k = j + 1 if j < len(tokens) and tokens[j].text in ("-", "\u00b0") else j
    if (
        _is(tokens, k, "of")
        and k + 1 < len(tokens)
        and UNITS.get(tokens[k + 1].text, ("", 0, ""))[2] == "time"
    ):
        k += 1  # "a couple of days"
    if k >= len(tokens):
        return None, "number", j
    text = tokens[k].text
    if text in ("degree", "degrees", "\u00b0"):
        follow = tokens[k + 1].text if k + 1 < len(tokens) else ""
        if follow in ("f", "c", "fahrenheit", "celsius", "centigrade"):
            return follow[0].upper(), "temperature", k + 2
        return ("F" if value > 60 else "C"), "temperature", k + 1
    if text == "mm" and _is(tokens, k + 1, "hg"):
        return "mmHg", "pressure", k + 2
    if text == "yo":
        return "age", "age", k + 1
    entry = UNITS.get(text)
    if entry is None:
        if text == "/" and _is(tokens, k + 1, "min"):
            return "/min", "per_minute", k + 2
        return None, "number", j
    unit, _, dimension = entry
    end = k + 1
    if _is(tokens, end, "/") and end + 1 < len(tokens) and tokens[end + 1].text in PER:
        return f"{unit}/{tokens[end + 1].text}", f"{unit}/{tokens[end + 1].text}", end + 2
    if unit in ("bpm", "/min") and _per_minute(tokens, end):
        end += 2
    if unit == "year":
        after = end + 1 if _is(tokens, end, "-") else end
        if _is(tokens, after, "old") or (_is(tokens, after, "of") and _is(tokens, after + 1, "age")):
            return "age", "age", after + 1
    return unit, dimension, end


def _per_minute(tokens: Sequence[Token], i: int) -> bool:
    if i + 1 >= len(tokens) or tokens[i].text not in ("per", "a", "/"):
        return False
    return tokens[i + 1].text in ("minute", "min")


def number(tokens: Sequence[Token], i: int) -> tuple[float, int, bool] | None:
    """(value, next position, spoken?) of the number that starts at token i."""
    if i >= len(tokens):
        return None
    text = tokens[i].text
    if text[0].isdecimal():
        if "/" in text:
            return None
        return float(text.replace(",", "")), i + 1, False
    if text in ("a", "an"):
        if _is(tokens, i + 1, "hundred") or _is(tokens, i + 1, "thousand"):
            return _spoken(tokens, i + 1, 1.0)
        if _is(tokens, i + 1, "couple"):
            return 2.0, i + 2, True
        if _is(tokens, i + 1, "half"):
            return 0.5, i + 2, True
        return 1.0, i + 1, True
    if text == "half" and (_is(tokens, i + 1, "a") or _is(tokens, i + 1, "an")):
        return 0.5, i + 2, True
    if text in WORDS or text == "hundred":
        return _spoken(tokens, i, None)
    return None


def _spoken(tokens: Sequence[Token], i: int, value: float | None) -> tuple[float, int, bool]:
    """The number in words at token i; `value` is what stands before it ("a hundred": 1)."""
    thousands, last = 0.0, "" if value is None else "one"
    value = value or 0.0
    while i < len(tokens):
        word = tokens[i].text
        nxt = tokens[i + 1].text if i + 1 < len(tokens) else ""
        after = word == "-" and last in TENS and 0 < ONES.get(nxt, 0) < 10  # thirty-five
        if after or (word == "and" and last in ("hundred", "thousand") and nxt in WORDS):
            i += 1
            continue
        if word in ("oh", "zero", "o") and last and value < 10 and 0 < ONES.get(nxt, 0) < 10:
            value, last = value * 100 + ONES[nxt], nxt  # "one oh two" = 102
            i += 2
            continue
        if word == "thousand":
            thousands, value = max(value, 1.0) * 1000, 0.0
        elif word == "hundred":
            value = max(value, 1.0) * 100
        elif word in WORDS and (joined := _join(value, last, WORDS[word])) is not None:
            value = joined
        else:
            break
        last = word
        i += 1
    value += thousands
    if _is(tokens, i, "point"):
        digits, k = "", i + 1
        while k < len(tokens) and (tokens[k].text in WORDS or tokens[k].text in ("oh", "o")):
            digits += str(WORDS.get(tokens[k].text, 0))
            k += 1
        if digits:
            return float(f"{value:.0f}.{digits}"), k, True
    if _is(tokens, i, "and") and _is(tokens, i + 1, "a") and _is(tokens, i + 2, "half"):
        return value + 0.5, i + 3, True
    return value, i, True


def _join(value: float, last: str, part: int) -> float | None:
    """`value` said so far, then `part`; None when a new number starts."""
    if last in ("", "hundred", "thousand") or (last in TENS and 0 < part < 10):
        return value + part
    if (0 < value < 10 or 19 <= value < 100) and part >= 10:
        return value * 100 + part  # "one forty two" = 142, "nineteen eighty" = 1980
    return None
