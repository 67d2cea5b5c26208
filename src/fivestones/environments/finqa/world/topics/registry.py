"""All topics by name."""

from __future__ import annotations

from functools import cache

from fivestones.environments.finqa.world.topics.balances import BALANCES
from fivestones.environments.finqa.world.topics.equity import EQUITY
from fivestones.environments.finqa.world.topics.financing import FINANCING
from fivestones.environments.finqa.world.topics.lasting import LASTING
from fivestones.environments.finqa.world.topics.operations import OPERATIONS
from fivestones.environments.finqa.world.topics.segments import SEGMENTS
from fivestones.environments.finqa.world.topics.taxes import TAXES
from fivestones.environments.finqa.world.topics.topic import Topic
from fivestones.environments.finqa.world.topics.variants import EARLIER, VARIANTS


@cache
def topics() -> dict[str, Topic]:
    groups = (OPERATIONS, SEGMENTS, BALANCES, LASTING, FINANCING, EQUITY, TAXES)
    return {topic.name: topic for group in groups for topic in group}


@cache
def origin(name: str) -> tuple[Topic, bool] | None:
    """The topic of a sheet, a decoy's too, and whether the sheet shows the company's own facts; None for a
    topic that is not of the registry."""
    known = topics()
    if name in known:
        return known[name], True
    for variant in VARIANTS:
        stem = name.removesuffix(f"_{variant.name}")
        if stem != name and stem in known:
            return known[stem], variant is EARLIER
    return None


@cache
def flows() -> frozenset[str]:
    """Names of the topics whose figures add up over years; not those at a date, nor those with balances."""
    return frozenset(
        t.name
        for t in topics().values()
        if not t.instant and not any("opening" in rule.parts for rule in t.sums)
    )
