"""Errors of the answer against its provenance: what the reference answer is made from, and near misses.

All of these are 0.0 when the answer is right, by whatever way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fivestones.environments.finqa.diagnose.figures import FACTORS, Figure, figures, figures_of_answer
from fivestones.environments.finqa.diagnose.reading import QUERY, Asked, Reading, fold
from fivestones.environments.finqa.diagnose.statement import read_statement
from fivestones.environments.finqa.grader import grade


def wrong_entity(reading: Reading) -> float | None:
    """Not right, and a query of another company was answered, or no call named the company of the question.
    None when no call names a company."""
    named = [call for call in reading.calls if call.company]
    if not named or not reading.company:
        return None
    elsewhere = any(c.answered and c.company != reading.company for c in named if c.name == QUERY)
    nowhere = all(call.company != reading.company for call in named)
    return float(not reading.right and (elsewhere or nowhere))


def wrong_table(reading: Reading) -> float | None:
    """Not right, and a table that the answer is made from was never queried, though the model gave a final
    answer or queried a table that is not needed. None when no table was queried."""
    queried = {call.table for call in reading.of(QUERY) if call.table and call.company == reading.company}
    if not queried or not reading.needed:
        return None
    chose = reading.answer is not None or bool(queried - reading.needed)
    return float(not reading.right and chose and not reading.needed <= queried)


def wrong_cell(reading: Reading) -> float | None:
    """Not right, and of a needed table that was queried some needed cell was not: no reply shows its text or
    its number, and no query names its column and compares with the label of its row. None when no query of a
    needed table was answered."""
    queries = [c for c in reading.of(QUERY) if c.answered and c.company == reading.company]
    cells = [cell for cell in _cells(reading) if any(_of(cell, call) for call in queries)]
    if not cells:
        return None
    if reading.right:
        return 0.0
    return float(any(not any(_reads(call, cell) for call in queries if _of(cell, call)) for cell in cells))


def near_miss(reading: Reading) -> float | None:
    """Wrong, but equal to a distractor of the task (a neighbouring row or year, another table, scale or
    sign), or to the right answer up to its unit, its sign, a factor of 100 or a power of 1000. None without
    a final answer."""
    if reading.answer is None:
        return None
    if reading.right:
        return 0.0
    return float(_is_distractor(reading) or _is_scaled(reading.figures, figures_of_answer(reading.truth)))


def _cells(reading: Reading) -> Iterator[Mapping[str, Any]]:
    return (cell for cell in reading.task.reference.get("cells") or () if cell.get("text") is not None)


def _of(cell: Mapping[str, Any], call: Asked) -> bool:
    return fold(str(cell.get("table", ""))) == call.table


def _reads(call: Asked, cell: Mapping[str, Any]) -> bool:
    text = fold(str(cell["text"]))
    if any(fold(value) == text for value in _values(call.decoded)):
        return True
    size = figures(text)
    if size and all(figure.shown_in(call.figures, factors=(1.0,)) for figure in size):
        return True
    statement = read_statement(str(call.arguments.get("query", "")))
    return (
        fold(str(cell.get("column"))) in statement.columns and fold(str(cell.get("row"))) in statement.texts
    )


def _values(decoded: Any) -> Iterator[str]:
    rows = decoded if isinstance(decoded, list) else []
    return (str(value) for row in rows if isinstance(row, dict) for value in row.values())


def _is_distractor(reading: Reading) -> bool:
    answers = (str(d.get("answer", "")) for d in reading.task.reference.get("distractors") or ())
    return any(grade(reading.answer or "", answer, reading.grading) >= 1.0 for answer in answers if answer)


def _is_scaled(given: Sequence[Figure], truth: Sequence[Figure]) -> bool:
    """One factor takes all numbers of the answer to those of the truth, to the coarser display of each."""
    if not given or len(given) != len(truth):
        return False
    return any(all(_equal(g, t, factor) for g, t in zip(given, truth, strict=True)) for factor in FACTORS)


def _equal(given: Figure, truth: Figure, factor: float) -> bool:
    slack = max(given.half * factor, truth.half) + 1e-9 * truth.size
    return abs(given.size * factor - truth.size) <= slack
