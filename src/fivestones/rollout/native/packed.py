"""Linear layers in the layout of the CPU's bfloat16 matrix kernel, for the time of one `generate`.

A decode step multiplies a few rows by every weight; the kernel otherwise rearranges the weights on each call.
The values are the same bit for bit (tested); the copies cost the memory of the linear layers once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def packed_linears(model: nn.Module, rows: int) -> Iterator[None]:
    """rows: how many are multiplied at once in most calls. Nothing happens on other devices and dtypes."""
    changed = [m for m in model.modules() if _fits(m)] if _available() else []
    try:
        for module in changed:
            module.forward = _packed(module, rows)
        yield
    finally:
        for module in changed:
            module.__dict__.pop("forward", None)


def _available() -> bool:
    ops = torch.ops.mkldnn
    known = hasattr(ops, "_reorder_linear_weight") and hasattr(ops, "_linear_pointwise")
    return known and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _fits(module: nn.Module) -> bool:
    if type(module) is not nn.Linear:
        return False
    return module.weight.device.type == "cpu" and module.weight.dtype == torch.bfloat16


def _packed(module: Any, rows: int) -> Callable[[Tensor], Tensor]:
    weight = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), rows)
    bias = module.bias

    def forward(x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out

    return forward
