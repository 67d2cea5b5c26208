"""Log-probs of chosen tokens without ever holding all logits.

Rows go through the output head in chunks: matrix product in the compute dtype, log-sum-exp in float32, the
entropy for free; backward recomputes each chunk. Shapes: N rows, V vocabulary, E hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 512


def chunked_logprobs(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """hidden [N, E], head [V, E], targets [N] -> (log-probs [N], entropies [N]) float32, nats.

    Gradients flow from the log-probs to hidden and head; the entropy is for logging only.
    """
    logprobs, entropy = _Chunked.apply(hidden, head, targets, temperature)  # type: ignore[no-untyped-call]
    return logprobs, entropy


class _Workspace:
    """Buffers for one chunk of logits, used again by all chunks: fresh ones of this size are costly to
    map."""

    def __init__(self, hidden: Tensor, head: Tensor) -> None:
        shape = (min(CHUNK, len(hidden)), len(head))
        self.product = torch.empty(shape, dtype=head.dtype, device=head.device)
        self.logits = torch.empty(shape, dtype=torch.float32, device=head.device)

    def logits_of(self, rows: Tensor, head: Tensor, temperature: float) -> Tensor:
        """[n, V] float32, valid until the next call."""
        torch.mm(rows, head.T, out=self.product[: len(rows)])
        out = self.logits[: len(rows)].copy_(self.product[: len(rows)])
        return out if temperature == 1 else out.div_(temperature)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, log_zs = [], [], []
        space = _Workspace(hidden, head)
        spare = torch.empty_like(space.logits)
        for rows, chosen in zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True):
            logits = space.logits_of(rows, head, temperature)
            top = logits.amax(-1)
            p = torch.sub(logits, top[:, None], out=spare[: len(rows)]).exp_()
            z = p.sum(-1)
            log_z = top + z.log()
            logprobs.append(logits.gather(1, chosen[:, None])[:, 0] - log_z)
            entropies.append(log_z - p.mul_(logits).sum(-1) / z)
            log_zs.append(log_z)
        ctx.save_for_backward(hidden, head, targets, torch.cat(log_zs))
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logprobs), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets, log_z = ctx.saved_tensors
        space = _Workspace(hidden, head)
        grad_hidden = []
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        pieces = (x.split(CHUNK) for x in (hidden, targets, log_z, grads[0] / ctx.temperature))
        for rows, chosen, z, g in zip(*pieces, strict=True):
            # d logp / d logits = onehot - softmax
            d = space.logits_of(rows, head, ctx.temperature).sub_(z[:, None]).exp_().mul_(-g[:, None])
            d[torch.arange(len(chosen), device=d.device), chosen] += g
            small = space.product[: len(rows)].copy_(d)
            grad_hidden.append(small @ head)
            if grad_head is not None:
                grad_head += small.T @ rows
        return torch.cat(grad_hidden), None if grad_head is None else grad_head.to(head.dtype), None, None
