"""The row generator as picklable callables for worker processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from fivestones.environments.soap.facts import facts_of
from fivestones.environments.soap.generate import PlanItem, condition_of, generate
from fivestones.environments.soap.knowledge import Knowledge, load
from fivestones.environments.soap.note import reference_note
from fivestones.environments.soap.scenario import Length, draw


@cache
def _knowledge() -> Knowledge:
    """Read once a process."""
    return load()


@dataclass(frozen=True)
class MakeRow:
    seed: int
    length: Length

    def __call__(self, item: PlanItem, retry: int) -> dict[str, Any]:
        return generate(_knowledge(), item, self.seed, self.length, retry=retry)


@dataclass(frozen=True)
class Paraphrase:
    """The same scenario and facts, told in another style and noted in other words."""

    seed: int
    length: Length

    def __call__(self, item: PlanItem, style: str, retry: int) -> dict[str, Any]:
        row = generate(_knowledge(), replace(item, style=style), self.seed, self.length, retry)
        rng = Random(f"{self.seed}:{item.index}:{retry}")  # the stream that drew the row's own scenario
        scenario = draw(_knowledge(), condition_of(_knowledge(), item.condition), rng, self.length, item.cell)
        again = reference_note(scenario, facts_of(scenario), Random(f"{self.seed}:{item.index}:again"))
        return {**row, "note": json.dumps(again, ensure_ascii=False)}
