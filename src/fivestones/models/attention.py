"""Attention over shared prompts, for models as transformers makes them.

`install(model)` switches a model to lean norms (`models.norm`) and to an attention function that does what
the `layout=` keyword of `decoder(...)` says: a `PackedLayout` computes whole groups as one row, each prompt
once (`[prompt | c1 | ... | cG | next prompt ...]`, position_ids restarting after the prompt for each
completion); the sampler's decode layout reads its own caches. A layout is any object with `attend(layer, q,
k, v, scale, window)`.

Shapes: Hq query heads, H key-value heads, N tokens of the packed row, P prompt tokens, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from fivestones.errors import ModelError
from fivestones.models.norm import lean_norms
from fivestones.models.partial import packed_attention

NAME = "fivestones"
LAYERS = {"full_attention", "sliding_attention"}  # others keep a state that the sampler does not carry
# configuration of what is neither in `attend` nor in `chunked_logprobs`
UNFIT = ("attn_logit_softcapping", "final_logit_softcapping", "logits_scaling", "logit_scale")


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that all of them begin with, which need to be computed only once; () for no prompts."""
    first, last = min(prompts, default=()), max(prompts, default=())  # all others lie between these
    n = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:n]


class Layout(Protocol):
    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q [B, Hq, N, D], k and v [B, H, N, D] -> [B, Hq, N, D]."""
        ...


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    layout: Layout | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if s_aux is not None:
        raise ModelError("models with attention sinks cannot be trained here")
    if layout is None:
        raise ValueError("a model prepared by `install` needs the keyword `layout`")
    out = layout.attend(module.layer_idx, query, key, value, scale, sliding_window)
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, lambda *a, **k: None)  # a layout masks by itself


def install(model: Any) -> None:
    """Switches attention and norms of the model in place; its weights and their names stay. Raises ModelError
    for a model whose logits or attention hold more than the engine computes."""
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    unfit = [
        f"{name} {getattr(config, name)}" for name in UNFIT if getattr(config, name, None) not in (None, 1)
    ]
    if getattr(head, "bias", None) is not None:
        unfit.append("a bias of the output head")
    unfit += sorted(f"{kind} layers" for kind in {*(getattr(config, "layer_types", None) or ())} - LAYERS)
    if unfit:
        raise ModelError(
            f"models of type `{config.model_type}` with {', '.join(unfit)} cannot be trained here"
        )
    lean_norms(model)
    model.set_attn_implementation(NAME)
    if config._attn_implementation != NAME:  # transformers only logs that it could not
        raise ModelError(
            f"models of type `{config.model_type}` do not take another attention: not trainable here"
        )


@dataclass(frozen=True)
class Segment:
    """One group in the row: where its prompt starts, and how long its parts are."""

    start: int
    prompt: int  # P
    lengths: tuple[int, ...]  # C of each completion; () = a prompt alone

    @property
    def end(self) -> int:
        return self.start + self.prompt + sum(self.lengths)

    @property
    def shared(self) -> bool:
        """Whether several completions share the prompt; a single one is one causal sequence with it."""
        return len(self.lengths) > 1

    @property
    def causal(self) -> slice:
        """The tokens that are one causal sequence."""
        return slice(self.start, self.start + self.prompt if self.shared else self.end)

    @property
    def own(self) -> slice:
        """The tokens of the completions."""
        return slice(self.start + self.prompt, self.end)

    @cached_property
    def padded_index(self) -> Tensor:
        """[G, Lmax] offsets into the completion tokens of the segment; padding repeats token 0."""
        starts = torch.tensor((0, *self.lengths[:-1])).cumsum(0)[:, None]
        return torch.where(self.real, starts + torch.arange(max(self.lengths))[None], 0)

    @cached_property
    def real(self) -> Tensor:
        """[G, Lmax] true where a token is."""
        return torch.arange(max(self.lengths))[None] < torch.tensor(self.lengths)[:, None]

    @cached_property
    def flat_index(self) -> Tensor:
        """[sum of lengths] positions of the real tokens in the padded [G * Lmax] grid."""
        return self.real.flatten().nonzero()[:, 0]


class PackedLayout:
    """Several groups in one row. Exact: log-probs and gradients equal those of the dense computation.

    `plain=True` uses masks and concatenated keys only (any device, any window): the reference for the fast
    path, whose forward computes prompt and own part apart and merges them by their log-sum-exp, copying no
    keys.
    """

    def __init__(self, groups: Sequence[tuple[int, Sequence[int]]], *, plain: bool = False) -> None:
        """groups: (prompt length, completion lengths) in the order of the row."""
        self.segments: list[Segment] = []
        start = 0
        for prompt, lengths in groups:
            self.segments.append(Segment(start, prompt, tuple(lengths)))
            start = self.segments[-1].end
        self.tokens = start
        self.plain = plain
        self.captured: dict[int, tuple[Tensor, Tensor]] | None = None  # layer -> keys, values [H, N, D]

    def capture(self) -> PackedLayout:
        """Keep keys and values of every layer (prefill)."""
        self.captured = {}
        return self

    def position_ids(self) -> Tensor:
        """[1, N]: 0..P-1 on a prompt, P.. again for each completion."""
        rows = []
        for s in self.segments:
            rows += [torch.arange(s.prompt), *(torch.arange(s.prompt, s.prompt + n) for n in s.lengths)]
        return torch.cat(rows)[None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        if self.captured is not None:
            self.captured[layer] = (k[0], v[0])
        if not self.plain and window is None and q.device.type == "cpu":
            return packed_attention(q, k, v, self.segments, scale)
        parts = []
        for s in self.segments:
            cut, own = s.causal, s.own
            parts.append(_causal(q[:, :, cut], k[:, :, cut], v[:, :, cut], scale, window))
            if s.shared:
                args = (q[0, :, own], k[0, :, own], v[0, :, own], k[0, :, cut], v[0, :, cut])
                parts.append(masked_attention(*args, s, scale, window)[None])
        return torch.cat(parts, dim=2)


def _causal(q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
    if window is None or window >= q.shape[2]:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
    at = torch.arange(q.shape[2], device=q.device)
    mask = _visible(at[:, None], at[None], window)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=True)


def _visible(query_at: Tensor, key_at: Tensor, window: int | None) -> Tensor:
    seen = key_at <= query_at
    return seen if window is None else seen & (key_at > query_at - window)


def masked_attention(
    q: Tensor, k: Tensor, v: Tensor, kp: Tensor, vp: Tensor, s: Segment, scale: float, window: int | None
) -> Tensor:
    """q [Hq, N, D], own k, v [H, N, D], prompt kp, vp [H, P, D] -> [Hq, N, D]; keys concatenated per
    completion."""
    index, flat = s.padded_index.to(q.device), s.flat_index.to(q.device)
    g, width = index.shape

    def pad(x: Tensor) -> Tensor:
        return x[:, index].transpose(0, 1)  # [G, heads, Lmax, D]

    keys = torch.cat([kp.expand(g, -1, -1, -1), pad(k)], dim=2)
    values = torch.cat([vp.expand(g, -1, -1, -1), pad(v)], dim=2)
    at = torch.arange(s.prompt, s.prompt + width, device=q.device)
    mask = _visible(at[:, None], torch.arange(s.prompt + width, device=q.device)[None], window)
    out = F.scaled_dot_product_attention(pad(q), keys, values, attn_mask=mask, scale=scale, enable_gqa=True)
    return out.transpose(0, 1).flatten(1, 2)[:, flat]
