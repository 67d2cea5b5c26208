"""From the facts of a topic to a table as filings print it: units, years, columns, and the mess."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fivestones.environments.finqa.world.facts import Profile
from fivestones.environments.finqa.world.formats import (
    Style,
    cell,
    column_name,
    pick,
    rounded,
    scales,
    unit_phrase,
)
from fivestones.environments.finqa.world.model import Line, Sheet, Unit, Where
from fivestones.environments.finqa.world.topics.topic import Entry, Topic

Shown = Literal["description", "header", "cells"]

# What stands before a year in a column's name. So many that a name has to be read: with three a small model
# wrote one of them whatever it was shown. What is held out is unseen as a whole, but of usual words: of
# `fy2021` a model of 135M made `SELECTfy2021`, which says more of its tokens than of what it has learned.
_YEARS = (
    "y yr cy ay by ey my py ry ty p per year yr_ year_ fiscal_ annual_ period_ full_year_ twelve_months_ "
    "calendar_ reported_ audited_ tax_year_"
)
_DAYS = "december_31_ dec_ dec dec31_ at_ as_of_ end_of_ year_end_ ye eop_ close_ closing_ balance_ on_"
SHORT_YEARS, SHORT_DAYS = _YEARS.split(), _DAYS.split()


@dataclass(frozen=True, slots=True)
class House:
    """The habits of one company's filings, from which its tables stray now and then."""

    style: Style
    columns: str  # form of the years' columns over a year, such as year_{}
    balances: str  # and at its end
    unit_shown: Shown
    coarse: bool  # millions where the figures allow
    month: str  # in which the fiscal year ends: december_31
    mess: float  # 0 to 1
    held_out: bool  # writes as no company of the training split does


def house(rng: random.Random, profile: Profile, test: bool) -> House:
    held_out = test and rng.random() < 0.3
    month = "december_31" if profile.short else rng.choice(("december_31", "december_31", "june_30"))
    if profile.short:
        columns = rng.choice(SHORT_YEARS) + "{}"
        balances = pick(rng, ((columns, 0.4), (rng.choice(SHORT_DAYS) + "{}", 0.6)))
    else:
        columns = rng.choice(("year_{}", "{}", "fiscal_{}", f"{month}_{{}}", f"year_ended_{month}_{{}}"))
        balances = rng.choice((f"{month}_{{}}", f"as_of_{month}_{{}}", "{}", "year_{}"))
    if held_out:
        columns = balances = "fiscal_year_{}" if profile.short else "FY{}"
    style = Style(
        dollar="$" if rng.random() < 0.2 else "$ ",
        dollar_rows=rng.choice(("all", "ends", "none")),
        nil="-" if held_out else rng.choice(("—", "—", "–")),
        percent="%" if rng.random() < 0.3 else " %",
        # $ (56) and (1.2) % are never in training
        negative="inside" if held_out else rng.choice(("around", "around", "minus")),
    )
    habitual: tuple[tuple[Shown, float], ...] = (("description", 0.6), ("header", 0.27), ("cells", 0.13))
    shown = pick(rng, habitual)
    mess = 0.35 if profile.short else 1.0
    return House(style, columns, balances, shown, rng.random() < 0.7, month, mess, held_out)


def lay_out(
    topic: Topic,
    entries: Sequence[Entry],
    name: str,
    years: Sequence[int],
    profile: Profile,
    habits: House,
    rng: random.Random,
) -> Sheet:
    """years: oldest first."""
    years = _order(_gap(years, rng), rng)
    unit, decimals = _unit(topic, entries, years, habits, rng)
    values: dict[Where, Decimal] = {
        (e.key, y): rounded(e.amounts[y], unit.scale, decimals) for e in entries for y in years
    }
    if topic.gaps and not profile.short and len(years) > 1 and rng.random() < 0.3:
        del values[entries[-1].key, min(years)]  # a cell that is empty, which is not nil
    shown = _unit_shown(unit, habits, rng)
    across = topic.years == "one" or len(years) < 2 or rng.random() < (0.85 if profile.short else 0.75)
    lines = _lines(entries, habits, rng, across)
    texts = _texts(lines, values, unit, habits.style, shown)
    axis, columns, year_texts = _names(topic, lines, years, habits, rng, across)
    fillers: list[tuple[int, tuple[str | None, ...]]] = []
    width = len(years) if across else len(lines)
    if shown == "header":
        if across and rng.random() < (0.8 if profile.short else 0.4):
            axis = column_name(unit_phrase(unit))
        else:
            fillers.append(_unit_row(unit, width, rng))
    elif across and not profile.short and not topic.instant and rng.random() < 0.1:
        fillers.append((0, (f"(years ended {_day(habits)})", *[None] * width)))
    if across and not profile.short:
        fillers += [(i, (e.heading, *[None] * width)) for i, e in enumerate(entries) if e.heading is not None]
    tail = f" ({unit_phrase(unit)})" if shown == "description" else ""
    return Sheet(
        name=name,
        topic=topic.name,
        subject=topic.subject,
        description=_description(topic, profile, rng) + tail,
        unit=unit,
        unit_shown=shown,
        years=tuple(years),
        lines=lines,
        values=values,
        texts=texts,
        across=across,
        axis=axis,
        columns=columns,
        year_texts=year_texts,
        fillers=tuple(sorted(fillers, key=lambda f: f[0])),
        held_out=topic.held_out or habits.held_out,
    )


def _gap(years: Sequence[int], rng: random.Random) -> list[int]:
    """Now and then a year in the middle is missing."""
    kept = list(years)
    if len(kept) > 2 and rng.random() < 0.15:
        kept.pop(rng.randrange(1, len(kept) - 1))
    return kept


def _order(years: list[int], rng: random.Random) -> list[int]:
    return years if rng.random() < 0.3 else years[::-1]


def _unit(
    topic: Topic,
    entries: Sequence[Entry],
    years: Sequence[int],
    habits: House,
    rng: random.Random,
) -> tuple[Unit, int]:
    choices = scales(topic.kind, [e.amounts[y] for e in entries for y in years])
    stray = rng.random() < 0.2
    coarse = habits.coarse != stray
    scale, decimals = choices[0] if coarse else next((c for c in choices if c[0] <= 1_000), choices[0])
    return Unit(topic.kind, scale), decimals


def _unit_shown(unit: Unit, habits: House, rng: random.Random) -> Shown:
    if unit.kind in ("percent", "usd_per_share"):
        return "cells" if rng.random() < 0.7 else "description"
    stray = rng.random() < 0.15
    shown: Shown = rng.choice(("description", "header")) if stray else habits.unit_shown
    # a cell of whole dollars, shares or people has no word to add
    return "description" if shown == "cells" and unit.scale == 1 else shown


def _lines(entries: Sequence[Entry], habits: House, rng: random.Random, across: bool) -> tuple[Line, ...]:
    indent = rng.random() < 0.5 * habits.mess
    note = rng.random() < 0.4 * habits.mess
    noted = rng.randrange(len(entries)) if note else -1
    mark = rng.choice((" (1)", " (a)", " *"))
    lines = []
    for i, e in enumerate(entries):
        depth = e.depth + (1 if indent and e.role == "item" else 0)
        shown = "  " * depth + e.label + (mark if i == noted else "") if across else e.label
        lines.append(Line(e.key, e.label, shown, e.role))
    return tuple(lines)


def _texts(
    lines: Sequence[Line], values: dict[Where, Decimal], unit: Unit, style: Style, shown: Shown
) -> dict[Where, str | None]:
    ends = {line.key for i, line in enumerate(lines) if i == 0 or line.kind == "total"}
    years = {year: None for _, year in values}  # in their order
    texts: dict[Where, str | None] = {(line.key, year): None for line in lines for year in years}
    for (key, year), value in values.items():
        dollar = style.dollar_rows == "all" or (style.dollar_rows == "ends" and key in ends)
        dollar = dollar or (shown == "cells" and unit.kind == "usd_per_share")
        texts[key, year] = cell(value, unit, style, dollar=dollar, words=shown == "cells")
    return texts


def _names(
    topic: Topic,
    lines: Sequence[Line],
    years: Sequence[int],
    habits: House,
    rng: random.Random,
    across: bool,
) -> tuple[str, dict[int, str] | dict[str, str], dict[int, str]]:
    """Axis, columns, texts of the years."""
    short = habits.mess < 0.5
    if across:
        form = habits.balances if topic.instant else habits.columns
        if rng.random() < 0.25 * habits.mess and not habits.held_out:
            form = rng.choice((f"{habits.month}_{{}}", "year_{}"))
        axis = "item" if short else rng.choice(("item", "line_item", "label", "description"))
        columns = {y: form.format(y) for y in years}
        if not short and not habits.held_out and rng.random() < 0.1:  # one column is named unlike the others
            columns[years[0]] = f"{habits.month}_{years[0]}"
        return axis, columns, {}
    if habits.held_out:
        form = "Fiscal year {}" if short else "FY{}"
    elif short:
        form = "{}"
    else:
        form = rng.choice(("{}", "{}", f"{_day(habits)}, {{}}", "Fiscal {}"))
    axis = "year" if short else rng.choice(("year", "fiscal_year", "period"))
    return axis, {line.key: column_name(line.label) for line in lines}, {y: form.format(y) for y in years}


def _day(habits: House) -> str:
    return habits.month.replace("_", " ").capitalize()


def _description(topic: Topic, profile: Profile, rng: random.Random) -> str:
    if profile.short:
        return topic.subject[0].upper() + topic.subject[1:]
    about = topic.about[0].lower() + topic.about[1:]
    return rng.choice((topic.about, topic.about, f"Tabular disclosure of {about}", f"Table of {about}"))


def _unit_row(unit: Unit, width: int, rng: random.Random) -> tuple[int, tuple[str | None, ...]]:
    """A first row that only says the unit: once, or over every column, as merged headers come out."""
    phrase = unit_phrase(unit)
    if rng.random() < 0.5:
        return 0, (f"({phrase})", *[None] * width)
    return 0, (phrase.capitalize(), *[phrase.capitalize()] * width)
