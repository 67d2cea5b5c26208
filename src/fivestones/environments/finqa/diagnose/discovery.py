"""Errors of discovery: answers and questions about tables that the model had not seen."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fivestones.environments.finqa.diagnose.reading import INSPECT, LIST, QUERY, Asked, Reading, fold
from fivestones.environments.finqa.diagnose.wordings import unknown_table

_NAMES = re.compile(r'"((?:[^"\\]|\\.)*+)"')


def no_tool_answer(reading: Reading) -> float | None:
    """A final answer in an episode in which no tool was called (attempts that cannot be read are no calls).
    None without a final answer."""
    if reading.answer is None:
        return None
    return float(all(call.malformed for call in reading.calls))


def undiscovered_table(reading: Reading) -> float | None:
    """A table was inspected or queried before a call of get_table_names, further up in the order of calls,
    listed it for that company. None when none was inspected or queried."""
    asked = _asked(reading)
    if not asked:
        return None
    return float(any(call.table not in _listed(reading, call) for call in asked))


def hallucinated_table(reading: Reading) -> float | None:
    """A table was inspected or queried that the company does not have: the tool says so, or refuses the call
    for another reason and a whole list of the company's tables lacks it. None as above."""
    asked = _asked(reading)
    if not asked:
        return None
    return float(any(_does_not_exist(reading, call) for call in asked))


def same_turn_guess(reading: Reading) -> float | None:
    """One turn that uses what it cannot have seen yet: calls of tools beside a final answer (also submitted);
    or a table named beside the first list of the company's tables, or queried beside its first inspection.
    None without calls."""
    if not reading.calls:
        return None
    return float(any(_guesses(reading, turn.number) for turn in reading.turns))


def _asked(reading: Reading) -> list[Asked]:
    """Calls that name a table."""
    return [call for call in reading.of(INSPECT, QUERY) if call.table]


def _listed(reading: Reading, before: Asked) -> set[str]:
    """The tables of a call's company that were listed before it."""
    lists = [
        call for call in reading.of(LIST) if call.place < before.place and call.company == before.company
    ]
    return set().union(*(_names(call)[0] for call in lists))


def _names(call: Asked) -> tuple[set[str], bool]:
    """The names in a list of tables, and whether it is whole: a long list is cut in the middle."""
    if isinstance(call.decoded, list):
        return {fold(name) for name in call.decoded if isinstance(name, str)}, True
    return {fold(name) for name in _NAMES.findall(call.output or "")} if call.answered else set(), False


def _does_not_exist(reading: Reading, call: Asked) -> bool:
    if call.answered:
        return False
    if unknown_table(call):
        return True
    lists = [_names(other) for other in reading.of(LIST) if other.company == call.company]
    return any(whole and call.table not in names for names, whole in lists)


def _guesses(reading: Reading, turn: int) -> bool:
    here = reading.turns[turn]
    if here.calls and here.answers:
        return True
    for call in here.calls:
        if call.name not in (INSPECT, QUERY):
            continue
        lists = [c for c in reading.of(LIST) if c.company == call.company and c.place < call.place]
        if _first_here(lists, turn):
            return True
        if call.name == QUERY:
            infos = [c for c in reading.of(INSPECT) if _same_table(c, call) and c.place < call.place]
            if _first_here(infos, turn):
                return True
    return False


def _first_here(calls: Iterable[Asked], turn: int) -> bool:
    """Some call, and none of an earlier turn."""
    turns = [call.turn for call in calls]
    return bool(turns) and min(turns) == turn


def _same_table(a: Asked, b: Asked) -> bool:
    return (a.company, a.table) == (b.company, b.table)
