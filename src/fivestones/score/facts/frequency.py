"""How often: "twice daily", "BID", "every 8 hours" as doses a day."""

from __future__ import annotations

import re

from fivestones.score.facts.units import ONES, WORDS

_COUNT = r"(?:once|twice|[1-5]x|(?:one|1) time|(?:two|2|three|3|four|4|five|5) times)"
_TIMES = {"once": 1, "twice": 2}
_SPELLED = "|".join(word for word in ONES if word != "zero") + "|twenty[- ]four|forty[- ]eight"
_N = rf"\d+|{_SPELLED}"
_RATE = re.compile(
    rf"\b(?P<count>{_COUNT})[ -]?(?:an?|per|each|every)?[ -]?"
    r"(?P<per>daily|day|weekly|week|monthly|month|night|nightly)\b"
    rf"|\b(?:every|each|q\.?) ?(?P<n>{_N})?(?: ?(?:to|-|or) ?(?P<m>{_N}))? ?"
    r"(?P<unit>hours?|hrs?|h|days?|weeks?|months?)\b"
    r"|\b(?P<abbr>b\.?i\.?d\b\.?|t\.?i\.?d\b\.?|q\.?i\.?d\b\.?|q\.?d\b\.?|q\.?h\.?s\b\.?|q\.?a\.?m\b\.?|q\.?p\.?m\b\.?)"
    r"|\b(?P<word>every other day|every day|everyday|each day|daily|a day|per day|every morning|each morning|"
    r"every evening|every night|each night|nightly|at bedtime|at night|before bed|weekly|a week|per week|"
    r"monthly)\b"
)
_ABBR = {"bid": 2.0, "tid": 3.0, "qid": 4.0, "qd": 1.0, "qhs": 1.0, "qam": 1.0, "qpm": 1.0}
_RATE_WORDS = {
    "weekly": 1 / 7,
    "per week": 1 / 7,
    "a week": 1 / 7,
    "monthly": 1 / 30.44,
    "every other day": 0.5,
}
_PERIOD = {"d": 1.0, "n": 1.0, "w": 7.0, "m": 30.44, "h": 1 / 24}
_NOT_A_RATE = {"a day", "a week"}  # "a day ago", "a week of cough": only after a number ("2 packs a day")


def _number_of(text: str) -> float:
    parts = text.replace("-", " ").split()
    return float(parts[0]) if parts[0].isdecimal() else float(sum(WORDS[p] for p in parts))


def _count(text: str) -> int:
    first = text.split()[0].removesuffix("x")
    return _TIMES.get(first) or int(_number_of(first))


def rates(text: str) -> list[tuple[int, int, list[float]]]:
    """(start, end, doses a day) by character offset."""
    out = []
    for m in _RATE.finditer(text):
        if m["count"]:
            doses = [_count(m["count"]) / _PERIOD[m["per"][0]]]
        elif m["unit"]:
            doses = [1 / (_number_of(x) * _PERIOD[m["unit"][0]]) for x in (m["n"] or "1", m["m"]) if x]
        elif m["abbr"]:
            doses = [_ABBR[m["abbr"].replace(".", "")]]
        elif m["word"] in _NOT_A_RATE:
            before = text[: m.start()].split()[-2:]
            if not any(w in WORDS or w.isdecimal() for w in before):
                continue
            doses = [_RATE_WORDS.get(m["word"], 1.0)]
        else:
            doses = [_RATE_WORDS.get(m["word"], 1.0)]
        out.append((m.start(), m.end(), doses))
    return out
