"""Attention of a group's completions over prompt + own tokens, in two parts merged by their log-sum-exp.

The prompt part has no mask, so all completions (and the query heads that share a key head) are one long
query and no key is copied; the own part is causal over padded completions. The merged output and
log-sum-exp, given to the backward of each part, yield the exact gradients: with P = exp(qk - lse) and D =
rowsum(dO * O) global, a part's dQ, dK, dV are its share of the whole (FlashAttention-2, arXiv 2307.08691,
section 3.1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fivestones.models.attention import Segment

flash_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
CHUNK_SCORES = 1 << 21  # scores of a backward chunk


def grouped_attention(
    q: Tensor, k: Tensor, v: Tensor, kp: Tensor, vp: Tensor, s: Segment, scale: float, window: int | None
) -> Tensor:
    """q [Hq, N, D], own k, v [H, N, D], prompt kp, vp [H, P, D] -> [Hq, N, D]. CPU only."""
    index, flat = s.padded_index, s.flat_index
    heads, n, d = q.shape
    repeat = heads // k.shape[0]

    def pad(x: Tensor) -> Tensor:
        return x[:, index].transpose(0, 1)  # [G, heads, Lmax, D]

    out: Tensor = _Grouped.apply(  # type: ignore[no-untyped-call]
        q.reshape(1, k.shape[0], repeat * n, d),
        kp[None],
        vp[None],
        pad(q),
        pad(k).repeat_interleave(repeat, dim=1),
        pad(v).repeat_interleave(repeat, dim=1),
        flat,
        scale,
    )
    return out


class _Grouped(torch.autograd.Function):
    """(q folded [1, H, rep*N, D], kp, vp [1, H, P, D], q, k, v padded [G, Hq, L, D]) -> [Hq, N, D]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        kp: Tensor,
        vp: Tensor,
        qo: Tensor,
        ko: Tensor,
        vo: Tensor,
        flat: Tensor,
        scale: float,
    ) -> Tensor:
        heads, d = qo.shape[1], qo.shape[3]
        out_p, lse_p = flash_forward(q, kp, vp, 0.0, False, scale=scale)
        out_o, lse_o = flash_forward(qo, ko, vo, 0.0, True, scale=scale)
        lse_own = lse_o.transpose(0, 1).flatten(1)[:, flat]  # [Hq, N]
        out_own = out_o.transpose(0, 1).flatten(1, 2)[:, flat]  # [Hq, N, D]
        lse_prompt = lse_p.reshape(heads, -1)
        lse = torch.logaddexp(lse_prompt, lse_own)
        out: Tensor = out_p.reshape(heads, -1, d) * (lse_prompt - lse).exp()[..., None]
        out = (out + out_own * (lse_own - lse).exp()[..., None]).to(q.dtype)
        ctx.save_for_backward(q, kp, vp, qo, ko, vo, flat, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, kp, vp, qo, ko, vo, flat, out, lse = ctx.saved_tensors
        grad = grads[0]  # [Hq, N, D]
        g, heads, width, _ = qo.shape
        delta = (grad.float() * out.float()).sum(-1)  # [Hq, N]

        def pad(x: Tensor, fill: float = 0.0) -> Tensor:
            """[Hq, N, ...] -> [G, Hq, L, ...]; a padded query has no gradient and, by a huge lse, no
            weight."""
            grid = x.new_full((heads, g * width, *x.shape[2:]), fill)
            grid[:, flat] = x
            padded: Tensor = grid.unflatten(1, (g, width)).transpose(0, 1)
            return padded

        folded = grad.reshape(q.shape), lse.reshape(q.shape[:-1]), delta.reshape(q.shape[:-1])
        shared = _backward(q, kp, vp, *folded, ctx.scale, causal=False)
        own = _backward(qo, ko, vo, pad(grad), pad(lse, 1e4), pad(delta), ctx.scale, causal=True)
        return (*shared, *own, None, None)


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    lse: Tensor,
    delta: Tensor,
    scale: float,
    *,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q [B, H, M, D], k, v [B, H, K, D] given grad [B, H, M, D], lse and delta [B, H, M].

    Plain matrix products, which reach a far higher rate here than the flash backward of torch's CPU kernels
    (docs/experiments.md); queries go in chunks, so that memory stays bounded.
    """
    rows = q.shape[2] if causal else max(1, CHUNK_SCORES // (q.shape[1] * k.shape[2]))
    gq, gk, gv = [], None, None
    for qs, gs, zs, ds in zip(
        q.split(rows, 2), grad.split(rows, 2), lse.split(rows, 2), delta.split(rows, 2), strict=True
    ):
        p = torch.matmul(qs, k.transpose(-1, -2)).float().mul_(scale).sub_(zs[..., None]).exp_()
        if causal:
            p = p.tril_()
        s = torch.matmul(gs, v.transpose(-1, -2)).float().sub_(ds[..., None]).mul_(p).mul_(scale).to(q.dtype)
        gq.append(torch.matmul(s, k))
        to_k = torch.matmul(s.transpose(-1, -2), qs).float()
        to_v = torch.matmul(p.to(q.dtype).transpose(-1, -2), gs).float()
        gk, gv = (to_k, to_v) if gk is None or gv is None else (gk.add_(to_k), gv.add_(to_v))
    assert gk is not None and gv is not None
    return torch.cat(gq, 2), gk.to(k.dtype), gv.to(v.dtype)
