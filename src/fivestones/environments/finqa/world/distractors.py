"""Near misses: the answers of an agent that took another scale, sign, row, year, table or company."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

from fivestones.environments.finqa.world.drafts import SCALES, Draft, Form
from fivestones.environments.finqa.world.expressions import Figure, Undefined, UnitError, moved, value
from fivestones.environments.finqa.world.ladder import Names, plain
from fivestones.environments.finqa.world.model import Company, Sheet

T = TypeVar("T")
Move = Callable[[Figure], Figure]


def distractors(draft: Draft, names: Names, other: Company | None) -> Iterator[tuple[str, str]]:
    """(kind, answer). `other`: a company of the same split."""
    if draft.missing is not None:
        if draft.kept is not None and (text := answer(draft.kept)):
            yield "year", text
        return
    if scaled := _rescaled(draft):
        yield "scale", scaled
    if text := answer(draft, sign=-1):
        yield "sign", text
    for kind, move in _moves(draft, names, other):
        try:
            missed = replace(draft, fields=tuple((key, moved(expr, move)) for key, expr in draft.fields))
            text = answer(missed)
        except (Undefined, UnitError):
            continue
        if text is not None:
            yield kind, text


def answer(draft: Draft, sign: int = 1, by: int = 1, form: Form | None = None) -> str | None:
    """As displayed; None where it has no value."""
    form = form or draft.form
    texts = []
    for key, expr in draft.fields:
        try:
            number = value(expr) * sign * by
        except Undefined:
            return None
        shown = form.text(number.quantize(Decimal(1).scaleb(-form.places), ROUND_HALF_UP))
        texts.append(f"{key}: {shown}" if key else shown)
    return "; ".join(texts)


def _rescaled(draft: Draft) -> str | None:
    """Another word for the scale; without one, percent for a fraction and the like."""
    form = draft.form
    for scale, word in SCALES.items():
        if word and f" {word}" in form.after:
            near = SCALES[scale // 1000] or SCALES[scale * 1000]
            return answer(draft, form=replace(form, after=form.after.replace(word, near)))
    return answer(draft, by=100)


def _moves(draft: Draft, names: Names, other: Company | None) -> Iterator[tuple[str, Move]]:
    first = draft.figures[0]
    used = {f.key for f in draft.figures if f.sheet is first.sheet}
    for line in _neighbours([line.key for line in first.sheet.lines], first.key):
        if line not in used:
            yield "row", _change(first, key=line)
            break
    years = {f.year for f in draft.figures}
    for year in _neighbours(sorted(first.sheet.years), first.year):
        if year not in years:
            yield "year", _year(first.year, year)
            break
    for twin in names.twins.get(first.sheet.name, ()):
        yield "table", _sheet({first.sheet.name: twin})
    if other is not None:
        same = {}
        for sheet in draft.sheets:
            alike = [s for s in other.sheets if s.topic == sheet.topic and s.subject == sheet.subject]
            if len(alike) == 1:
                same[sheet.name] = alike[0]
        if len(same) == len(draft.sheets):
            yield "entity", _sheet(same)


def _neighbours(ordered: list[T], here: T) -> list[T]:
    """The next ones, then those before, nearest first."""
    at = ordered.index(here)
    return [*ordered[at + 1 :], *ordered[:at][::-1]]


def _change(first: Figure, key: str) -> Move:
    def move(figure: Figure) -> Figure:
        mine = figure.sheet is first.sheet and figure.key == first.key
        return Figure(figure.sheet, key, figure.year) if mine else figure

    return move


def _year(here: int, there: int) -> Move:
    return lambda f: Figure(f.sheet, f.key, there) if f.year == here else f


def _sheet(sheets: dict[str, Sheet]) -> Move:
    def move(figure: Figure) -> Figure:
        target = sheets.get(figure.sheet.name, figure.sheet)
        wanted = plain(figure.label)
        for line in target.lines:
            if plain(line.label) == wanted:
                return Figure(target, line.key, figure.year)
        raise Undefined(f"no line {figure.label} in {target.name}")

    return move
