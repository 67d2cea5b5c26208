"""Families of questions about one table: each yields its drafts over a sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

from fivestones.environments.finqa.world.drafts import (
    AS_RATIO,
    IN_PERCENT,
    IN_POINTS,
    PERCENT,
    POINTS,
    RATIO,
    Draft,
    in_unit,
    unit_ask,
    unit_form,
)
from fivestones.environments.finqa.world.expressions import (
    Expr,
    Figure,
    at_scale,
    number,
    percent,
    places,
    total,
)
from fivestones.environments.finqa.world.model import Line, Sheet, Unit
from fivestones.environments.finqa.world.topics.registry import flows

AMOUNTS = ("usd", "shares", "employees")  # kinds that add up


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    drafts: Callable[[Sheet], Iterator[Draft]]
    held_out: bool = False  # asked in the test split only


def cells(sheet: Sheet) -> Iterator[Figure]:
    for line in sheet.lines:
        for year in sheet.years:
            if (figure := Figure(sheet, line.key, year)).there:
                yield figure


def pairs_of_years(sheet: Sheet, apart: int = 1) -> Iterator[tuple[Figure, Figure]]:
    """The same line in an earlier and a later year."""
    for line in sheet.lines:
        for old, new in combinations(sorted(sheet.years), 2):
            first, last = Figure(sheet, line.key, old), Figure(sheet, line.key, new)
            if new - old >= apart and first.there and last.there:
                yield first, last


def pairs_of_lines(sheet: Sheet, *kinds: str) -> Iterator[tuple[Figure, Figure]]:
    """Two lines in the same year, both ways round."""
    lines = [line for line in sheet.lines if line.kind in kinds] if kinds else sheet.lines
    for one, two in permutations(lines, 2):
        for year in sheet.years:
            first, last = Figure(sheet, one.key, year), Figure(sheet, two.key, year)
            if first.there and last.there:
                yield first, last


def slots(sheet: Sheet, *lines: Line | str, **more: object) -> dict[str, str]:
    labels = [line if isinstance(line, str) else line.label for line in lines]
    named = dict(zip(("label", "label2", "label3"), labels, strict=False))
    return {"subject": sheet.subject, **named, **{key: str(value) for key, value in more.items()}}


def lookup(sheet: Sheet) -> Iterator[Draft]:
    for cell in cells(sheet):
        yield from in_unit("lookup", cell, slots(sheet, cell.label, year=cell.year), looked_up=True)


def conversion(sheet: Sheet) -> Iterator[Draft]:
    """A cell in another scale than the table's."""
    wanted = {1_000: 1_000_000, 1_000_000: 1_000}.get(sheet.unit.scale)
    if wanted is None or sheet.unit_shown == "cells":
        return
    unit = Unit(sheet.unit.kind, wanted)
    for cell in cells(sheet):
        decimals = max(0, places(cell) + (3 if wanted > sheet.unit.scale else -3))
        yield Draft(
            family="conversion",
            fields=(("", at_scale(cell, wanted)),),
            form=unit_form(unit, decimals),
            ask=unit_ask(unit) + _with(decimals),
            slots=slots(sheet, cell.label, year=cell.year),
            unstated=True,
        )


def _with(decimals: int) -> str:
    words = {1: "one decimal", 2: "two decimals", 3: "three decimals"}
    return f" with {words.get(decimals, f'{decimals} decimals')}" if decimals else ""


def net_change(sheet: Sheet) -> Iterator[Draft]:
    for old, new in pairs_of_years(sheet):
        yield from in_unit("net change", new - old, slots(sheet, old.label, year=old.year, year2=new.year))


def growth(sheet: Sheet) -> Iterator[Draft]:
    if sheet.unit.kind == "percent":
        return
    for old, new in pairs_of_years(sheet):
        if new.value > 0:  # to nil is -100 % whatever the figure
            rate = percent(new - old, old)
            yield _percent("growth", rate, sheet, old.label, year=old.year, year2=new.year)


def cagr(sheet: Sheet) -> Iterator[Draft]:
    if sheet.unit.kind == "percent":
        return
    for old, new in pairs_of_years(sheet, apart=2):
        root = number(1) / number(new.year - old.year)
        rate = ((new / old) ** root - number(1)) * number(100)
        yield _percent("CAGR", rate, sheet, old.label, year=old.year, year2=new.year)


def spread(sheet: Sheet) -> Iterator[Draft]:
    for one, two in pairs_of_lines(sheet):
        if one.value > two.value:
            named = slots(sheet, one.label, two.label, year=one.year)
            yield from in_unit("spread", one - two, named)


def sum_of_two(sheet: Sheet) -> Iterator[Draft]:
    if sheet.unit.kind not in AMOUNTS:
        return
    order = {line.key: n for n, line in enumerate(sheet.lines)}
    for one, two in pairs_of_lines(sheet, "item"):
        if order[one.key] < order[two.key]:
            yield from in_unit("sum", one + two, slots(sheet, one.label, two.label, year=one.year))


def share(sheet: Sheet) -> Iterator[Draft]:
    if sheet.unit.kind not in AMOUNTS:
        return
    for part, whole in pairs_of_lines(sheet):
        if sheet.line(whole.key).kind == "total" and 0 < part.value < whole.value:
            yield _percent("share", percent(part, whole), sheet, part.label, whole.label, year=part.year)


def ratio(sheet: Sheet) -> Iterator[Draft]:
    for one, two in pairs_of_lines(sheet):
        if one.value > 0 and two.value > 0:
            yield Draft(
                family="ratio",
                fields=(("", one / two),),
                form=RATIO,
                ask=AS_RATIO,
                slots=slots(sheet, one.label, two.label, year=one.year),
            )


def cumulative(sheet: Sheet) -> Iterator[Draft]:
    """A flow over all reported years; a balance at a date does not add up over years."""
    years = sorted(sheet.years)
    if sheet.unit.kind != "usd" or len(years) < 3 or sheet.topic not in flows():
        return
    for line in sheet.lines:
        over = [Figure(sheet, line.key, year) for year in years]
        if years[-1] - years[0] == len(years) - 1 and all(f.there for f in over):
            named = slots(sheet, line, year=years[0], year2=years[-1])
            yield from in_unit("sum over years", total([*over]), named)


def mix_shift(sheet: Sheet) -> Iterator[Draft]:
    """Change of a share between two years."""
    if sheet.unit.kind not in AMOUNTS:
        return
    wholes = [line for line in sheet.lines if line.kind == "total"]
    for whole in wholes:
        for old, new in pairs_of_years(sheet):
            base, then = Figure(sheet, whole.key, old.year), Figure(sheet, whole.key, new.year)
            if old.key == whole.key or not (base.there and then.there):
                continue
            if 0 < old.value < base.value and 0 < new.value < then.value:
                yield Draft(
                    family="mix shift",
                    fields=(("", percent(new, then) - percent(old, base)),),
                    form=POINTS,
                    ask=IN_POINTS,
                    slots=slots(sheet, old.label, whole, year=old.year, year2=new.year),
                )


def average(sheet: Sheet) -> Iterator[Draft]:
    if sheet.unit.kind == "percent":
        return
    for old, new in pairs_of_years(sheet):
        if new.year - old.year != 1:
            continue
        mean = (old + new) / number(2)
        for draft in in_unit("average", mean, slots(sheet, old.label, year=old.year, year2=new.year)):
            decimals = draft.form.places + 1  # of two whole numbers: a half is exact
            form = unit_form(sheet.unit, decimals)
            ask = f"{draft.ask}{_with(decimals)}".strip()
            yield Draft(
                family=draft.family,
                fields=draft.fields,
                form=form,
                ask=ask,
                slots=draft.slots,
                unstated=draft.unstated,
            )


def _percent(family: str, expr: Expr, sheet: Sheet, *labels: str, **years: int) -> Draft:
    named = slots(sheet, *labels, **years)
    return Draft(family=family, fields=(("", expr),), form=PERCENT, ask=IN_PERCENT, slots=named)


SINGLE = (
    Family("lookup", lookup),
    Family("conversion", conversion),
    Family("net change", net_change),
    Family("growth", growth),
    Family("CAGR", cagr),
    Family("spread", spread),
    Family("sum", sum_of_two),
    Family("share", share),
    Family("ratio", ratio),
    Family("sum over years", cumulative),
    Family("mix shift", mix_shift),
    Family("average", average, held_out=True),
)
