"""Names of companies, and the words their tables break figures down by. A name has two words, each of one
split only: no company of the test split shares a word with one seen in training."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache

from fivestones.environments.finqa.world.model import WorldSplit
from fivestones.errors import UsageError
from fivestones.recipe import WorldPart

FIRST: Mapping[WorldSplit, str] = {
    "train": (
        "Orion Cedar Harbor Summit Maple Falcon Granite River Aspen Beacon Copper Delta Eagle Forest Golden "
        "Hudson Iron Jasper Kestrel Lunar Meadow Noble Ocean Pioneer Quartz Raven Silver Tiger Union Valley "
        "Willow Amber Birch Canyon Diamond Ember Frontier Garnet Horizon Island Juniper Keystone Liberty "
        "Magnet Nimbus Onyx Prairie Ridge Sierra Timber"
    ),
    "val": (
        "Acorn Bridge Coral Dawn Evergreen Flint Glacier Heron Ivory Jade Lantern Nova Orchid Polar Robin"
    ),
    "test": (
        "Anchor Bison Crimson Dune Elm Fox Grove Hawk Indigo Jupiter Kite Lotus Mesa Neptune Opal Pine Quail "
        "Rocket Sage Tulip Umber Violet Walnut Zenith"
    ),
}
SECOND: Mapping[WorldSplit, str] = {
    "train": "Foods Energy Motors Software Health Retail Metals Media Paper Tools Homes Games",
    "val": "Systems Stores Labs Steel Farms Trading",
    "test": "Power Marine Textiles Airways Glass Robotics Chemicals Travel",
}
SUFFIX: Mapping[WorldSplit, tuple[str, ...]] = {
    "train": ("Inc.", "Corp.", "Company"),
    "val": ("Inc.", "Corp.", "Company"),
    "test": ("Group", "Holdings", "plc"),
}
SEGMENTS = (
    "North Division|South Division|East Division|West Division|Central Division",
    "Consumer|Industrial|Government|Services",
    "Snacks|Drinks|Frozen|Bakery|Dairy",
    "Hardware|Software|Cloud|Support",
    "Retail|Wholesale|Online|Licensing",
    "Engines|Brakes|Tires|Batteries|Sensors",
    "Devices|Diagnostics|Pharmacy|Clinics",
    "Mining|Refining|Transport|Storage",
)
REGIONS = (
    "United States|Canada|Europe|Asia",
    "Americas|Europe|Asia Pacific|Middle East",
    "United States|Germany|China|Japan|Brazil",
    "Domestic|Mexico|India|France",
    "United States|United Kingdom|Other countries",
)


def names(part: WorldPart, seed: int) -> dict[WorldSplit, list[tuple[str, str]]]:
    """(slug, name) of the companies of each split, in order. Raises UsageError where a split has too few
    names."""
    wanted: dict[WorldSplit, int] = {
        "train": part.companies_train,
        "val": part.companies_val,
        "test": part.companies_test,
    }
    return {split: list(_named(split, count, seed)) for split, count in wanted.items()}


def identity(part: WorldPart, seed: int, split: WorldSplit, index: int) -> tuple[str, str]:
    """The slug and the name of one company."""
    wanted = {"train": part.companies_train, "val": part.companies_val, "test": part.companies_test}
    return _named(split, wanted[split], seed)[index]


@cache
def _named(split: WorldSplit, count: int, seed: int) -> tuple[tuple[str, str], ...]:
    pairs = [(a, b) for a in FIRST[split].split() for b in SECOND[split].split()]
    if count > len(pairs):
        raise UsageError(f"world: companies_{split}: got {count}; allowed: up to {len(pairs)}, its names")
    rng = random.Random(f"{seed}:{split}:names")
    rng.shuffle(pairs)
    return tuple(
        (f"{a.lower()}_{b.lower()}", f"{a} {b} {rng.choice(SUFFIX[split])}") for a, b in pairs[:count]
    )


def some_of(rng: random.Random, choices: Sequence[str], least: int, most: int) -> tuple[str, ...]:
    """Some members of one of the lists, in its order."""
    members = rng.choice(choices).split("|")
    count = min(len(members), rng.randint(least, most))
    kept = sorted(rng.sample(range(len(members)), count))
    return tuple(members[i] for i in kept)
