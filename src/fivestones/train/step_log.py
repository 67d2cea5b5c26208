"""What a training step leaves in the logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fivestones.protocols import Diagnose
from fivestones.train.gdpo import Points
from fivestones.train.samples import contrast
from fivestones.types import Group, Message


def group_metrics(
    groups: Sequence[Group], min_contrast: float, points: Points | None = None
) -> dict[str, float]:
    """Means over the known scores of a step; unscored ones are counted, not averaged. Without any known
    reward there is no mean. points: see `contrast`."""
    scores = [s for g in groups for s in g.scores]
    rollouts = [r for g in groups for r in g.rollouts]
    known = [s.reward for s in scores if s.reward is not None]
    lengths = [sum(r.loss_mask) for r in rollouts]
    names = sorted({name for s in scores for name in s.criteria})
    # a failed gate is a real zero for every criterion
    criteria = {
        f"criteria/{name}": float(
            np.mean([0.0 if s.failed else s.criteria[name] for s in scores if s.failed or name in s.criteria])
        )
        for name in names
    }
    rewards = {"reward_mean": float(np.mean(known)), "reward_std": float(np.std(known))} if known else {}
    return {
        **rewards,
        **criteria,
        "gate_rate": gate_rate(groups),
        "completion_tokens_mean": float(np.mean(lengths)),
        "completion_tokens_max": float(max(lengths)),
        "truncated": sum(r.finish == "length" for r in rollouts) / len(rollouts),
        "zero_contrast_groups": float(sum(contrast(g, points) <= min_contrast for g in groups)),
        "unscored": float(sum(s.reward is None for s in scores)),
        "rollouts": float(len(rollouts)),
    }


def behaviour_metrics(groups: Sequence[Group], diagnose: Diagnose | None) -> dict[str, float]:
    """`behaviours/NAME`: the mean over the episodes to which it applies. They are logged, never rewarded."""
    if diagnose is None:
        return {}
    found: dict[str, list[float]] = {}
    for g in groups:
        for r, s in zip(g.rollouts, g.scores, strict=True):
            for name, value in diagnose(g.task, r, s).items():
                if value is not None:
                    found.setdefault(name, []).append(value)
    return {f"behaviours/{name}": float(np.mean(values)) for name, values in found.items()}


def gate_rate(groups: Sequence[Group]) -> float:
    """Share of rollouts that pass all gates."""
    scores = [s for g in groups for s in g.scores]
    return sum(not s.failed for s in scores) / max(len(scores), 1)


def rollout_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """What `rollouts/step-*.jsonl` holds: a row a rollout, with its score."""
    return [
        {
            "task_id": g.task.id,
            "prompt": [_turn(m) for m in r.messages[:-1]],  # earlier turns included
            "text": r.answer,
            "finish": r.finish,
            "tokens": len(r.completion_ids),
            **asdict(s),
        }
        for g in groups
        for r, s in zip(g.rollouts, g.scores, strict=True)
    ]


def _turn(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, "calls": [asdict(c) for c in message.calls]}
