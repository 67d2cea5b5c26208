"""float32 master weights behind a model that computes in a smaller dtype.

Gradients of each micro-batch are added up in float32 as backward produces them, so that splitting a batch
does not round more; the optimizer steps on the masters, which are then rounded into the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fivestones.errors import ModelError
from fivestones.models.load import cast

PIECE = 1 << 22  # elements of a gradient that are added at once


class _Grads:
    """Sums of gradients in float32, in buffers that all steps share: fresh pages of this size are costly."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}  # of this step
        self._buffers: dict[str, Tensor] = {}

    def add(self, name: str, grad: Tensor) -> None:
        if name not in self._buffers:
            self._buffers[name] = torch.empty_like(grad, dtype=torch.float32)
        buffer = self._buffers[name]
        if name not in self.sums:
            self.sums[name] = buffer.copy_(grad)
            return
        # in pieces: torch first makes a float32 copy of what it adds
        for total, part in zip(buffer.view(-1).split(PIECE), grad.reshape(-1).split(PIECE), strict=True):
            total += part

    def clear(self) -> None:
        self.sums.clear()


class Masters:
    def __init__(self, model: nn.Module, dtype: torch.dtype, *, weight_decay: float = 0.0) -> None:
        """Casts `model` (float32) to `dtype` in place; only parameters that require gradients get a
        master."""
        self.model = model
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        full = {n: p.detach() for n, p in model.named_parameters()}
        self.copies = {n: full[n].clone() for n in self.names} if dtype != torch.float32 else {}
        cast(model, dtype)
        self.params = dict(model.named_parameters())
        self.masters = {n: self.copies.get(n, self.params[n].data) for n in self.names}
        self.grads = _Grads()
        for name in self.names:
            self.params[name].register_post_accumulate_grad_hook(self._collect(name))
        self.optimizer = torch.optim.AdamW(
            [self.masters[n] for n in self.names],
            lr=0.0,
            betas=(0.9, 0.95),
            eps=1e-8,
            weight_decay=weight_decay,
            fused=True,
        )

    def _collect(self, name: str) -> Any:
        grads = self.grads  # not `self`: a hook that holds its parameter's owner would keep both for ever

        def hook(param: Tensor) -> None:
            assert param.grad is not None
            grads.add(name, param.grad)
            param.grad = None

        return hook

    def step(self, lr: float, grad_clip: float) -> float:
        """One optimizer step from the collected gradients; returns the norm before clipping."""
        norm = float(torch.nn.utils.get_total_norm([*self.grads.sums.values()]))
        if not torch.isfinite(torch.tensor(norm)):
            raise ModelError(
                "the gradient is not finite: nothing was updated; lower train.lr or use model.dtype=float32"
            )
        scale = min(1.0, grad_clip / max(norm, 1e-12))
        for name in self.names:
            grad = self.grads.sums.get(name)
            self.masters[name].grad = (
                torch.zeros_like(self.masters[name]) if grad is None else grad.mul_(scale)
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.grads.clear()
        self._round()
        return norm

    @torch.no_grad()
    def _round(self) -> None:
        for name, copy in self.copies.items():
            self.params[name].copy_(copy)

    def state(self) -> dict[str, Tensor]:
        """Optimizer moments by `name|moment`, for safetensors."""
        out: dict[str, Tensor] = {}
        for name in self.names:
            for key, value in self.optimizer.state.get(self.masters[name], {}).items():
                out[f"{name}|{key}"] = value.contiguous().cpu()
        return out

    @torch.no_grad()
    def restore(self, weights: Mapping[str, Tensor], moments: Mapping[str, Tensor]) -> None:
        for name in self.names:
            self.masters[name].copy_(weights[name])
            state = {k.split("|", 1)[1]: v for k, v in moments.items() if k.split("|", 1)[0] == name}
            device = self.masters[name].device
            if state:
                self.optimizer.state[self.masters[name]] = {k: v.to(device) for k, v in state.items()}
            else:
                self.optimizer.state.pop(self.masters[name], None)
        self._round()
