"""A job of one word, that a tiny model learns in seconds: a ticket's label."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import tiny

WORDS = {"refund": "pay", "crash": "bug", "login": "bug", "invoice": "bug"}


def recipe(folder: Path, **parts: Mapping[str, Any]) -> Path:
    """The recipe's file; parts: of the recipe, over those here."""
    tiny.folder(folder / "model", spread=0.08)
    rows = [{"id": f"t{i}", "text": f"{w} number {i}", "label": WORDS[w]} for i, w in enumerate([*WORDS] * 6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    schema = {
        "type": "object",
        "properties": {"c": {"type": "string"}},
        "required": ["c"],
        "additionalProperties": False,
    }
    structured = {
        "instructions": "JSON.",
        "input": "{text}",
        "output_schema": schema,
        "reference_fields": {"c": "label"},
        "criteria": [{"field": "c", "kind": "facts"}],
    }
    made: dict[str, Any] = {
        "name": "judged",
        "threads": 1,
        "environment": {"kind": "structured", "structured": structured},
        "files": {"train": "rows.jsonl", "test_share": 0.25},
        "model": {"source": str(folder / "model"), "dtype": "float32"},
        "generation": {"max_tokens": 12},
        "warmup": {"references": 16, "passes": 16, "lr": 0.02},
        "rollout": {"group_size": 4, "slots": 8},
        "train": {"steps": 4, "tasks_per_step": 2, "lr": 0.003, "checkpoint_every": 3},
        "evaluate": {"contestants": ["trained"], "draws": 50, "slots": 4},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**made, **parts}))
    return path
