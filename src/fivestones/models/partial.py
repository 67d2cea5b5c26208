"""Attention of a group's completions over prompt + own tokens, in two parts merged by their log-sum-exp.

The prompt part has no mask, so all completions (and the query heads that share a key head) are one long query and
no key is copied; the own part is causal over padded completions. The merged output and log-sum-exp, given to the
flash backward of each part, yield the exact gradients: with P = exp(qk - lse) and D = rowsum(dO * O) global, a
part's dQ, dK, dV are its share of the whole (FlashAttention-2, arXiv 2307.08691, section 3.1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fivestones.models.attention import Segment

flash_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def grouped_attention(
    q: Tensor, k: Tensor, v: Tensor, kp: Tensor, vp: Tensor, s: Segment, scale: float, window: None
) -> Tensor:
    """q [Hq, N, D], own k, v [H, N, D], prompt kp, vp [H, P, D] -> [Hq, N, D]. CPU only."""
    index, flat = s.padded_index, s.flat_index
    g, width = index.shape
    heads, n, d = q.shape
    repeat = heads // k.shape[0]

    def pad(x: Tensor) -> Tensor:
        return x[:, index].transpose(0, 1)  # [G, heads, Lmax, D]

    out: Tensor = _Grouped.apply(
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
        g, heads, width, d = qo.shape
        out_p, lse_p = flash_forward(q, kp, vp, 0.0, False, scale=scale)
        out_o, lse_o = flash_forward(qo, ko, vo, 0.0, True, scale=scale)
        lse_own = lse_o.transpose(0, 1).flatten(1)[:, flat]  # [Hq, N]
        out_own = out_o.transpose(0, 1).flatten(1, 2)[:, flat]  # [Hq, N, D]
        lse_prompt = lse_p.reshape(heads, -1)
        lse = torch.logaddexp(lse_prompt, lse_own)
        out = out_p.reshape(heads, -1, d) * (lse_prompt - lse).exp()[..., None]
        out = (out + out_own * (lse_own - lse).exp()[..., None]).to(q.dtype)
        ctx.save_for_backward(q, kp, vp, qo, ko, vo, flat, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, kp, vp, qo, ko, vo, flat, out, lse = ctx.saved_tensors
        grad = grads[0].contiguous()  # [Hq, N, D]
        g, heads, width, d = qo.shape
        gq, gkp, gvp = flash_backward(
            grad.view(q.shape),
            q,
            kp,
            vp,
            out.view(q.shape),
            lse.view(1, q.shape[1], -1),
            0.0,
            False,
            scale=ctx.scale,
        )

        def pad(x: Tensor, fill: float = 0.0) -> Tensor:
            """[Hq, N, ...] -> [G, Hq, L, ...]; a padded query has no gradient and, by a huge lse, no weight."""
            grid = x.new_full((heads, g * width, *x.shape[2:]), fill)
            grid[:, flat] = x
            return grid.unflatten(1, (g, width)).transpose(0, 1).contiguous()

        gqo, gko, gvo = flash_backward(
            pad(grad), qo, ko, vo, pad(out), pad(lse, 1e4), 0.0, True, scale=ctx.scale
        )
        return gq, gkp, gvp, gqo, gko, gvo, None, None
