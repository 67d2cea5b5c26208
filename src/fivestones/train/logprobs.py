"""Log-probs of chosen tokens without ever holding all logits.

Rows go through the output head in chunks: matrix product in the compute dtype, log-sum-exp in float32, the
entropy for free; backward recomputes each chunk. Shapes: N rows, V vocabulary, E hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 512


def chunked_logprobs(hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """hidden [N, E], head [V, E], targets [N] -> (log-probs [N], entropies [N]) float32, nats.

    Gradients flow from the log-probs to hidden and head; the entropy is for logging only.
    """
    logprobs, entropy = _Chunked.apply(hidden, head, targets, temperature)
    return logprobs, entropy


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, log_zs = [], [], []
        for rows, chosen in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = (rows @ head.T).float() / temperature
            log_z = logits.logsumexp(-1)
            logprobs.append(logits.gather(1, chosen[:, None])[:, 0] - log_z)
            p = (logits - log_z[:, None]).exp_()
            entropies.append(log_z - (p * logits).sum(-1))
            log_zs.append(log_z)
        ctx.save_for_backward(hidden, head, targets, torch.cat(log_zs))
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logprobs), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets, log_z = ctx.saved_tensors
        pieces = zip(
            hidden.split(CHUNK), targets.split(CHUNK), log_z.split(CHUNK), grads[0].split(CHUNK), strict=True
        )
        grad_hidden = []
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        for rows, chosen, z, g in pieces:
            # d logp / d logits = onehot - softmax
            d = (rows @ head.T).float().div_(ctx.temperature).sub_(z[:, None]).exp_().neg_()
            d[torch.arange(len(chosen), device=d.device), chosen] += 1.0
            d = d.mul_((g / ctx.temperature)[:, None]).to(head.dtype)
            grad_hidden.append(d @ head)
            if grad_head is not None:
                grad_head += d.T @ rows
        return torch.cat(grad_hidden), None if grad_head is None else grad_head.to(head.dtype), None, None
