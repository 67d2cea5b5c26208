"""Attention over shared prompts on CPU: prompts causal, completions over prompt + own tokens.

A completion's attention is two parts merged by their log-sum-exp. The prompt part has no mask, so all
completions (and the query heads that share a key head) are one long query and no key is copied; the own part
is causal over padded completions. The merged output and log-sum-exp, given to the backward of each part,
yield the exact gradients: with P = exp(qk - lse) and D = rowsum(dO * O) global, a part's dQ, dK, dV are its
share of the whole (FlashAttention-2, arXiv 2307.08691, section 3.1.2).

Shapes: Hq query heads, H key-value heads, R = Hq / H, N tokens, P prompt tokens, D head size, G completions,
L the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fivestones.models.attention import Segment

flash_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
CHUNK_SCORES = 1 << 20  # scores of a backward chunk: a few MB, which stay in the processor's cache


def packed_attention(q: Tensor, k: Tensor, v: Tensor, segments: Sequence[Segment], scale: float) -> Tensor:
    """q [1, Hq, N, D], k and v [1, H, N, D] of a packed row -> [1, Hq, N, D]. CPU only."""
    out: Tensor = _Packed.apply(q, k, v, tuple(segments), scale)  # type: ignore[no-untyped-call]
    return out


class _Packed(torch.autograd.Function):
    """One function for the whole row: no slices of q, k and v in the autograd graph, whose backward would
    fill a zero tensor as large as the row for each."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, segments: tuple[Segment, ...], scale: float
    ) -> Tensor:
        # [N, Hq, D] in memory: what the next layer reads
        out = q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)
        lse = q.new_empty(q.shape[:3], dtype=torch.float32)
        for s in segments:
            cut = s.causal
            part, z = flash_forward(q[:, :, cut], k[:, :, cut], v[:, :, cut], 0.0, True, scale=scale)
            out[:, :, cut], lse[:, :, cut] = part, z
            if s.shared:
                own = s.own
                out[0, :, own], lse[0, :, own] = completions(
                    q[0, :, own], k[0, :, own], v[0, :, own], k[0, :, cut], v[0, :, cut], s, scale
                )
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.segments, ctx.scale = segments, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        grad = grads[0]
        gq, gk, gv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for s in ctx.segments:
            cut, own = s.causal, s.own
            repeat = q.shape[1] // k.shape[1]
            keys = [x[:, :, cut].repeat_interleave(repeat, dim=1) for x in (k, v)]
            pieces = (x[:, :, cut] for x in (out, lse))
            to_q, to_k, to_v = flash_backward(
                grad[:, :, cut], q[:, :, cut], *keys, *pieces, 0.0, True, scale=ctx.scale
            )
            gq[:, :, cut] = to_q
            gk[:, :, cut], gv[:, :, cut] = (x.unflatten(1, (-1, repeat)).sum(2) for x in (to_k, to_v))
            if s.shared:
                gq[0, :, own], gk[0, :, own], gv[0, :, own], to_k, to_v = _completions_backward(
                    [x[0, :, own] for x in (q, k, v, grad, out, lse)],
                    k[0, :, cut],
                    v[0, :, cut],
                    s,
                    ctx.scale,
                )
                gk[0, :, cut] += to_k
                gv[0, :, cut] += to_v
        return gq, gk, gv, None, None


def completions(
    q: Tensor, k: Tensor, v: Tensor, kp: Tensor, vp: Tensor, s: Segment, scale: float
) -> tuple[Tensor, Tensor]:
    """q [Hq, N, D], own k, v [H, N, D], prompt kp, vp [H, P, D] -> output [Hq, N, D] float32, log-sum-exp
    [Hq, N]."""
    heads, n, d = q.shape
    out_p, lse_p = flash_forward(q.reshape(1, k.shape[0], -1, d), kp[None], vp[None], 0.0, False, scale=scale)
    out_o, lse_o = flash_forward(_pad(q, s), _pad(k, s), _pad(v, s), 0.0, True, scale=scale)
    lse_own = lse_o.transpose(0, 1).flatten(1)[:, s.flat_index]
    out_own = out_o.transpose(0, 1).flatten(1, 2)[:, s.flat_index]
    lse_prompt = lse_p.reshape(heads, n)
    share = torch.sigmoid(lse_prompt - lse_own)[..., None]  # the prompt's part of the softmax mass
    out = torch.lerp(out_own.float(), out_p.reshape(heads, n, d).float(), share)
    return out, torch.logaddexp(lse_prompt, lse_own)


def _pad(x: Tensor, s: Segment) -> Tensor:
    """[heads, N, ...] -> [G, heads, L, ...]; padding repeats token 0."""
    return x[:, s.padded_index].transpose(0, 1)


def _completions_backward(
    row: Sequence[Tensor], kp: Tensor, vp: Tensor, s: Segment, scale: float
) -> tuple[Tensor, ...]:
    """Gradients of `completions` with respect to q, k, v, kp and vp. row: q, k, v, the gradient of the
    output, the output and the log-sum-exp of the completions' tokens."""
    q, k, v, grad, out, lse = row
    heads, n, d = q.shape
    kv = k.shape[0]
    delta = (grad.float() * out.float()).sum(-1)  # [Hq, N]
    folded = [x.reshape(kv, -1, *x.shape[2:]) for x in (q, grad, lse, delta)]  # [H, R * N, ...]
    to_q, to_kp, to_vp = _products(folded, kp, vp, scale)
    # the own part; a padded query weighs nothing: its log-sum-exp is huge and its gradient 0
    grid = [_pad(x, s) for x in (q, grad, lse, delta)]
    grid[1].transpose(1, 2)[~s.real] = 0.0
    grid[2].transpose(1, 2)[~s.real] = 1e4
    g, width = s.padded_index.shape
    rows = [x.reshape(g * kv, -1, *x.shape[3:]) for x in grid]  # [G * H, R * L, ...]
    keys, values = (_pad(x, s).flatten(0, 1) for x in (k, v))
    own = _products(rows, keys, values, scale, causal=width)

    def flat(x: Tensor) -> Tensor:
        """[G * H, R * L, D] -> [Hq or H, N, D]"""
        return x.view(g, -1, width, d).transpose(0, 1).flatten(1, 2)[:, s.flat_index]

    return to_q.view(heads, n, d) + flat(own[0]), flat(own[1]), flat(own[2]), to_kp, to_vp


def _products(
    rows: Sequence[Tensor], k: Tensor, v: Tensor, scale: float, causal: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v. rows: q and grad [B, M, D], log-sum-exp and delta [B, M]; k, v [B, K, D].
    causal: 0, or the number of queries L after which (M = R * L) the diagonal starts anew.

    Plain matrix products: torch's flash backward on CPU takes several times as long for short completions
    (docs/experiments.md). They go in chunks, so that memory stays bounded.
    """
    q, grad, lse, delta = rows
    q = q * scale
    gq, gk, gv = (
        torch.empty_like(q),
        torch.zeros_like(k, dtype=torch.float32),
        torch.zeros_like(v, dtype=torch.float32),
    )
    b, m = q.shape[:2]
    size = k.shape[1]
    # causal chunks are cut between the B, others also between the M
    lanes = max(1, min(b, CHUNK_SCORES // (size * m)))
    length = m if causal else max(1, min(m, CHUNK_SCORES // (size * lanes)))
    for i in range(0, b, lanes):
        keys, values = k[i : i + lanes], v[i : i + lanes]
        for j in range(0, m, length):
            at = (slice(i, i + lanes), slice(j, j + length))
            p = torch.bmm(q[at], keys.transpose(1, 2)).float().sub_(lse[at][..., None]).exp_()
            if causal:
                p.view(len(p), -1, causal, size).tril_()
            to_p = torch.bmm(grad[at], values.transpose(1, 2)).float().sub_(delta[at][..., None])
            ds = to_p.mul_(p).to(q.dtype)
            gq[at] = torch.bmm(ds, keys)
            gk[at[0]] += torch.bmm(ds.transpose(1, 2), q[at])
            gv[at[0]] += torch.bmm(p.to(q.dtype).transpose(1, 2), grad[at])
    return gq.mul_(scale), gk.to(k.dtype), gv.to(v.dtype)
