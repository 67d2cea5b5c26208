"""Whether a company's tables balance, by the displayed figures alone: every sum within a table, every fact
that two tables show, every quotient of facts.

A displayed figure stands for all amounts that round to it: an identity holds when both of its sides can be
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from fivestones.environments.finqa.world.model import Company, Sheet
from fivestones.environments.finqa.world.topics.registry import origin
from fivestones.environments.finqa.world.topics.topic import Topic

SLACK = 1e-9  # of a side's size: binary fractions are not exact

# fact = factor * fact / fact; `*` stands for the same member of a breakdown
QUOTIENTS = (
    ("eps_basic", 1, "net_income", "shares_basic"),
    ("eps_diluted", 1, "net_income", "shares_diluted"),
    ("dividends_per_share", 1, "dividends", "shares_basic"),
    ("tax_rate", 100, "tax", "pretax"),
    ("tax_rate.*", 100, "tax.*", "pretax"),
    ("revenue_share.*", 100, "revenue.*", "revenue"),
    ("margin.*", 100, "operating_income.*", "revenue.*"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """All amounts that a figure can stand for, in dollars, shares, percent ..."""

    low: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Span:
        return Span(-self.high, -self.low)

    def over(self, other: Span) -> Span | None:
        """None where the divisor can be 0."""
        if other.low <= 0 <= other.high:
            return None
        ends = [a / b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Span(min(ends), max(ends))

    def times(self, factor: int) -> Span:
        return Span(self.low * factor, self.high * factor)

    def meets(self, other: Span) -> bool:
        slack = SLACK * max(abs(self.low), abs(self.high), 1.0)
        return self.low <= other.high + slack and other.low <= self.high + slack


Fact = tuple[str, int]  # its name, the year that it is of
Shown = tuple[str, Span]  # where, what


def balanced(company: Company) -> list[str]:
    """The identities that do not hold, each as one sentence; [] when the books balance."""
    wrong: list[str] = []
    facts: dict[tuple[str, int], list[Shown]] = {}
    for sheet in company.sheets:
        found = origin(sheet.topic)
        if found is None:
            continue
        topic, tied = found
        spans = {where: _span(sheet, where) for where in sheet.values}
        wrong += _sums(sheet, topic, spans)
        if tied:
            for fact, year, shown in _facts(sheet, topic, spans):
                facts.setdefault((fact, year), []).append(shown)
    for (fact, year), places in facts.items():
        for (here, one), (there, other) in pairwise(places):
            if not one.meets(other):
                wrong.append(f"{fact} of {year} differs between {here} and {there}")
    return wrong + list(_quotients(facts))


def _span(sheet: Sheet, where: tuple[str, int]) -> Span:
    value = sheet.values[where]
    middle = float(value * sheet.unit.scale)
    half = 0.5 * sheet.unit.scale * 10.0 ** int(value.as_tuple().exponent)
    return Span(middle - half, middle + half)


def _sums(sheet: Sheet, topic: Topic, spans: dict[tuple[str, int], Span]) -> Iterator[str]:
    items = [line.key for line in sheet.lines if line.kind == "item"]
    for rule in topic.sums:
        parts = items if rule.parts == ("*",) else rule.parts
        for year in sheet.years:
            side: Span | None = Span(0.0, 0.0)
            for part in parts:
                span = spans.get((part.removeprefix("-"), year))
                if span is None or side is None:
                    side = None
                    break
                side += -span if part.startswith("-") else span
            whole = spans.get((rule.total, year))
            if side is not None and whole is not None and not side.meets(whole):
                yield f"{sheet.name}: the parts of {rule.total} do not add up in {year}"


def fact_of(sheet: Sheet, key: str, year: int) -> Fact | None:
    """What a cell says of the company, shown or not: two cells of the same fact answer the same question,
    whatever their labels. None where the sheet is of another measure (a decoy) or of no known topic."""
    found = origin(sheet.topic)
    if found is None or not found[1]:
        return None
    topic = found[0]
    tied = _tied(sheet, topic, key, year)
    return tied[0] if tied else (f"{topic.name}: {key}", year)


def _tied(sheet: Sheet, topic: Topic, key: str, year: int) -> tuple[Fact, bool] | None:
    """The fact that the topic ties a line to, and whether the line shows it with the other sign."""
    tie = topic.ties.get(key)
    if tie is None and sheet.line(key).kind == "item" and "*" in topic.ties:
        tie = topic.ties["*"].replace("*", key)
    if tie is None:
        return None
    fact, _, shift = tie.removeprefix("-").partition("@")
    return (fact, year + int(shift or 0)), tie.startswith("-")


def _facts(
    sheet: Sheet, topic: Topic, spans: dict[tuple[str, int], Span]
) -> Iterator[tuple[str, int, Shown]]:
    for (key, year), span in spans.items():
        if tied := _tied(sheet, topic, key, year):
            (fact, at), negated = tied
            yield fact, at, (sheet.name, -span if negated else span)


def _quotients(facts: dict[tuple[str, int], list[Shown]]) -> Iterator[str]:
    for (fact, year), shown in facts.items():
        stem, _, member = fact.partition(".")
        for result, factor, above, below in QUOTIENTS:
            if result != (f"{stem}.*" if member else fact):
                continue
            top = facts.get((above.replace("*", member), year))
            bottom = facts.get((below.replace("*", member), year))
            if not top or not bottom:
                continue
            quotient = top[0][1].over(bottom[0][1])
            if quotient is not None and not shown[0][1].meets(quotient.times(factor)):
                yield f"{fact} of {year} in {shown[0][0]} is not {above} over {below}"
