"""Families of questions about several tables: L5 (two tables), L6 (three to five, answered field by field).

A draft is drawn, not enumerated: the pairs and triples of the cells of a company are many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from fivestones.environments.finqa.world.drafts import (
    AS_RATIO,
    IN_PERCENT,
    IN_POINTS,
    PERCENT,
    POINTS,
    RATIO,
    Draft,
    Form,
    unit_ask,
    unit_form,
)
from fivestones.environments.finqa.world.expressions import (
    Expr,
    Figure,
    at_scale,
    percent,
    places,
    total,
    value,
)
from fivestones.environments.finqa.world.model import Line, Sheet

Draw = Callable[[Random, Sequence[Sheet]], Draft | None]  # from the sheets of a company


@dataclass(frozen=True, slots=True)
class MultiFamily:
    name: str
    draw: Draw
    held_out: bool = False  # asked in the test split only


def coverage(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _two(rng, sheets, years=1)
    if found is None:
        return None
    (a, b), (year,) = found
    one, two = _at(a, year), _at(b, year)
    if not (one.value > 0 and two.value > 0):
        return None
    ratio = _together(one, two)
    return _draft("coverage", ratio[0] / ratio[1], RATIO, AS_RATIO, a=named(one), b=named(two), year=year)


def share_across(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _two(rng, sheets, years=1)
    if found is None:
        return None
    (a, b), (year,) = found
    part, whole = _together(_at(a, year), _at(b, year))
    slots = {"a": named(_at(a, year)), "b": named(_at(b, year)), "year": year}
    return _draft("share across", percent(part, whole), PERCENT, IN_PERCENT, **slots)


def gap_across(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _two(rng, sheets, years=1)
    if found is None:
        return None
    (a, b), (year,) = found
    one, two = _at(a, year), _at(b, year)
    if one.unit.scale > two.unit.scale:  # answered in the finer scale: nothing is lost
        left, right = at_scale(one, two.unit.scale), at_scale(two, two.unit.scale)
        unit, decimals = two.unit, places(two)
    else:
        left, right = one, at_scale(two, one.unit.scale)
        unit, decimals = one.unit, places(one)
    if one.unit.scale == two.unit.scale:
        decimals = max(places(one), places(two))
    slots = {"a": named(one), "b": named(two), "year": year}
    draft = _draft("gap across", left - right, unit_form(unit, decimals), unit_ask(unit), **slots)
    return draft if one.value * one.unit.scale > two.value * two.unit.scale else None


def growth_gap(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _two(rng, sheets, years=2)
    if found is None:
        return None
    (a, b), (old, new) = found
    rates = [percent(_at(x, new) - _at(x, old), _at(x, old)) for x in (a, b)]
    if value(rates[0]) < value(rates[1]):  # "by how much did it exceed" has no sign
        a, b, rates = b, a, rates[::-1]
    slots = {"a": named(_at(a, old)), "b": named(_at(b, old)), "year": old, "year2": new}
    return _draft("growth gap", rates[0] - rates[1], POINTS, IN_POINTS, **slots)


def mix_shift_across(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _two(rng, sheets, years=2)
    if found is None:
        return None
    (a, b), (old, new) = found
    shares = [percent(*_together(_at(a, year), _at(b, year))) for year in (new, old)]
    slots = {"a": named(_at(a, old)), "b": named(_at(b, old)), "year": old, "year2": new}
    return _draft("mix shift across", shares[0] - shares[1], POINTS, IN_POINTS, **slots)


def weighted_average(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    """Rates of one table, weighted by the amounts of the same lines in another."""
    pairs = [
        (weights, rates)
        for weights in sheets
        for rates in sheets
        if weights.unit.kind == "usd" and rates.unit.kind == "percent" and len(_shared(weights, rates)) > 1
    ]
    if not pairs:
        return None
    weights, rates = rng.choice(pairs)
    years = sorted(set(weights.years) & set(rates.years))
    if not years:
        return None
    year = rng.choice(years)
    shared = _shared(weights, rates)
    picked = sorted(rng.sample(range(len(shared)), rng.randint(2, min(3, len(shared)))))
    lines = [shared[n] for n in picked]
    amounts = [Figure(weights, one.key, year) for one, _ in lines]
    shares = [Figure(rates, two.key, year) for _, two in lines]
    if not all(f.there and f.value > 0 for f in (*amounts, *shares)):
        return None
    mean = total([a * r for a, r in zip(amounts, shares, strict=True)]) / total([*amounts])
    labels = _listed([one.label for one, _ in lines])
    slots = {"a": weights.subject, "b": rates.subject, "labels": labels, "year": year}
    return _draft("weighted average", mean, PERCENT, IN_PERCENT, **slots)


def common_size(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    """Lines of two to four tables against a total of another."""
    found = _several(rng, sheets, rng.choice((3, 3, 4, 5)), years=1)
    if found is None:
        return None
    (base, *parts), (year,) = found
    whole = _at(base, year)
    fields = []
    for part in parts:
        figure = _at(part, year)
        fields.append((figure.label, percent(*_together(figure, whole))))
    listed = _listed([named(_at(part, year)) for part in parts])
    slots = {"parts": listed, "b": named(whole), "year": str(year)}
    return _fields("common size", fields, slots)


def combined_share(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    """Two lines of two tables as a share of a line of a third, in two years."""
    found = _several(rng, sheets, 3, years=2)
    if found is None:
        return None
    (c, a, b), years = found
    fields = []
    for year in years:
        trio = [_at(x, year) for x in (a, b, c)]
        finest = min(f.unit.scale for f in trio)
        one, two, whole = (at_scale(f, finest) for f in trio)
        fields.append((str(year), percent(one + two, whole)))
    labels = {key: named(_at(x, years[0])) for key, x in zip("abc", (a, b, c), strict=True)}
    return _fields("combined share", fields, {**labels, "year": str(years[0]), "year2": str(years[1])})


def growth_of_several(rng: Random, sheets: Sequence[Sheet]) -> Draft | None:
    found = _several(rng, sheets, rng.choice((3, 3, 4)), years=2)
    if found is None:
        return None
    lines, (old, new) = found
    fields = [(_at(x, old).label, percent(_at(x, new) - _at(x, old), _at(x, old))) for x in lines]
    listed = _listed([named(_at(x, old)) for x in lines])
    return _fields("growth of several", fields, {"parts": listed, "year": str(old), "year2": str(new)})


Place = tuple[Sheet, Line]


def named(figure: Figure) -> str:
    return f"{figure.label} ({figure.sheet.subject})"


def _at(place: Place, year: int) -> Figure:
    return Figure(place[0], place[1].key, year)


def _two(rng: Random, sheets: Sequence[Sheet], years: int) -> tuple[list[Place], list[int]] | None:
    found = _several(rng, sheets, 2, years)
    return None if found is None else (found[0][::-1], found[1])


def _several(
    rng: Random, sheets: Sequence[Sheet], count: int, years: int
) -> tuple[list[Place], list[int]] | None:
    """Lines in dollars of different tables, all of them shown in these years (in ascending order). The first
    is what the others are held against: a total, where its table has one."""
    money = [sheet for sheet in sheets if sheet.unit.kind == "usd"]
    if len(money) < count:
        return None
    picked = rng.sample(money, count)
    common = sorted(set.intersection(*(set(sheet.years) for sheet in picked)))
    if len(common) < years:
        return None
    at = sorted(rng.sample(common, years))
    bases = [line for line in picked[0].lines if line.kind != "item"] or picked[0].lines
    lines = [(picked[0], rng.choice(bases)), *((sheet, rng.choice(sheet.lines)) for sheet in picked[1:])]
    if not all(_at(place, year).there and _at(place, year).value for place in lines for year in at):
        return None
    return lines, at


def _together(one: Figure, two: Figure) -> tuple[Expr, Expr]:
    """Both in the finer scale of the two."""
    finest = min(one.unit.scale, two.unit.scale)
    return at_scale(one, finest), at_scale(two, finest)


def _shared(one: Sheet, two: Sheet) -> list[tuple[Line, Line]]:
    """Items of both, by label."""
    labels = {line.label.casefold(): line for line in two.lines if line.kind == "item"}
    return [
        (line, labels[line.label.casefold()])
        for line in one.lines
        if line.kind == "item" and line.label.casefold() in labels
    ]


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _draft(family: str, expr: Expr, form: Form, ask: str, **slots: object) -> Draft:
    texts = {key: str(slot) for key, slot in slots.items()}
    return Draft(family=family, fields=(("", expr),), form=form, ask=ask, slots=texts)


def _fields(family: str, fields: Sequence[tuple[str, Expr]], slots: dict[str, str]) -> Draft | None:
    keys = [key for key, _ in fields]
    if len({key.casefold() for key in keys}) < len(keys) or any(set(":;") & set(key) for key in keys):
        return None
    return Draft(family=family, fields=tuple(fields), form=PERCENT, ask=IN_PERCENT, slots=slots)


PAIRS = (
    MultiFamily("coverage", coverage),
    MultiFamily("share across", share_across),
    MultiFamily("gap across", gap_across),
    MultiFamily("growth gap", growth_gap),
    MultiFamily("mix shift across", mix_shift_across),
    MultiFamily("weighted average", weighted_average, held_out=True),
)
SEVERAL = (
    MultiFamily("common size", common_size),
    MultiFamily("combined share", combined_share),
    MultiFamily("growth of several", growth_of_several),
)
