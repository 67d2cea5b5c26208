"""Groups -> samples: who learns from what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fivestones.recipe import TrainPart
from fivestones.train.advantage import Array, centered, scaled
from fivestones.train.gdpo import Points, components, decoupled
from fivestones.types import Group, Rollout, Sample, Score


def length_penalty(tokens: int, limit: int, soft: float, size: float) -> float:
    """0 up to `soft * limit` tokens, then linear up to `size` at the limit (DAPO's soft overlong
    punishment)."""
    start = soft * limit
    return size * min(1.0, max(0.0, tokens - start) / max(limit - start, 1.0))


def contrast(group: Group, points: Points | None = None) -> float:
    """Standard deviation of the known rewards of a group. points: of the rubric, for scale `gdpo`, where each
    part of the reward is normalised by itself: then the largest of its parts, in points too."""
    known = [score for score in group.scores if score.reward is not None]
    if points is None:
        return _deviation([s.reward for s in known])
    weights = [points.gates, *points.criteria.values()]
    parts = components(known, points).T if known else ()
    return max((w * _deviation(p) for w, p in zip(weights, parts, strict=bool(known))), default=0.0)


def _deviation(values: Sequence[Any] | Array) -> float:
    # equal values have none, whatever their mean rounds to
    return float(np.std(values)) if len(set(values)) > 1 else 0.0


def to_samples(
    groups: Sequence[Group], part: TrainPart, max_tokens: int, points: Points | None = None
) -> list[Sample]:
    """Drop unscored rollouts, then groups without contrast; spread each advantage over the sampled tokens.

    points: of the rubric, for scale `gdpo`.
    """
    # no contrast, no gradient
    kept = [_scored(group) for group in groups if contrast(group, points) > part.min_contrast]
    lost = [[_penalty(r, part, max_tokens) for r, _ in pairs] for pairs in kept]
    if part.scale == "gdpo":
        advantages = _by_component([[s for _, s in pairs] for pairs in kept], lost, part, points)
    else:
        rewards = [[s.reward or 0.0 for _, s in pairs] for pairs in kept]
        nets = [np.subtract(r, p).tolist() for r, p in zip(rewards, lost, strict=True)]
        advantages = scaled([centered(net) for net in nets], part.scale, part.scale_floor)
    return [
        Sample(
            task_id=r.task_id,
            prompt_ids=r.prompt_ids,
            completion_ids=r.completion_ids,
            loss_mask=r.loss_mask,
            logprobs=r.logprobs,
            advantages=tuple(weight * float(a) if m else 0.0 for m in r.loss_mask),
        )
        for pairs, values in zip(kept, advantages, strict=True)
        for (r, _), a in zip(pairs, values, strict=True)
        # asymmetric REINFORCE, as arXiv 2506.20520 shifts the baseline for
        for weight in [part.negative_weight if a < 0 else 1.0]
        if weight or part.kl  # nothing to learn from: no forward pass either
    ]


def _scored(group: Group) -> list[tuple[Rollout, Score]]:
    """Those that have a reward: unknown is not zero."""
    pairs = zip(group.rollouts, group.scores, strict=True)
    return [(rollout, score) for rollout, score in pairs if score.reward is not None]


def _penalty(rollout: Rollout, part: TrainPart, max_tokens: int) -> float:
    return length_penalty(sum(rollout.loss_mask), max_tokens, part.length_soft, part.length_penalty)


def _by_component(
    scores: Sequence[Sequence[Score]],
    lost: Sequence[Sequence[float]],
    part: TrainPart,
    points: Points | None,
) -> list[Array]:
    """The length penalty is a component of its own, in [-1, 0] before its weight."""
    if points is None:
        raise ValueError("scale gdpo needs the points of each criterion")
    size = part.length_penalty or 1.0
    parts = [
        np.column_stack([components(s, points), -np.asarray(p) / size])
        for s, p in zip(scores, lost, strict=True)
    ]
    return decoupled(parts, [points.gates, *points.criteria.values(), part.length_penalty], part.scale_floor)
