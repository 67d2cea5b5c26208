"""A question before it is worded: what is computed from which cells, and how the answer is displayed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from fivestones.environments.finqa.world.expressions import Expr, Figure, figures, places
from fivestones.environments.finqa.world.model import Sheet, Unit

NOT_DISCLOSED = "not disclosed"
SCALES = {1: "", 1_000: "thousand", 1_000_000: "million", 1_000_000_000: "billion"}
_NOUNS = {"usd": "dollars", "shares": "shares", "employees": "employees"}


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is displayed: `$ 1,234 million`."""

    before: str
    after: str
    places: int
    parentheses: bool = False  # about a negative number, as in the table; else a minus sign

    def text(self, number: Decimal) -> str:
        body = f"{abs(number):,.{self.places}f}"
        if number < 0:
            body = f"({body})" if self.parentheses else f"-{body}"
        return f"{self.before}{body}{self.after}"


PERCENT = Form("", " %", 1)
POINTS = Form("", " percentage points", 1)
RATIO = Form("", "", 2)
IN_PERCENT = "in percent with one decimal"
IN_POINTS = "in percentage points with one decimal"
AS_RATIO = "as a ratio with two decimals"


@dataclass(frozen=True, kw_only=True)
class Draft:
    family: str
    fields: tuple[tuple[str, Expr], ...]  # key ("" for a single answer), what is computed
    form: Form
    ask: str  # how the answer is wanted: "in millions of dollars"; "": the question does not say
    slots: Mapping[str, str]  # what a phrasing fills in
    unstated: bool = False  # the scale is for the reader to find
    missing: tuple[Sheet, int] | None = None  # a year that the sheet does not report
    kept: Draft | None = field(default=None, repr=False)  # asked with the same phrasing, to keep the balance

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Its cells, each once."""
        found = {(f.sheet.name, f.where): f for _, expr in self.fields for f in figures(expr)}
        return tuple(found.values())

    @cached_property
    def sheets(self) -> tuple[Sheet, ...]:
        if self.missing:
            return (self.missing[0],)
        return tuple({f.sheet.name: f.sheet for f in self.figures}.values())

    @property
    def identity(self) -> tuple[object, ...]:
        """Two drafts that are alike in it ask for the same."""
        return self.family, tuple(sorted(self.slots.items()))


def unit_form(unit: Unit, decimals: int, looked_up: bool = False) -> Form:
    """Of a value in this unit."""
    scale = f" {SCALES[unit.scale]}" if unit.scale > 1 else ""
    if unit.kind == "percent":
        return Form("", " %" if looked_up else " percentage points", decimals, looked_up)
    if unit.kind in ("usd", "usd_per_share"):
        return Form("$ ", scale, decimals, looked_up)
    return Form("", f"{scale} {_NOUNS[unit.kind]}", decimals, looked_up)


def unit_ask(unit: Unit) -> str:
    """As a question says it: "in millions of dollars"."""
    if unit.kind == "percent":
        return "in percentage points"
    if unit.kind == "usd_per_share":
        return "in dollars per share"
    if unit.kind == "employees" and unit.scale == 1:
        return ""
    return f"in {SCALES[unit.scale]}s of {_NOUNS[unit.kind]}" if unit.scale > 1 else f"in {_NOUNS[unit.kind]}"


def in_unit(family: str, expr: Expr, slots: Mapping[str, str], looked_up: bool = False) -> Iterator[Draft]:
    """A draft that states the scale of its answer, and, where the table alone tells it, one that does not."""
    assert expr.unit is not None
    form = unit_form(expr.unit, places(expr), looked_up)
    ask = "" if looked_up and expr.unit.kind in ("percent", "usd_per_share") else unit_ask(expr.unit)
    yield Draft(family=family, fields=(("", expr),), form=form, ask=ask, slots=slots)
    if expr.unit.scale > 1 and all(f.sheet.unit_shown != "cells" for f in figures(expr)):
        yield Draft(family=family, fields=(("", expr),), form=form, ask="", slots=slots, unstated=True)
