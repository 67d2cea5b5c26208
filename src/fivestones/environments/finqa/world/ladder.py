"""How hard a question is: L0 to L6, from what has to be seen through to answer it; and which drafts are unfit
because their words, or their answer, fit another cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache, reduce
from itertools import combinations
from operator import or_

from fivestones.environments.finqa.world.drafts import Draft
from fivestones.environments.finqa.world.expressions import (
    Expr,
    Figure,
    Undefined,
    denominators,
    figures,
    value,
)
from fivestones.environments.finqa.world.identities import fact_of
from fivestones.environments.finqa.world.model import Company, Sheet

LEVELS = ("L0", "L1", "L2", "L3", "L4", "L5", "L6")
PLAIN = re.compile(r"(\$ ?)?[\d,]+(\.\d+)?")
LEAST_BASE = 20  # of its last displayed digit: rounding moves a quotient by less than 2.5%
LARGEST_QUOTIENT = 1000
CONSTANTS = frozenset(map(Decimal, (*range(1, 11), 100, 1000, 1_000_000)))  # of expressions


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
        self._facts = {s.name: {fact_of(s, key, year) for key, year in s.values} for s in company.sheets}

    def clear(self, draft: Draft) -> bool:
        """Whether its words fit its own cells only, no other table answers it, and it needs all its own."""
        if any(self._subjects[plain(sheet.subject)] > 1 for sheet in draft.sheets):
            return False
        if any(self._labels[f.sheet.name][plain(f.label)] > 1 for f in draft.figures):
            return False
        if draft.missing is not None:
            return not self._disclosed(*draft.missing, plain(draft.slots["label"]))
        if len(draft.sheets) > 1:
            return not self._takes_fewer(draft)
        others = (sheet for sheet in self.sheets if sheet not in draft.sheets)
        return not any(all(self._shows(other, f) for f in draft.figures) for other in others)

    def _disclosed(self, sheet: Sheet, year: int, label: str) -> bool:
        """Whether any table shows such a line for the year: under its label, or the same fact under another
        (the closing balance of a year is the opening one of the next)."""
        if any(year in s.years and label in self._labels[s.name] for s in self.sheets if s is not sheet):
            return True
        facts = {fact_of(sheet, line.key, year) for line in sheet.lines if plain(line.label) == label}
        return any((facts - {None}) & shown for shown in self._facts.values())

    def _takes_fewer(self, draft: Draft) -> bool:
        """Whether fewer tables than it has show all of its figures."""
        covers = set()  # of figures, as bits, for each table
        for sheet in self.sheets:
            shown = sum(1 << n for n, figure in enumerate(draft.figures) if self._tells(sheet, figure))
            if shown:
                covers.add(shown)
        every = (1 << len(draft.figures)) - 1
        count = min(len(draft.sheets) - 1, len(covers))
        return any(reduce(or_, some) == every for some in combinations(covers, count))

    def _tells(self, other: Sheet, figure: Figure) -> bool:
        """Whether `other` shows the same amount by its label, or the same fact under another."""
        if other is figure.sheet or self._shows(other, figure):
            return True
        fact = fact_of(figure.sheet, figure.key, figure.year)
        return fact is not None and fact in self._facts[other.name]

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


@lru_cache(maxsize=4096)
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


def traceable(draft: Draft) -> bool:
    """Whether the numbers of its expressions tell which cells they are: none shows a constant, no two of
    different scales show the same."""
    if all(isinstance(expr, Figure) for _, expr in draft.fields):
        return True
    scales: dict[Decimal, int] = {}
    for figure in draft.figures:
        shown, scale = abs(figure.value), figure.unit.scale
        if shown in CONSTANTS or scales.setdefault(shown, scale) != scale:
            return False
    return True


def _last_digit(expr: Expr) -> Decimal:
    """Of the coarsest cell in it."""
    return max(Decimal(1).scaleb(int(f.value.as_tuple().exponent)) for f in figures(expr))
