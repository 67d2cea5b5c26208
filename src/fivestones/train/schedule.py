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
