"""Errors of querying: SQL written without a look at the table, refused, or read wrongly. None of these
applies without a call of sql_query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from fivestones.environments.finqa.diagnose.reading import INSPECT, QUERY, Asked, Reading, fold
from fivestones.environments.finqa.diagnose.statement import Aggregate, read_statement
from fivestones.environments.finqa.diagnose.wordings import refused_query, unknown_column

_PLAIN = re.compile(r"\s*-?\d+(?:\.\d+)?\s*")


def uninspected_query(reading: Reading) -> float | None:
    """A table was queried before a call of get_table_info, further up in the order of calls, showed it."""

    def uninspected(call: Asked) -> bool:
        return not any(
            info.answered and (info.company, info.table) == (call.company, call.table)
            for info in reading.of(INSPECT)
            if info.place < call.place
        )

    return _any_query(reading, uninspected)


def wrong_column(reading: Reading) -> float | None:
    """A query named a column that its table does not have."""
    return _any_query(reading, unknown_column)


def guard_violation(reading: Reading) -> float | None:
    """A query was refused by a rule of the tool: SELECT *, no filter, something other than reading ..."""
    return _any_query(reading, refused_query)


def text_aggregate(reading: Reading) -> float | None:
    """A query that was answered took SUM, AVG, TOTAL, MIN or MAX of a column as text: not through REPLACE,
    and unless all values of the column that get_table_info showed are plain numbers. SUM('31,510') is 31."""

    def aggregates_text(call: Asked) -> bool:
        if not call.answered or not isinstance(call.arguments.get("query"), str):
            return False
        aggregates = read_statement(call.arguments["query"]).aggregates
        return any(_of_text(a, _samples(reading, call)) for a in aggregates if not a.cleaned)

    return _any_query(reading, aggregates_text)


def empty_ignored(reading: Reading) -> float | None:
    """A query returned no rows, its table was not queried again, and the final answer is a number; unless
    the table is not needed and another query returned rows later. None when no query came back empty."""
    empty = [call for call in reading.of(QUERY) if _is_empty(call)]
    if not empty:
        return None
    return float(bool(reading.figures) and any(_ignored(reading, call) for call in empty))


def _any_query(reading: Reading, happened: Callable[[Asked], bool]) -> float | None:
    queries = list(reading.of(QUERY))
    return float(any(map(happened, queries))) if queries else None


def _of_text(aggregate: Aggregate, samples: Mapping[str, list[object]]) -> bool:
    def plain(column: str) -> bool:
        shown = [value for value in samples.get(column, ()) if value is not None]
        return bool(shown) and all(_PLAIN.fullmatch(str(value)) for value in shown)

    return not all(map(plain, aggregate.columns))


def _samples(reading: Reading, query: Asked) -> dict[str, list[object]]:
    """Column -> its values as get_table_info showed them before the query."""
    out: dict[str, list[object]] = {}
    for info in reading.of(INSPECT):
        if info.place > query.place or (info.company, info.table) != (query.company, query.table):
            continue
        columns = info.decoded.get("columns") if isinstance(info.decoded, dict) else None
        if isinstance(columns, dict):
            out |= {fold(name): shown for name, shown in columns.items() if isinstance(shown, list)}
    return out


def _is_empty(call: Asked) -> bool:
    return call.answered and (call.output or "").strip() == "[]"


def _ignored(reading: Reading, empty: Asked) -> bool:
    later = [call for call in reading.of(QUERY) if call.place > empty.place]
    if any((call.company, call.table) == (empty.company, empty.table) for call in later):
        return False
    elsewhere = any(call.answered and not _is_empty(call) for call in later)
    return empty.table in reading.needed or not elsewhere
