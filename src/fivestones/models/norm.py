"""Root-mean-square norms on CPU that keep only their input for backward, which goes in pieces.

transformers' own norm leaves two float32 tensors of the size of its input to autograd; most of its time is
theirs (docs/experiments.md). Zhang and Sennrich, arXiv 1910.07467.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

PIECE = 1 << 18  # elements at a time: a float32 piece stays in the processor's cache


def lean_norms(model: nn.Module) -> None:
    """Switch the norms of `model` that compute `weight * (x / rms(x))` to the function of this module. Each
    is tried first, in float32: one that computes something else stays as it is."""
    for module in model.modules():
        if _same(module):
            kind: Any = type(module)
            module.__class__ = _lean(kind)  # not an attribute: a deep copy must have its own


def _same(module: nn.Module) -> bool:
    epsilon, names = getattr(module, "variance_epsilon", None), [n for n, _ in module.named_parameters()]
    if not isinstance(epsilon, float) or names != ["weight"] or isinstance(module, _Lean):
        return False
    weight: Any = module.weight
    if weight.dim() != 1 or weight.device.type != "cpu":
        return False
    twin: Any = copy.deepcopy(module).float()
    x = torch.linspace(-2, 3, 2 * len(twin.weight)).view(1, 2, -1)
    with torch.no_grad():
        # small values show where epsilon comes in
        return all(
            torch.allclose(twin(y), rms_norm(y, twin.weight, epsilon), rtol=1e-5) for y in (x, 1e-3 * x)
        )


class _Lean:
    """Marks a class whose forward is `rms_norm`."""


@cache
def _lean(kind: type[nn.Module]) -> type[nn.Module]:
    """Made at run time, so that a model with it cannot be pickled; weights are saved as ever."""

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        return rms_norm(hidden_states, self.weight, self.variance_epsilon)

    return type(kind.__name__, (_Lean, kind), {"forward": forward})


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x [..., E], weight [E] -> [..., E]: normalised in float32, rounded, then weighted."""
    if not torch.is_grad_enabled():
        return _forward(x, weight, epsilon)[0]
    out: Tensor = _Norm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    return out


def _forward(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The result, and 1 / rms [..., 1] in float32."""
    wide = x.float()
    scale = wide.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return (wide * scale).to(x.dtype) * weight, scale


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        out, scale = _forward(x, weight, epsilon)
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        to_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        to_weight = torch.zeros_like(weight, dtype=torch.float32)
        wide, size = weight.float(), weight.shape[0]
        tokens = max(1, PIECE // size)
        rows = (y.reshape(-1, y.shape[-1]).split(tokens) for y in (x, grads[0], scale, to_x))
        for part, grad, s, out in zip(*rows, strict=True):
            normed = part * s  # float32, as s is
            g = grad.to(torch.float32, copy=True)
            product = g * normed
            if ctx.needs_input_grad[1]:
                to_weight += product.sum(0)
            along = torch.mv(product, wide).div_(size)[:, None]  # mean of weight * grad * normed
            out.copy_(g.mul_(wide).sub_(normed.mul_(along)).mul_(s))
        return to_x, to_weight.to(weight.dtype), None
