"""All topics by name."""

from __future__ import annotations

from functools import cache

from fivestones.environments.finqa.world.topics.financing import FINANCING
from fivestones.environments.finqa.world.topics.operations import OPERATIONS
from fivestones.environments.finqa.world.topics.topic import Topic


@cache
def topics() -> dict[str, Topic]:
    return {topic.name: topic for topic in (*OPERATIONS, *FINANCING)}
