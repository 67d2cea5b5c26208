"""Whether a final answer is right: strictly, with unit and scale, or as the public environment grades."""

from __future__ import annotations

import re
from typing import Literal

from fivestones.environments.finqa import grader_openenv
from fivestones.environments.finqa.number import CURRENCIES, Quantity, read

Mode = Literal["strict", "openenv"]

MONEY = frozenset(CURRENCIES.values())
_FINAL = re.compile(r"[ \t>#*_]*final answer[ \t*_]*:[*_]*(.*)", re.IGNORECASE)
_QUOTES = "\"'“”‘’`*"


def grade(
    answer: str, truth: str, mode: Mode = "strict", *, relative: float = 0.01, absolute: float = 1.0
) -> float:
    """How right `answer` is, in [0, 1]; no text raises. `relative` and `absolute`: tolerances of openenv.

    openenv: see grader_openenv. strict:
    - Both sides are read as displayed numbers (number.py): digits, sign or parentheses, `—` for nil, scale
      word, unit. Right is the truth's unit, and a value in base units within half a unit of the truth's last
      displayed digit. "$ 1,234 million" accepts 1,234,000,000, "$1.234 billion", "1234 million" and more
      precise values; not "1,234" and not "1,234 thousand".
    - No free factors: "12.5 %" takes % or percent, never 0.125; a truth in percentage points takes percentage
      points (or basis points).
    - Of money the currency may be left out; any other unit in its place (another currency, %, shares, x) is
      wrong, and so is any other unit left out, or added; but a bare number takes "x" or "times". "Per share"
      makes no difference.
    - A truth that is no number is text: equal without case, white space collapsed, quotes and a final full
      stop ignored. Text is never a number.
    - A truth of several fields, "2023: 5.1 %; 2024: 6.0 %", gives the mean over them: found by their keys in
      any order, parted by ";" or lines; a missing field and one that is given twice are wrong.
    """
    if mode == "openenv":
        return float(grader_openenv.right(answer, truth, relative, absolute))
    fields = _fields(truth)
    if len(fields) < 2 or "" in fields:
        return float(_right(answer, truth))
    given = _fields(answer)
    right = [
        len(values) == len(given.get(key, ())) == 1 and _right(given[key][0], values[0])
        for key, values in fields.items()
    ]
    return sum(right) / len(right)


def final_answers(text: str) -> tuple[str, ...]:
    """Every answer that a line `FINAL ANSWER: ...` gives, in order: the rest of its line, or, where that is
    empty, the lines below up to an empty one."""
    lines = text.splitlines()
    answers = []
    for index, line in enumerate(lines):
        match = _FINAL.match(line)
        if match:
            answer = match[1].strip().strip("*").strip() or _below(lines, index + 1)
            if answer:
                answers.append(answer)
    return tuple(answers)


def final_answer(text: str) -> str | None:
    """The last one of `final_answers`; None when there is none."""
    answers = final_answers(text)
    return answers[-1] if answers else None


def _below(lines: list[str], start: int) -> str:
    kept: list[str] = []
    for line in lines[start:]:
        if _FINAL.match(line) or (kept and not line.strip()):
            break
        if line.strip():
            kept.append(line.strip().strip("*").strip())
    return "\n".join(kept)


def _fields(text: str) -> dict[str, list[str]]:
    """key -> its values; under '' what has no key."""
    fields: dict[str, list[str]] = {}
    for part in re.split(r"[;\n]", text):
        if part.strip():
            key, colon, value = part.partition(":")
            fields.setdefault(_plain(key) if colon else "", []).append(value)
    return fields


def _right(answer: str, truth: str) -> bool:
    said, wanted = _plain(answer), _plain(truth)
    if not said or not wanted:
        return False
    if said == wanted:
        return True
    number = read(wanted)
    got = read(said) if number else None
    return bool(
        number and got and _same_unit(got, number) and abs(got.base - number.base) <= number.tolerance
    )


def _same_unit(got: Quantity, wanted: Quantity) -> bool:
    if not wanted.unit and got.unit == "x":  # "how many times": 3.20, 3.20x and 3.20 times say the same
        return True
    return got.unit == wanted.unit or (not got.unit and wanted.unit in MONEY)


def _plain(text: str) -> str:
    collapsed = " ".join(text.split()).casefold().strip(_QUOTES + " ")
    return collapsed.removesuffix(".").strip(_QUOTES + " ")
