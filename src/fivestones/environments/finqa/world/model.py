"""What a company reports, typed: sheets of displayed figures before they are laid out as text tables.

A figure's value is what its text says, in the unit of the sheet: the gold answers are computed from what an
agent can read, not from hidden facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from fivestones.types import Split

Kind = Literal["usd", "percent", "shares", "usd_per_share", "employees"]
WorldSplit = Literal[Split, "val"]
Where = tuple[str, int]  # key of a line, year


@dataclass(frozen=True, slots=True)
class Unit:
    kind: Kind
    scale: int = 1  # 1, 1,000 or 1,000,000: what a displayed 1 stands for


@dataclass(frozen=True, slots=True)
class Line:
    key: str  # unique in its sheet
    label: str  # as a question names it
    shown: str  # as the table shows it: indented, with a dash or a note behind it
    kind: Literal["item", "subtotal", "total"] = "item"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table. Years are its columns (`across`) or its rows; then the lines are the columns."""

    name: str  # as of an XBRL text block
    topic: str  # what it is about, such as revenue_by_segment: sheets of two companies are alike in it
    subject: str  # as a question names it: "revenue by segment"
    description: str
    unit: Unit
    unit_shown: Literal["description", "header", "cells"]
    years: tuple[int, ...]  # the reported ones, in the order of the table
    lines: tuple[Line, ...]
    values: Mapping[Where, Decimal]  # in the sheet's unit; a nil shown as a dash is 0
    texts: Mapping[Where, str | None]  # as displayed; None: an empty cell
    across: bool
    axis: str  # name of the first column: of the labels, or of the years
    columns: Mapping[int, str] | Mapping[str, str]  # year, or key of a line -> name of its column
    year_texts: Mapping[int, str] = field(default_factory=dict)  # in rows, where years are rows
    fillers: tuple[tuple[int, tuple[str | None, ...]], ...] = ()  # rows without figures, before row number
    decoy_of: str | None = None  # the name of the sheet that it can be taken for
    held_out: bool = False  # its topic or its format is never in the training split

    @property
    def header(self) -> tuple[str, ...]:
        keys: Sequence[int | str] = self.years if self.across else [line.key for line in self.lines]
        return (self.axis, *(self.columns[k] for k in keys))  # type: ignore[index]

    @property
    def rows(self) -> tuple[tuple[str | None, ...], ...]:
        """All cells as text, fillers among them."""
        body = list(self._body())
        for place, row in reversed(self.fillers):
            body.insert(place, row)
        return tuple(body)

    def _body(self) -> Iterator[tuple[str | None, ...]]:
        if self.across:
            for line in self.lines:
                yield (line.shown, *(self.texts[line.key, year] for year in self.years))
        else:
            for year in self.years:
                yield (self.year_texts[year], *(self.texts[line.key, year] for line in self.lines))

    def line(self, key: str) -> Line:
        return next(line for line in self.lines if line.key == key)

    def place(self, where: Where) -> tuple[str, str]:
        """Text of the row, name of the column."""
        key, year = where
        if self.across:
            return self.line(key).shown, self.columns[year]  # type: ignore[index]
        return self.year_texts[year], self.columns[key]  # type: ignore[index]

    def query(self, places: Sequence[Where]) -> str:
        """SQL that reads these cells, and no more rows or columns than they need."""
        rows = list(dict.fromkeys(self.place(p)[0] for p in places))
        columns = list(dict.fromkeys(self.place(p)[1] for p in places))
        wanted = columns if len(rows) == 1 else [self.axis, *columns]
        picked = ", ".join(map(_name, wanted))
        test = f"= {_text(rows[0])}" if len(rows) == 1 else f"IN ({', '.join(map(_text, rows))})"
        return f"SELECT {picked} FROM {_name(self.name)} WHERE {_name(self.axis)} {test}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    slug: str
    name: str
    split: WorldSplit
    sheets: tuple[Sheet, ...]

    def sheet(self, name: str) -> Sheet:
        return next(sheet for sheet in self.sheets if sheet.name == name)


def _name(name: str) -> str:
    """Bare where SQL allows it: quotes are tokens that a small model has to get right."""
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
