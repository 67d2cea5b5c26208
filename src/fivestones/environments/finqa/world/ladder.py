"""How hard a question is: L0 to L6, from what has to be seen through to answer it; and which drafts are unfit
because their words, or their answer, fit another cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from fivestones.environments.finqa.world.drafts import Draft
from fivestones.environments.finqa.world.expressions import (
    Expr,
    Figure,
    Undefined,
    denominators,
    figures,
    value,
)
from fivestones.environments.finqa.world.model import Company, Sheet

LEVELS = ("L0", "L1", "L2", "L3", "L4", "L5", "L6")
PLAIN = re.compile(r"(\$ ?)?[\d,]+(\.\d+)?")
LEAST_BASE = 20  # of its last displayed digit: rounding moves a quotient by less than 2.5%
LARGEST_QUOTIENT = 1000


def levels(draft: Draft, twins: Iterable[str]) -> tuple[str, ...]:
    """Where it belongs; computing with cells that show a `$` is at home on two rungs.

    twins: the names of tables that have a near-duplicate.
    """
    sheets = draft.sheets
    if len(sheets) > 1:
        return ("L5",) if len(sheets) == 2 else ("L6",)
    if draft.missing or sheets[0].name in twins:
        return ("L4",)
    if draft.unstated or not sheets[0].across:
        return ("L3",)
    if formatted(draft) or len(draft.figures) > 2:
        return ("L2",)
    if draft.family == "lookup":
        return ("L0",)
    return ("L1", "L2") if any("$" in f.text for f in draft.figures) else ("L1",)


def formatted(draft: Draft) -> bool:
    """A sign, a dash, a percentage or a word in the cells."""
    return any(f.unit.kind == "percent" or not PLAIN.fullmatch(f.text) for f in draft.figures)


class Names:
    """What the words of a company's tables point at."""

    def __init__(self, company: Company) -> None:
        self.sheets = company.sheets
        self.twins: dict[str, list[Sheet]] = {}
        by_name = {sheet.name: sheet for sheet in company.sheets}
        for sheet in company.sheets:
            if sheet.decoy_of is not None and sheet.decoy_of in by_name:
                self.twins.setdefault(sheet.name, []).append(by_name[sheet.decoy_of])
                self.twins.setdefault(sheet.decoy_of, []).append(sheet)
        self.years = sorted({year for sheet in company.sheets for year in sheet.years})
        self._subjects = Counter(plain(sheet.subject) for sheet in company.sheets)
        self._labels = {s.name: Counter(plain(line.label) for line in s.lines) for s in company.sheets}

    def clear(self, draft: Draft) -> bool:
        """Whether its words fit its own cells only, and no other table answers it."""
        if any(self._subjects[plain(sheet.subject)] > 1 for sheet in draft.sheets):
            return False
        if any(self._labels[f.sheet.name][plain(f.label)] > 1 for f in draft.figures):
            return False
        return not any(self._answers(sheet, draft) for sheet in self.sheets if sheet not in draft.sheets)

    def _answers(self, other: Sheet, draft: Draft) -> bool:
        """Whether `other` shows all of its cells by the same labels and with the same amounts."""
        if draft.missing is not None:
            _, year = draft.missing
            return year in other.years and plain(draft.slots["label"]) in self._labels[other.name]
        return all(self._shows(other, figure) for figure in draft.figures)

    def _shows(self, other: Sheet, figure: Figure) -> bool:
        wanted = plain(figure.label)
        if wanted not in self._labels[other.name] or figure.unit.kind != other.unit.kind:
            return False
        for line in other.lines:
            place = (line.key, figure.year)
            if plain(line.label) == wanted and place in other.values:
                finest = min(other.unit.scale, figure.unit.scale)
                mine = figure.value * figure.unit.scale / finest
                gap = abs(other.values[place] * other.unit.scale / finest - mine)
                coarsest = max(other.unit.scale, figure.unit.scale) / finest
                if gap <= coarsest:  # the same amount, rounded elsewhere
                    return True
        return False


def plain(text: str) -> str:
    """Case, punctuation and articles do not tell two names apart."""
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", text.lower().removeprefix("the ")).split())


def sound(draft: Draft) -> bool:
    """No zero or near-zero denominator, no absurd quotient, every cell there."""
    try:
        for _, expr in draft.fields:
            if abs(value(expr)) > LARGEST_QUOTIENT and expr.unit is None:
                return False
            for base in denominators(expr):
                if value(base) < LEAST_BASE * _last_digit(base):
                    return False
    except Undefined:
        return False
    return True


def _last_digit(expr: Expr) -> Decimal:
    """Of the coarsest cell in it."""
    return max(Decimal(1).scaleb(int(f.value.as_tuple().exponent)) for f in figures(expr))
