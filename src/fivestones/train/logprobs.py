"""Log-probs of chosen tokens without ever holding all logits.

The output head is applied tile by tile of the vocabulary: matrix product in the compute dtype, running
log-sum-exp in float32 while the tile is in the processor's cache, the entropy for free; backward recomputes
each tile (docs/experiments.md has the measured sizes). Shapes: N rows, V vocabulary, E hidden size, T tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

ROWS = 1024  # rows of hidden states at a time: bounds the memory of a tile
TILE = 4096  # vocabulary entries at a time


def chunked_logprobs(
    hidden: Tensor, head: Tensor, targets: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """hidden [N, E], head [V, E], targets [N] -> (log-probs [N], entropies [N]) float32, nats.

    Gradients flow from the log-probs to hidden and head; the entropy is for logging only.
    """
    logprobs, entropy = _Chunked.apply(hidden, head, targets, temperature)  # type: ignore[no-untyped-call]
    return logprobs, entropy


class _Tiles:
    """Logits of some rows, tile by tile, in buffers that all tiles share."""

    def __init__(self, rows: int, head: Tensor, temperature: float) -> None:
        shape = (rows, min(TILE, len(head)))
        self.head, self.temperature = head, temperature
        self.product = torch.empty(shape, dtype=head.dtype, device=head.device)
        self.logits = torch.empty(shape, dtype=torch.float32, device=head.device)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        """(first entry of the tile, its rows of `head` [T, E])."""
        start = 0
        for weight in self.head.split(TILE):
            yield start, weight
            start += len(weight)

    def of(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """[n, T] float32, valid until the next call."""
        n, width = len(hidden), len(weight)
        product = self._cut(self.product, n, width)
        torch.mm(hidden, weight.T, out=product)
        out = self._cut(self.logits, n, width).copy_(product)
        return out if self.temperature == 1 else out.div_(self.temperature)

    @cached_property
    def _mass(self) -> Tensor:
        return torch.empty_like(self.logits)

    def exp(self, values: Tensor) -> Tensor:
        """values [n, T], valid until the next call."""
        return torch.exp(values, out=self._cut(self._mass, *values.shape))

    def small(self, values: Tensor) -> Tensor:
        """values [n, T] in the compute dtype, valid until the next call."""
        return self._cut(self.product, *values.shape).copy_(values)

    @staticmethod
    def _cut(buffer: Tensor, n: int, width: int) -> Tensor:
        return buffer.flatten()[: n * width].view(n, width)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, log_zs = [], [], []
        tiles = _Tiles(min(ROWS, len(hidden)), head, temperature)
        for rows, chosen in zip(hidden.split(ROWS), targets.split(ROWS), strict=True):
            top = torch.full((len(rows),), float("-inf"), device=rows.device)
            # of exp(x - top): its sum, its sum weighted by x; the logit of the chosen token
            z, zx, own = torch.zeros_like(top), torch.zeros_like(top), torch.zeros_like(top)
            for start, weight in tiles:
                logits = tiles.of(rows, weight)
                inside, index = _inside(chosen, start, len(weight))
                own += logits.gather(1, index)[:, 0] * inside
                higher = torch.maximum(top, logits.amax(-1))
                rescale = (top - higher).exp_()
                # zx is kept relative to `top` so that large logits lose no digits
                shifted = logits.sub_(higher[:, None])
                p = tiles.exp(shifted)
                mass = p.sum(-1)
                zx = torch.where(z > 0, zx + z * (top - higher), zx) * rescale + p.mul_(shifted).sum(-1)
                z = z * rescale + mass
                top = higher
            log_z = z.log()
            logprobs.append(own - top - log_z)
            entropies.append(log_z - zx / z)
            log_zs.append(top + log_z)
        ctx.save_for_backward(hidden, head, targets, torch.cat(log_zs))
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logprobs), entropy

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets, log_z = ctx.saved_tensors
        tiles = _Tiles(min(ROWS, len(hidden)), head, ctx.temperature)
        grad_hidden = torch.zeros_like(hidden, dtype=torch.float32)
        grad_head = torch.empty_like(head) if ctx.needs_input_grad[1] else None
        columns = (hidden, grad_hidden, targets, log_z, grads[0] / ctx.temperature)
        for start, weight in tiles:
            to_weight: Tensor | None = None
            for rows, to_rows, chosen, z, g in zip(*(x.split(ROWS) for x in columns), strict=True):
                # d logp / d logits = onehot - softmax
                d = tiles.of(rows, weight).sub_(z[:, None]).exp_().mul_(-g[:, None])
                inside, index = _inside(chosen, start, len(weight))
                d.scatter_add_(1, index, (g * inside)[:, None])
                small = tiles.small(d)
                to_rows += small @ weight
                if grad_head is not None:
                    part = small.T @ rows
                    to_weight = part if to_weight is None else to_weight.float() + part
            if grad_head is not None and to_weight is not None:
                grad_head[start : start + len(weight)] = to_weight
        return grad_hidden.to(hidden.dtype), grad_head, None, None


def _inside(chosen: Tensor, start: int, width: int) -> tuple[Tensor, Tensor]:
    """Which targets [n] lie in the tile, and their places in it [n, 1] (0 for the others)."""
    index = chosen - start
    inside = (index >= 0) & (index < width)
    return inside, torch.where(inside, index, 0)[:, None]
