"""Which tasks and which random streams a step uses: pure functions of (seed, step), so that resume needs no
state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fivestones.types import Task


def stream(*parts: object) -> int:
    """A 64-bit seed from anything printable; equal parts, equal seed, on every machine."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def opened(tasks: Sequence[Task], levels: Sequence[str], step: int, steps: int) -> list[Task]:
    """A curriculum: the tasks of the first of `levels` (values of the tag `level`) from step 0 on, and of one
    more level after each equal share of the steps. A level without tasks takes no share."""
    there = [level for level in levels if any(t.tags["level"] == level for t in tasks)]
    open_now = there[: 1 + min(step * len(there) // max(steps, 1), len(there) - 1)]
    return [t for t in tasks if t.tags["level"] in open_now]


def tasks_at(tasks: Sequence[Task], per_step: int, seed: int, step: int, extra: int) -> list[Task]:
    """`extra` 0: the next tasks of a walk through shuffled epochs; above: others, drawn for a refill."""
    n = len(tasks)
    if extra:
        order = np.random.default_rng(stream(seed, "refill", step)).permutation(n)
        taken = {t.id for t in tasks_at(tasks, per_step, seed, step, 0)}
        others = [tasks[i] for i in order if tasks[i].id not in taken]
        return others[(extra - 1) * per_step : extra * per_step]
    out = []
    for i in range(step * per_step, (step + 1) * per_step):
        order = np.random.default_rng(stream(seed, "epoch", i // n)).permutation(n)
        out.append(tasks[int(order[i % n])])
    return out
