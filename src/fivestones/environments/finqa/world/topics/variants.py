"""Decoys: the same lines of another measure, in a table that is told apart by its name and description."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from fivestones.environments.finqa.world.facts import grain
from fivestones.environments.finqa.world.model import Sheet
from fivestones.environments.finqa.world.topics.topic import Entry, Topic

APART = Decimal("0.03")  # a real and a decoy figure differ by more than this share of the larger


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    block: str  # of the XBRL name
    adjective: str  # before the subject
    about: str  # after the description
    least: float = 1.0  # by how much its figures differ from the real ones
    most: float = 1.0
    flows_only: bool = False  # not for balances at a date
    shares: bool = False  # also for figures in shares or per share: those of the listed company only
    held_out: bool = False


EARLIER = Variant("earlier", "PriorPeriods", "earlier", "earlier years", shares=True)
VARIANTS = (
    Variant("pro_forma", "ProForma", "pro forma", "unaudited pro forma, with acquisitions", 1.12, 1.5,
            shares=True),
    Variant("previous", "AsPreviouslyReported", "previously reported", "as previously reported", 0.6, 0.9,
            shares=True),
    Variant("parent", "ParentCompanyOnly", "parent-only", "parent company only", 0.3, 0.7),
    Variant("discontinued", "DiscontinuedOperations", "discontinued", "discontinued operations", 0.06, 0.3,
            flows_only=True),
    EARLIER,
    Variant("joint_venture", "JointVenture", "joint venture", "joint ventures, unconsolidated", 0.1, 0.4,
            held_out=True),
)  # fmt: skip


def fits(variant: Variant, topic: Topic, test: bool) -> bool:
    """Whether a filing of this split could hold it."""
    if (variant.held_out and not test) or not topic.variants:
        return False
    if variant is EARLIER and topic.years == "one":  # its lines name years: they are those of the last
        return False
    if topic.kind in ("shares", "usd_per_share") and not variant.shares:
        return False
    return not (variant.flows_only and topic.instant)


def varied(topic: Topic, variant: Variant) -> Topic:
    subject = topic.subject
    article = "the " if subject.startswith("the ") else ""
    return replace(
        topic,
        name=f"{topic.name}_{variant.name}",
        block=topic.block + variant.block,
        subject=f"{article}{variant.adjective} {subject.removeprefix('the ')}",
        about=f"{topic.about}, {variant.about}",
        held_out=topic.held_out or variant.held_out,
    )


def shifted(
    topic: Topic, variant: Variant, entries: Sequence[Entry], years: Sequence[int], rng: random.Random
) -> list[Entry]:
    """The lines with other figures of the same identities: the items move each by a factor of its own, the
    totals follow. A roll-forward moves as a whole, or its balances would not follow each other."""
    if variant is EARLIER:
        return list(entries)
    whole = rng.uniform(variant.least, variant.most)
    together = any("opening" in rule.parts for rule in topic.sums)
    amounts: dict[str, dict[int, int | Fraction]] = {}
    for entry in entries:
        factor = whole if together else whole * rng.uniform(0.94, 1.06)
        factors = {y: factor if together else factor * rng.uniform(0.99, 1.01) for y in years}
        exact = together or isinstance(entry.amounts[years[0]], Fraction)
        amounts[entry.key] = {y: _times(entry.amounts[y], factors[y], topic, exact) for y in years}
    items = [e.key for e in entries if e.role == "item"]
    for rule in topic.sums:
        parts = items if rule.parts == ("*",) else rule.parts
        amounts[rule.total] = {y: _total(amounts, parts, y) for y in years}
    return [replace(entry, amounts=amounts[entry.key]) for entry in entries]


def apart(real: Sheet, decoy: Sheet) -> bool:
    """Whether no figure of the decoy passes for the real one, in its unit or by its digits alone: in the same
    year, or in any where they share none."""
    shared = set(real.years) & set(decoy.years)
    for (key, year), value in real.values.items():
        for other in (year,) if shared else decoy.years:
            rival = decoy.values.get((key, other))
            if rival is None:
                continue
            for one, two in ((value, rival), (value * real.unit.scale, rival * decoy.unit.scale)):
                if abs(one - two) <= max(abs(one), abs(two)) * APART:
                    return False
    return True


def _times(amount: int | Fraction, factor: float, topic: Topic, exact: bool) -> int | Fraction:
    if exact:
        return amount * Fraction(factor)
    return grain(float(amount) * factor) if topic.kind in ("usd", "shares") else round(float(amount) * factor)


def _total(amounts: dict[str, dict[int, int | Fraction]], parts: Sequence[str], year: int) -> int | Fraction:
    return sum(
        (-amounts[p[1:]][year] if p.startswith("-") else amounts[p][year] for p in parts), start=Fraction(0)
    )
