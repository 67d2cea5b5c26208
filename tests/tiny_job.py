"""A job that trains in seconds: a tiny model folder, and the tickets example or clinical notes in tiny
counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny
from fivestones.init import init_job

TICKETS = Path(__file__).parents[1] / "examples" / "tickets.jsonl"
COUNTS: Mapping[str, Any] = {
    "threads": 1,
    "generation.max_tokens": 120,
    "warmup.references": 4,
    "warmup.passes": 1,
    "warmup.batch": 4,
    "rollout.group_size": 2,
    "rollout.slots": 8,
    "train.steps": 2,
    "train.tasks_per_step": 2,
    "train.refill": 0,
    "train.checkpoint_every": 1,
    "evaluate.tasks": 4,
    "evaluate.imitation_passes": 1,
    "evaluate.draws": 100,
}


def model_folder(path: Path, context: int = 16384) -> Path:
    """The tiny model for prompts of `context` tokens; one token is one byte."""
    tiny.folder(path)
    config = json.loads((path / "config.json").read_text("utf-8"))
    (path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": context}), "utf-8")
    return path


def tickets(folder: Path, source: Path = TICKETS) -> Path:
    """The recipe that `fivestones init tickets --from tickets.jsonl` writes into `folder`."""
    init_job("tickets", source, folder, echo=lambda line: None)
    return folder / "tickets.yaml"


def rows(count: int = 80) -> list[dict[str, Any]]:
    """The first rows of the tickets."""
    return [json.loads(line) for line in TICKETS.read_text("utf-8").splitlines()[:count]]


def write_jsonl(path: Path, written: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")
    return path


def words(overrides: Mapping[str, Any]) -> list[str]:
    """As the command line takes them; JSON is YAML."""
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fivestones", *arguments]


def environment(**more: str) -> dict[str, str]:
    """Of a subprocess: one thread, plain output."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **more}


def fivestones(
    *arguments: str, cwd: Path, timeout: float = 120, **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )
