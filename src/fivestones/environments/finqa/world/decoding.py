"""A displayed table read back, as one who sees only its description, header and cells can: the proof that its
figures have one reading."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from fivestones.environments.finqa.number import read
from fivestones.environments.finqa.world.model import Sheet

SCALES = {"thousands": 1_000, "millions": 1_000_000, "billions": 1_000_000_000}
_IN = re.compile(r"(?<![a-z])in[ _](thousands|millions|billions|dollars|shares|percent)(?![a-z])")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


@dataclass(frozen=True, slots=True)
class Decoded:
    across: bool  # years are columns
    figures: Mapping[tuple[str, str], Decimal]  # (row text, column) -> dollars, shares, percent ...


class Undecodable(Exception):
    """Says why."""


def decode(description: str, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Decoded:
    """Raises Undecodable: rows or columns of the same name, two units, a cell that is no number, no years."""
    lowered = [name.casefold() for name in columns]
    if len(set(lowered)) < len(lowered):
        raise Undecodable(f"columns of the same name: {list(columns)}")
    seen: set[str] = set()
    for row in rows:
        text = " ".join((row[0] or "").split())
        if not text or text in seen:
            raise Undecodable(f"rows of the same or no text: {text!r}")
        seen.add(text)
    body = [row for row in rows if any(cell is not None and read(cell) is not None for cell in row[1:])]
    scale = _scale(description, columns, [row for row in rows if row not in body])
    across = all(_YEAR.search(name) for name in columns[1:])
    if not across and not all(_YEAR.search(row[0] or "") for row in body):
        raise Undecodable("neither the columns nor the rows are years")
    figures: dict[tuple[str, str], Decimal] = {}
    for row in body:
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell is None:
                continue
            quantity = read(cell)
            if quantity is None:
                raise Undecodable(f"no number: {cell!r}")
            if scale > 1 and (quantity.scaled or quantity.unit == "%"):
                raise Undecodable(f"two units: {cell!r} under another scale")
            figures[row[0] or "", column] = quantity.base * scale
    return Decoded(across, figures)


def decodable(sheet: Sheet) -> str | None:
    """Why the displayed table does not give the sheet's figures back; None when it does."""
    try:
        decoded = decode(sheet.description, sheet.header, sheet.rows)
    except Undecodable as why:
        return str(why)
    if decoded.across != sheet.across:
        return "years are taken for lines"
    expected = {sheet.place(where): value * sheet.unit.scale for where, value in sheet.values.items()}
    if decoded.figures != expected:
        wrong = [place for place in expected if decoded.figures.get(place) != expected[place]]
        return f"other figures are read at {wrong[:3]}"
    return None


def _scale(description: str, columns: Sequence[str], fillers: Sequence[Sequence[str | None]]) -> int:
    texts = [description, *columns, *(cell for row in fillers for cell in row if cell)]
    found = {match for text in texts for match in _IN.findall(text.casefold())}
    if len(found) > 1:
        raise Undecodable("two units")
    return SCALES.get(found.pop(), 1) if found else 1
