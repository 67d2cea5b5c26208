"""The policy-gradient loss, per token. All tensors [N] over the sampled tokens of a micro-batch."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate with separate bounds (DAPO, arXiv 2503.14476): ([N] loss, [N] clipped or not).

    Anchored to the sampler's own log-probs, so that one on-policy update needs no pass for the old ones.
    """
    ratio = (logprobs - old_logprobs).exp()
    plain = ratio * advantages
    bounded = ratio.clamp(1.0 - low, 1.0 + high) * advantages
    return -torch.minimum(plain, bounded), bounded < plain


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """[N] unbiased, non-negative estimate of KL(policy || reference) (Schulman, 'Approximating KL
    divergence')."""
    d = reference - logprobs
    return d.exp() - d - 1.0
