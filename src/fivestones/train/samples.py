"""Groups -> samples: who learns from what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fivestones.recipe import TrainPart
from fivestones.train.advantage import centered, scaled
from fivestones.types import Group, Rollout, Sample


def length_penalty(tokens: int, limit: int, soft: float, size: float) -> float:
    """0 up to `soft * limit` tokens, then linear up to `size` at the limit (DAPO's soft overlong
    punishment)."""
    start = soft * limit
    return size * min(1.0, max(0.0, tokens - start) / max(limit - start, 1.0))


def contrast(group: Group) -> float:
    """Standard deviation of the known rewards of a group."""
    known = [s.reward for s in group.scores if s.reward is not None]
    # equal rewards have no contrast, whatever their mean rounds to
    return float(np.std(known)) if len(set(known)) > 1 else 0.0


def to_samples(groups: Sequence[Group], part: TrainPart, max_tokens: int) -> list[Sample]:
    """Drop unscored rollouts, then groups without contrast; spread each advantage over the sampled tokens."""
    kept: list[list[Rollout]] = []
    rewards: list[list[float]] = []
    for group in groups:
        if contrast(group) <= part.min_contrast:
            continue  # no contrast, no gradient
        pairs = [
            (
                r,
                s.reward
                - length_penalty(sum(r.loss_mask), max_tokens, part.length_soft, part.length_penalty),
            )
            for r, s in zip(group.rollouts, group.scores, strict=True)
            if s.reward is not None  # unknown is not zero
        ]
        kept.append([r for r, _ in pairs])
        rewards.append([x for _, x in pairs])
    advantages = scaled([centered(r) for r in rewards], part.scale, part.scale_floor)
    return [
        Sample(
            task_id=r.task_id,
            prompt_ids=r.prompt_ids,
            completion_ids=r.completion_ids,
            loss_mask=r.loss_mask,
            logprobs=r.logprobs,
            advantages=tuple(float(a) if m else 0.0 for m in r.loss_mask),
        )
        for rollouts, values in zip(kept, advantages, strict=True)
        for r, a in zip(rollouts, values, strict=True)
    ]
