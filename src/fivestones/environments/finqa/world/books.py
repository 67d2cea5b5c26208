"""One made company at a time: its facts, the tables it reports, and their decoys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from fivestones.environments.finqa.world.decoding import decodable
from fivestones.environments.finqa.world.facts import Profile
from fivestones.environments.finqa.world.layout import House, house, lay_out
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.model import Company, Sheet, WorldSplit
from fivestones.environments.finqa.world.names import REGIONS, SEGMENTS, identity, some_of
from fivestones.environments.finqa.world.topics.registry import topics
from fivestones.environments.finqa.world.topics.topic import Entry, Topic
from fivestones.environments.finqa.world.topics.variants import (
    EARLIER,
    VARIANTS,
    apart,
    fits,
    shifted,
    varied,
)
from fivestones.errors import UsageError
from fivestones.recipe import WorldPart

SHORT_TABLES = (4, 5)  # of a company of the short profile, where the recipe does not say
DECOYS = 0.2  # of a company's tables
MONEY = 3  # tables in dollars of a company at least: questions over several tables need them
ATTEMPTS = 20  # at a layout that reads back


def companies(part: WorldPart, seed: int, split: WorldSplit, index: int) -> Company:
    """The company `index` of a split: the same for the same arguments, in any process.

    Raises UsageError where the recipe asks for more companies or tables than there are.
    """
    slug, name = identity(part, seed, split, index)
    stream = f"{seed}:{split}:{index}"
    rng = random.Random(stream)
    profile = _profile(slug, name, rng, part.short)
    ledger = Ledger(profile, stream)
    habits = house(rng, profile, test=split == "test")
    fit = [
        t for t in topics().values() if (t.short or not part.short) and (split == "test" or not t.held_out)
    ]
    count = _count(part, len(fit), rng)
    decoys = (rng.random() < 0.7) if part.short else round(count * DECOYS)
    chosen = _chosen(fit, min(count - decoys, len(fit)), part.short, rng)
    made = {topic.name: _real(topic, ledger, habits, rng) for topic in chosen}
    sheets = list(made.values())
    for topic in rng.sample(chosen, len(chosen)):
        if len(sheets) == count:
            break
        decoy = _decoy(topic, made[topic.name], ledger, habits, rng, test=split == "test")
        sheets += [decoy] if decoy else []
    for topic in fit:  # where too few decoys came out
        if len(sheets) == count:
            break
        if topic.name not in made:
            sheets.append(_real(topic, ledger, habits, rng))
    rng.shuffle(sheets)
    return Company(slug=slug, name=name, split=split, sheets=tuple(sheets))


def _profile(slug: str, name: str, rng: random.Random, short: bool) -> Profile:
    if short:
        revenue = rng.uniform(5e6, 6e7) if rng.random() < 0.5 else rng.uniform(8e8, 9e9)
    else:
        revenue = 8e7 * 400 ** rng.random()
    return Profile(
        slug=slug,
        name=name,
        segments=some_of(rng, SEGMENTS, *((2, 3) if short else (3, 5))),
        regions=some_of(rng, REGIONS, *((2, 3) if short else (3, 5))),
        last=rng.randint(2019, 2024),
        revenue=round(revenue),
        short=short,
    )


def _count(part: WorldPart, available: int, rng: random.Random) -> int:
    """How many tables. Of three draws the largest: filings are long, and the mean stays above 33 of 20 to
    40."""
    least, most = part.tables
    if part.short and "tables" not in part.model_fields_set:
        least, most = SHORT_TABLES
    if most > available:
        raise UsageError(f"world: tables: got {part.tables}; allowed: up to {available} a company")
    return rng.randint(least, most) if part.short else max(rng.randint(least, most) for _ in range(3))


def _chosen(fit: Sequence[Topic], count: int, short: bool, rng: random.Random) -> list[Topic]:
    core = [] if short else [t for t in fit if t.core][:count]
    rest = [t for t in fit if t not in core]
    while True:
        chosen = core + rng.sample(rest, count - len(core))
        if sum(t.kind == "usd" for t in chosen) >= min(MONEY, count):
            return chosen


def _real(topic: Topic, ledger: Ledger, habits: House, rng: random.Random) -> Sheet:
    profile = ledger.profile
    choices = (2, 3) if profile.short else (2, 2, 3) if topic.instant else (2, 3, 3, 4)
    count = 1 if topic.years == "one" else rng.choice(choices)
    years = range(profile.last - count + 1, profile.last + 1)
    name = topic.name if profile.short else f"us_gaap_{topic.block}TableTextBlock"
    return _laid_out(topic, topic.entries(ledger), name, years, profile, habits, rng)


def _decoy(
    topic: Topic, real: Sheet, ledger: Ledger, habits: House, rng: random.Random, test: bool
) -> Sheet | None:
    """None when none is far enough from the real sheet."""
    fit = [v for v in VARIANTS if fits(v, topic, test)]
    for variant in rng.sample(fit, len(fit)):
        years = sorted(real.years)
        if variant is EARLIER:
            years = list(range(years[0] - max(len(years), 2), years[0]))
        other = varied(topic, variant)
        entries = shifted(topic, variant, topic.entries(ledger), years, rng)
        name = (
            f"{variant.name}_{topic.name}" if ledger.profile.short else f"us_gaap_{other.block}TableTextBlock"
        )
        sheet = _laid_out(other, entries, name, years, ledger.profile, habits, rng)
        if apart(real, sheet):
            return replace(sheet, decoy_of=real.name)
    return None


def _laid_out(
    topic: Topic,
    entries: Sequence[Entry],
    name: str,
    years: Sequence[int],
    profile: Profile,
    habits: House,
    rng: random.Random,
) -> Sheet:
    """A layout that cannot be read back is thrown away and made anew."""
    for _ in range(ATTEMPTS):
        sheet = lay_out(topic, entries, name, years, profile, habits, rng)
        why = decodable(sheet)
        if why is None:
            return sheet
    raise AssertionError(f"{name} of {profile.slug} has no layout that reads back: {why}")
