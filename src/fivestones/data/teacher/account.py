"""What rows cost, by what each of them says of its own making."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from fivestones.chat import Said

KEY = "teacher"  # of a row's provenance


def cost_of(replies: Sequence[Said]) -> dict[str, Any]:
    """What replies cost together, rejected ones included."""
    return {
        "replies": len(replies),
        "input_tokens": sum(reply.input_tokens for reply in replies),
        "output_tokens": sum(reply.output_tokens for reply in replies),
        "money": round(sum(reply.money for reply in replies), 9),
    }


def account(provenances: Iterable[str]) -> dict[str, Any]:
    """Of all rows together. provenances: the column of that name; rows without a teacher cost nothing."""
    total: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    money, rows = 0.0, 0
    models, endpoints, prompts = set(), set(), set()
    for text in provenances:
        told = json.loads(text).get(KEY)
        if told is None:
            continue
        rows += 1
        models.add(told["model"])
        total.update({key: told[key] for key in ("replies", "input_tokens", "output_tokens")})
        money += told["money"]
        rejected.update(told["rejected"])
        for written in told["texts"].values():
            endpoints.add(written["endpoint"])
            prompts.add(written["prompt"])
    return {
        "rows": rows,
        "models": sorted(models),
        "endpoints": sorted(endpoints),
        "prompts": sorted(prompts),
        **{key: total[key] for key in ("replies", "input_tokens", "output_tokens")},
        "money": round(money, 6),
        "rejected": dict(sorted(rejected.items())),  # cause -> attempts
    }
