"""How figures, units, years and names are written."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeVar

from fivestones.environments.finqa.world.model import Kind, Unit

T = TypeVar("T")
Dollar = Literal["$ ", "$", ""]

# Of SQLite: names that would need quotes. Not all do, but a reader need not know which.
RESERVED = """
    abort action add after all alter always analyze and as asc attach autoincrement before begin between
    by cascade case cast check collate column commit conflict constraint create cross current current_date
    current_time current_timestamp database default deferrable deferred delete desc detach distinct do
    drop each else end escape except exclude exclusive exists explain fail filter first following for
    foreign from full generated glob group groups having if ignore immediate in index indexed initially
    inner insert instead intersect into is isnull join key last left like limit match materialized natural
    no not nothing notnull null nulls of offset on or order others outer over partition plan pragma
    preceding primary query raise range recursive references regexp reindex release rename replace
    restrict returning right rollback row rows savepoint select set table temp temporary then ties to
    transaction trigger unbounded union unique update using vacuum values view virtual when where window
    with without
"""
SCALE_WORDS = {1_000: "thousand", 1_000_000: "million"}


@dataclass(frozen=True, slots=True)
class Style:
    """How one table writes its figures."""

    dollar: Dollar = "$ "
    dollar_rows: Literal["all", "ends", "none"] = "all"  # ends: the first line and the totals
    nil: str = "—"
    percent: str = " %"
    negative: Literal["around", "inside", "minus"] = "around"  # ($ 56) (1.2 %), $ (56) (1.2) %, -$ 56 -1.2 %


def rounded(amount: int | Fraction, scale: int, decimals: int) -> Decimal:
    """`amount` in units of `scale`, as displayed. Half to even, and exact: no float on the way."""
    step = scale if decimals == 0 else Fraction(scale, 10**decimals)
    return Decimal(round(Fraction(amount) / step)).scaleb(-decimals)


def cell(value: Decimal, unit: Unit, style: Style, *, dollar: bool, words: bool) -> str:
    """words: the cell itself names its unit."""
    if value == 0:
        return style.nil
    sign = style.dollar if dollar and unit.kind in ("usd", "usd_per_share") else ""
    tail = ""
    if words and unit.kind == "percent":
        tail = style.percent
    elif words and unit.scale in SCALE_WORDS:
        tail = " " + SCALE_WORDS[unit.scale]
    digits = f"{abs(value):,}"
    if value > 0:
        return f"{sign}{digits}{tail}"
    if style.negative == "minus":
        return f"-{sign}{digits}{tail}"
    return f"{sign}({digits}){tail}" if style.negative == "inside" else f"({sign}{digits}{tail})"


def unit_phrase(unit: Unit) -> str:
    """As a header or a description says it: 'in millions'."""
    scale = SCALE_WORDS.get(unit.scale, "") + "s" if unit.scale in SCALE_WORDS else ""
    match unit.kind:
        case "usd":
            return f"in {scale or 'dollars'}"
        case "shares":
            return f"shares in {scale}" if scale else "in shares"
        case "usd_per_share":
            return "in dollars per share"
        case "percent":
            return "in percent"
        case "employees":
            return "number of employees"


def column_name(text: str) -> str:
    """An identifier that SQL takes without quotes."""
    name = "_".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())
    return f"{name}_" if name in RESERVED.split() else name


def scales(kind: Kind, amounts: Sequence[int | Fraction]) -> list[tuple[int, int]]:
    """(scale, decimals), the coarsest first, in which the smallest figure that is not nil keeps three digits,
    or two in thousands."""
    if kind == "percent":
        return [(1, 1)]
    if kind == "usd_per_share":
        return [(1, 2)]
    if kind == "employees":
        return [(1, 0)]
    least: int | Fraction = min((abs(Fraction(a)) for a in amounts if a), default=Fraction(1))
    choices = ((1_000_000, 0, 10**8), (1_000_000, 1, 10**7), (1_000, 0, 10**4))
    return [(scale, decimals) for scale, decimals, floor in choices if least >= floor] or [(1, 0)]


def pick(rng: random.Random, weighted: Sequence[tuple[T, float]]) -> T:
    return rng.choices([w for w, _ in weighted], [p for _, p in weighted])[0]
