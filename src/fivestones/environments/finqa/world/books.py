"""One made company at a time: its facts, the tables it reports, and their decoys."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import Ledger, Profile
from fivestones.environments.finqa.world.layout import House, house, lay_out
from fivestones.environments.finqa.world.model import Company, Sheet, WorldSplit
from fivestones.environments.finqa.world.names import REGIONS, SEGMENTS, breakdown, identity, names
from fivestones.environments.finqa.world.topics.registry import topics
from fivestones.environments.finqa.world.topics.topic import Topic
from fivestones.recipe import WorldPart

__all__ = ["companies", "names"]


def companies(part: WorldPart, seed: int, split: WorldSplit, index: int) -> Company:
    """The company `index` of a split: the same for the same arguments, in any process."""
    slug, name = identity(part, seed, split, index)
    stream = f"{seed}:{split}:{index}"
    rng = random.Random(stream)
    profile = _profile(slug, name, rng, part.short)
    ledger = Ledger(profile, stream)
    habits = house(rng, profile, test=split == "test")
    sheets = [_sheet(topic, ledger, habits, rng) for topic in _chosen(part, split, rng)]
    return Company(slug=slug, name=name, split=split, sheets=tuple(sheets))


def _profile(slug: str, name: str, rng: random.Random, short: bool) -> Profile:
    if short:
        revenue = rng.uniform(5e6, 6e7) if rng.random() < 0.5 else rng.uniform(8e8, 9e9)
    else:
        revenue = 8e7 * 400 ** rng.random()
    return Profile(
        slug=slug,
        name=name,
        segments=breakdown(rng, SEGMENTS, *((2, 3) if short else (3, 5))),
        regions=breakdown(rng, REGIONS, *((2, 3) if short else (3, 5))),
        last=rng.randint(2019, 2024),
        revenue=round(revenue),
        short=short,
    )


def _chosen(part: WorldPart, split: WorldSplit, rng: random.Random) -> Sequence[Topic]:
    fit = [t for t in topics().values() if (t.short or not part.short) and (split == "test" or not t.held_out)]
    return fit


def _sheet(topic: Topic, ledger: Ledger, habits: House, rng: random.Random) -> Sheet:
    profile = ledger.profile
    count = 1 if topic.years == "one" else rng.choice((2, 3))
    years = range(profile.last - count + 1, profile.last + 1)
    name = topic.name if profile.short else f"us_gaap_{topic.block}TableTextBlock"
    return lay_out(topic, topic.entries(ledger), name, years, profile, habits, rng)
