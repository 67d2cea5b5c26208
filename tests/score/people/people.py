"""Items, reviews and a run directory with rollouts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivestones.score.people import HumanVerdict, Item, Review

FIELDS = ("S", "O")


def item(n: int, *, criteria: Sequence[str] = FIELDS) -> Item:
    return Item(task_id=f"t{n}", source=f"dialogue {n}", output=note(n), criteria=tuple(criteria))


def note(n: int) -> dict[str, str]:
    return {"S": f"cough {n}", "O": f"lungs {n}"}


def review(n: int, rater: str = "ann", **passed: bool) -> Review:
    labels = {name: HumanVerdict(ok, f"{rater} on {name}") for name, ok in (passed or {"S": True}).items()}
    return Review(item=item(n), rater=rater, labels=labels)


def rollout(n: int, **more: Any) -> dict[str, Any]:
    """A row of rollouts/step-*.jsonl."""
    return {
        "task_id": f"t{n}",
        "prompt": [{"role": "system", "content": "write"}, {"role": "user", "content": f"dialogue {n}"}],
        "text": json.dumps(note(n)),
        "criteria": {"S": 0.5, "O": 0.25, "S.rouge1": 0.1},
        "failed": {},
        "unscored": {},
        **more,
    }


def make_run(folder: Path, *steps: Sequence[Mapping[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text("name: soap\n")
    for number, rows in enumerate(steps, 1):
        path = folder / "rollouts" / f"step-{number:06d}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
