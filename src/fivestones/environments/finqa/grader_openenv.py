"""How the public FinQA environment grades, for results that compare with it.

1.0 when right, else 0.0. A number is right when its relative error is at most 1% and its absolute error at
most 1.0; for a truth of 0 when it is below 0.001. See `right` for what counts as which number. Every step is
linear in the length of the texts.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

LONGEST = 100  # characters of a number
NEAR_ZERO = Fraction(1, 1000)
_BOX = "\\boxed{"
_SPACES = re.compile(r"\\[ ;,:!]|~")
_LABEL = re.compile(r"\\text\{[^{}]*\}")
_WRAPPER = re.compile(r"\\[()\[\]]|\\?\$")
_GROUPED = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_PART = re.compile(r";|\n|,(?![0-9]{3}(?![0-9]))")
_YEARS = re.compile(
    r"(?:fy ?)?([0-9]{4})(?: ?(?:to|->|→|–|-|\\to|\\rightarrow) ?(?:fy ?)?([0-9]{4}))?", re.IGNORECASE
)


def right(answer: str, truth: str, relative: float, absolute: float) -> bool:
    """Whether `answer` is `truth`.

    - `\\boxed{}` counts where there is one, whatever stands around it; `\\( \\)`, `\\[ \\]`, `$`, `$$`,
      `\\text{...}` and white space are dropped on either side.
    - `%` and `\\%` divide by 100; when that is not right and the truth has no %, the % of the answer is
      dropped: 4.5% is 4.500, 0.5% is not 50%. A plain 6.28 is not 6.28%.
    - 1/2, (77) = -77, 1,234 and 1e3 are numbers; 1/0 and 1/2/3 are not. What is no number is compared as
      text, without case; a number is never a text; nothing at all is wrong.
    - Several values in one box: by year or range of years, in any order, when each has such a key, otherwise
      by position. Several boxes: each in order.
    """
    margin = Fraction(str(relative)), Fraction(str(absolute))
    got, wanted = _values(answer), _values(truth)
    if not got or not wanted:
        return False
    if len(got) == len(wanted) == 1:
        if _same(got[0], wanted[0], margin):
            return True
        if _number(wanted[0]) is not None:
            return False
    return _same_lists(_parts(got), _parts(wanted), margin)


def _values(text: str) -> list[str]:
    """The contents of the boxes, else the text itself; without wrappers, empty ones left out."""
    boxes, at = [], text.find(_BOX)
    while at >= 0:
        start = at + len(_BOX)
        end = _closing(text, start)
        if end < 0:
            break
        boxes.append(text[start:end])
        at = text.find(_BOX, end)
    return [clean for value in boxes or [text] if (clean := _clean(value))]


def _closing(text: str, start: int) -> int:
    """Where the brace that was opened before `start` is closed; -1 when it never is."""
    depth = 1
    for brace in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.start()
    return -1


def _clean(value: str) -> str:
    spaced = _SPACES.sub(" ", _LABEL.sub("", value))
    lines = (" ".join(line.split()) for line in _WRAPPER.sub("", spaced).splitlines())
    return "\n".join(line for line in lines if line)


def _number(text: str, percent: bool = True) -> Fraction | None:
    if len(text) > LONGEST:
        return None
    text, hundredth = text.strip(), Fraction(1)
    if text.endswith("%"):
        text = text[:-1].removesuffix("\\").rstrip()
        hundredth = Fraction(1, 100) if percent else hundredth
    if text.startswith("(") and text.endswith(")"):
        text = "-" + text[1:-1].strip()
    text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text).replace("- ", "-")
    over, slash, under = text.partition("/")
    upper, lower = _plain(over), _plain(under) if slash else Fraction(1)
    return upper / lower * hundredth if upper is not None and lower else None


def _plain(text: str) -> Fraction | None:
    return Fraction(Decimal(text.strip())) if _NUMBER.fullmatch(text.strip()) else None


def _same(answer: str, truth: str, margin: tuple[Fraction, Fraction]) -> bool:
    wanted = _number(truth)
    if wanted is None:
        return _number(answer) is None and answer.casefold() == truth.casefold()
    read = [_number(answer)]
    if not truth.endswith("%"):
        read.append(_number(answer, percent=False))
    return any(got is not None and _near(got, wanted, margin) for got in read)


def _near(got: Fraction, wanted: Fraction, margin: tuple[Fraction, Fraction]) -> bool:
    if not wanted:
        return abs(got) < NEAR_ZERO
    error = abs(got - wanted)
    return error <= margin[0] * abs(wanted) and error <= margin[1]


def _parts(values: list[str]) -> list[tuple[str, str]]:
    """(key of a year or of years, or '', value) of each of several values; of several boxes each is one."""
    texts = values if len(values) > 1 else [part for part in _PART.split(values[0]) if part.strip()]
    parts = []
    for text in texts:
        label, colon, value = text.partition(":")
        if not colon:
            label, colon, value = text.partition("=")
        years = _YEARS.fullmatch(label.strip()) if colon else None
        key = "-".join(year for year in years.groups() if year) if years else ""
        parts.append((key, (value if colon else text).strip()))
    return parts


def _same_lists(
    got: list[tuple[str, str]], wanted: list[tuple[str, str]], margin: tuple[Fraction, Fraction]
) -> bool:
    if len(got) != len(wanted) or len(wanted) < 2:
        return False
    if all(key for key, _ in got) and all(key for key, _ in wanted):
        got, wanted = sorted(got), sorted(wanted)
        if [key for key, _ in got] != [key for key, _ in wanted]:
            return False
    return all(_same(a, t, margin) for (_, a), (_, t) in zip(got, wanted, strict=True))
