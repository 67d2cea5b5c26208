"""Attention over shared prompts on CPU: prompts causal, completions over prompt + own tokens.

Forward: a completion's attention is two parts merged by their log-sum-exp. The prompt part has no mask, so
all completions (and the query heads that share a key head) are one long query and no key is copied; the own
part is causal over padded completions. Backward: whole rows of scores over prompt + own keys, for as many
completions at a time as take some 16 MB, at least one.

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
CHUNK_SCORES = 1 << 23  # elements of a backward chunk: with fewer, its products are too small to be fast
BLOCK = 256  # queries of a backward chunk


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
        for s in segments:
            cut, own = s.causal, s.own
            out[:, :, cut], _ = flash_forward(*(x[:, :, cut] for x in (q, k, v)), 0.0, True, scale=scale)
            if s.shared:
                out[0, :, own] = completions(
                    q[0, :, own], k[0, :, own], v[0, :, own], k[0, :, cut], v[0, :, cut], s, scale
                )
        ctx.save_for_backward(q, k, v)
        ctx.segments, ctx.scale = segments, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        results = [torch.empty_like(x) for x in (q, k, v)]
        inputs = [x[0].transpose(0, 1) for x in (q, grads[0], k, v)]  # [N, heads, D]
        outputs = [x[0].transpose(0, 1) for x in results]
        for s in ctx.segments:
            cut, own = s.causal, s.own
            tq, tg, tk, tv = (x[cut].transpose(0, 1) for x in inputs)
            gq, gk, gv = _gradients(_folded(tq, len(tk)), _folded(tg, len(tk)), tk, tv, ctx.scale)
            outputs[0][cut] = gq.flatten(0, 1).transpose(0, 1)
            if s.shared:
                gq, gk_own, gv_own, gk_prompt, gv_prompt = _completions_backward(
                    [x[own] for x in inputs], tk, tv, s, ctx.scale
                )
                gk, gv = gk + gk_prompt, gv + gv_prompt
                for out, part in zip(outputs, (gq, gk_own, gv_own), strict=True):
                    out[own] = part
            outputs[1][cut], outputs[2][cut] = gk.transpose(0, 1), gv.transpose(0, 1)
        return *results, None, None


def completions(q: Tensor, k: Tensor, v: Tensor, kp: Tensor, vp: Tensor, s: Segment, scale: float) -> Tensor:
    """q [Hq, N, D], own k, v [H, N, D], prompt kp, vp [H, P, D] -> output [Hq, N, D] float32."""
    heads, n, d = q.shape
    out_p, lse_p = flash_forward(q.reshape(1, k.shape[0], -1, d), kp[None], vp[None], 0.0, False, scale=scale)
    own = (x.transpose(0, 1)[s.padded_index].transpose(1, 2) for x in (q, k, v))  # [G, heads, L, D]
    out_o, lse_o = flash_forward(*own, 0.0, True, scale=scale)
    lse_own = lse_o.transpose(0, 1).flatten(1)[:, s.flat_index]
    out_own = out_o.transpose(0, 1).flatten(1, 2)[:, s.flat_index]
    lse_prompt = lse_p.reshape(heads, n)
    share = torch.sigmoid(lse_prompt - lse_own)[..., None]  # the prompt's part of the softmax mass
    return torch.lerp(out_own.float(), out_p.reshape(heads, n, d).float(), share)


def _completions_backward(
    row: Sequence[Tensor], kp: Tensor, vp: Tensor, s: Segment, scale: float
) -> tuple[Tensor, ...]:
    """Gradients of `completions` with respect to q, k, v [n, heads, D] of the completions' n tokens and, in
    float32, to kp and vp [H, P, D]. row: q, the gradient of the output, k, v of those tokens."""
    g, width = s.padded_index.shape
    heads, prompt, d = kp.shape
    q, grad, k, v = (x[s.padded_index].transpose(1, 2) for x in row)  # [G, heads, L, D]
    grad.transpose(1, 2)[~s.real] = 0.0  # padding repeats token 0, and weighs nothing
    to_q, to_k, to_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    to_kp, to_vp = kp.new_zeros(kp.shape, dtype=torch.float32), vp.new_zeros(vp.shape, dtype=torch.float32)
    # of one member: scores of a block, or gradients of keys and values where those are more
    elements = (prompt + width) * max(q.shape[1] * min(width, BLOCK), 4 * heads * d)
    members = max(1, CHUNK_SCORES // elements)
    for i in range(0, g, members):
        part = slice(i, i + members)
        m = len(q[part])
        keys, values = (
            torch.cat([shared.expand(m, -1, -1, -1), x[part]], dim=2).flatten(0, 1)
            for shared, x in ((kp, k), (vp, v))
        )
        queries, grads = (x[part].reshape(m * heads, -1, width, d) for x in (q, grad))
        gq, gk, gv = _gradients(queries, grads, keys, values, scale)
        to_q[part] = gq.view(m, -1, width, d)
        for both, shared, own in ((gk, to_kp, to_k), (gv, to_vp, to_v)):
            both = both.view(m, heads, -1, d)
            shared += both[:, :, :prompt].sum(0)
            own[part] = both[:, :, prompt:]
    flat = (x.transpose(1, 2).flatten(0, 1)[s.flat_index] for x in (to_q, to_k, to_v))
    return *flat, to_kp, to_vp


def _folded(x: Tensor, heads: int) -> Tensor:
    """[Hq, N, D] -> [H, R, N, D]"""
    return x.view(heads, -1, *x.shape[1:])


def _gradients(q: Tensor, grad: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q and, in float32, of k and v. q and the output's gradient [B, R, L, D]; k and v
    [B, K, D]: the last L keys are the queries' own tokens, causal; those before them are seen by all.

    Plain matrix products with whole rows of scores, recomputed: torch's flash backward on CPU takes several
    times as long (docs/experiments.md). They go in blocks of queries, so that scores stay bounded and keys
    after a block are left out.
    """
    b, repeat, length, d = q.shape
    size = k.shape[1]
    gq = q.new_empty(q.shape)
    gk, gv = (k.new_zeros(b, size, d, dtype=torch.float32) for _ in range(2))
    block = min(length, BLOCK, max(16, CHUNK_SCORES // (b * repeat * size)))
    later = torch.ones(block, block, dtype=torch.bool).triu_(1)
    for start in range(0, length, block):
        at = slice(start, min(start + block, length))
        n, seen = at.stop - start, size - length + at.stop
        queries = (q[:, :, at] * scale).flatten(1, 2)
        grads = grad[:, :, at].flatten(1, 2)
        keys, values = k[:, :seen], v[:, :seen]
        scores = torch.bmm(queries, keys.transpose(1, 2))
        scores.view(b, repeat, n, seen)[..., seen - n :].masked_fill_(later[:n, :n], float("-inf"))
        p = scores.softmax(-1)
        # through the softmax: p * (dp - sum(p * dp)), fused and with float32 inside
        ds = torch._softmax_backward_data(torch.bmm(grads, values.transpose(1, 2)), p, -1, p.dtype)
        gq[:, :, at] = torch.bmm(ds, keys).mul_(scale).view(b, repeat, n, d)
        gk[:, :seen] += torch.bmm(ds.transpose(1, 2), queries)
        gv[:, :seen] += torch.bmm(p.transpose(1, 2), grads)
    return gq, gk, gv
