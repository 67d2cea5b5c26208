"""A tiny generator with the columns of the SOAP data; importable by worker processes."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any

SYMPTOMS = [
    f"{a}{b}" for a in ("head", "knee", "back", "chest", "arm", "foot") for b in ("ache", "rash", "pain")
]
SYMPTOMS += ["cough", "fever", "nausea", "chills", "fatigue", "itching", "dizziness", "insomnia", "wheeze"]
STYLES = {"terse": "{} {} days.", "chatty": "Well you know I have had {} for about {} days now, honestly."}


@dataclass(frozen=True)
class Item:
    index: int
    split: str
    condition: str
    group: str


def items_of(train: int, test: int, conditions: int = 8) -> list[Item]:
    total = train + test
    splits = ["train"] * train + ["test"] * test
    return [Item(i, splits[i], f"condition {i % conditions}", f"group {i}") for i in range(total)]


@dataclass(frozen=True)
class Generator:
    """`clones`: item numbers whose first attempt repeats item 0 (and whose retries do not)."""

    clones: tuple[int, ...] = ()
    pause: float = 0.0  # seconds a row
    variety: int = 10**12  # how many different scenarios a condition has

    def __call__(self, item: Item, retry: int) -> dict[str, Any]:
        time.sleep(self.pause)
        return self.told(item, retry, sorted(STYLES)[item.index % 2])

    def paraphrase(self, item: Item, style: str, retry: int) -> dict[str, Any]:
        return self.told(item, retry, style)

    def told(self, item: Item, retry: int, style: str) -> dict[str, Any]:
        seed = 0 if item.index in self.clones and retry == 0 else item.index + 1000 * retry
        condition = "condition 0" if item.index in self.clones else item.condition
        rng = random.Random(f"{condition} {seed % self.variety}")
        picked = rng.sample(SYMPTOMS, 7)
        days = [str(rng.randint(1, 60)) for _ in picked]
        facts = [
            {"id": f"f{k}", "section": "S", "concept": s, "polarity": "present", "value": d, "unit": "day"}
            for k, (s, d) in enumerate(zip(picked, days, strict=True))
        ]
        lines = ["Doctor: What brings you in?"]
        lines += ["Patient: " + STYLES[style].format(s, d) for s, d in zip(picked, days, strict=True)]
        subjective = "; ".join(f"{s} for {d} days" for s, d in zip(picked, days, strict=True))
        note = {"S": subjective, "O": "Normal.", "A": condition, "P": "Rest."}
        return {
            "id": f"{item.split}-{item.index:05d}",
            "split": item.split,
            "specialty": "general",
            "condition": condition,
            "style": style,
            "dialogue": "\n".join(lines),
            "note": json.dumps(note),
            "facts": json.dumps(facts),
            "signature": f"{condition} {subjective}",
            "group": item.group,
            "seed": seed,
            "provenance": json.dumps({"retry": retry}),
        }
