"""What a topic is: one kind of table that companies report, and how its lines come from the facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fivestones.environments.finqa.world.facts import Series
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.model import Kind

Amounts = (
    Mapping[int, int] | Mapping[int, Fraction] | Mapping[int, int | Fraction]
)  # year -> dollars, shares, percent ..., not rounded
Role = Literal["item", "subtotal", "total"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line before it is laid out."""

    key: str
    label: str
    amounts: Amounts
    role: Role = "item"
    depth: int = 0  # of its indent
    heading: str | None = None  # a row of its own before it


@dataclass(frozen=True, slots=True)
class Sum:
    """`total` is the sum of `parts`; `-key` is taken away, `*` stands for all items."""

    total: str
    parts: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Keys of lines are the same for every company, but for the members of a breakdown (segments, regions).

    ties: key of a line -> the company-wide fact that it shows, so that two tables can be held against each
    other. `fact@-1` is the fact of the year before; `*` ties every item that no other tie names, and then
    `fact.*` holds its key.
    """

    name: str
    block: str  # of its XBRL name, us_gaap_<block>TableTextBlock
    subject: str
    about: str  # the description, but for the unit
    entries: Callable[[Ledger], Sequence[Entry]]
    kind: Kind = "usd"
    instant: bool = False  # at the end of the year, not over it
    sums: tuple[Sum, ...] = ()
    ties: Mapping[str, str] = field(default_factory=dict)
    years: Literal["several", "one"] = "several"
    variants: bool = True  # whether decoys of it can be made
    core: bool = False  # every company has it (full profile)
    gaps: bool = False  # a cell may be empty
    short: bool = False  # of the short profile
    held_out: bool = False  # only companies of the test split have it


def items(parts: Mapping[str, Series], names: Sequence[str], depth: int = 0) -> list[Entry]:
    """A line for each named member, in this order."""
    return [
        Entry(key, name, series, depth=depth)
        for (key, series), name in zip(parts.items(), names, strict=True)
    ]


def rolled(parts: Mapping[str, Series], opening: str, moves: Mapping[str, str], closing: str) -> list[Entry]:
    """The lines of a roll-forward. moves: key -> label."""
    return [
        Entry("opening", opening, parts["opening"]),
        *(Entry(key, label, parts[key]) for key, label in moves.items()),
        total("closing", closing, parts["closing"]),
    ]


def due(last: int, parts: Mapping[str, Series]) -> list[Entry]:
    """The lines of a schedule of payments, as it stands at the end of the last year."""
    lines = [Entry(f"due_{n}", f"Due in {last + n}", parts[f"due_{n}"]) for n in range(1, 6)]
    return [*lines, Entry("thereafter", "Thereafter", parts["thereafter"])]


def total(key: str, label: str, amounts: Amounts) -> Entry:
    return Entry(key, label, amounts, "total")


def breakdown(
    name: str,
    block: str,
    subject: str,
    about: str,
    entries: Callable[[Ledger], Sequence[Entry]],
    fact: str,
    *,
    years: Literal["several", "one"] = "several",
    short: bool = False,
) -> Topic:
    """A topic: the parts of one balance, `fact`."""
    return Topic(
        name=name,
        block=block,
        subject=subject,
        about=about,
        entries=entries,
        instant=True,
        years=years,
        short=short,
        sums=(Sum("total"),),
        ties={"total": fact},
    )
