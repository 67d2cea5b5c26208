"""Keys and values of chats that may go on: of the next turn only what is new in it is computed.

Shapes: H key-value heads, Q query heads of each, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fivestones.rollout.native.caches import KeyValues


@dataclass(frozen=True)
class Past:
    """Keys and values of the tokens from `start` on."""

    start: int
    keys: KeyValues  # layer -> keys, values [H, tokens, D]

    @cached_property
    def bytes(self) -> int:
        return sum(x.numel() * x.element_size() for pair in self.keys.values() for x in pair)

    def since(self, token: int) -> KeyValues:
        cut = token - self.start
        return {i: (k[:, cut:], v[:, cut:]) for i, (k, v) in self.keys.items()}


class OpenChats:
    """The chats of one call of the sampler, for the next one; what another call began is forgotten."""

    def __init__(self, most: int) -> None:
        """most: bytes that are kept at once; a chat beyond them is computed anew."""
        self.most = most
        self._now: dict[tuple[int, ...], Past] = {}
        self._before: dict[tuple[int, ...], Past] = {}

    def begin(self) -> None:
        self._before, self._now = self._now, {}

    @property
    def start(self) -> int:
        """The token from which on keys are kept; with none kept, any."""
        return min((past.start for past in self._before.values()), default=1 << 62)

    def clear(self) -> None:
        self._before, self._now = {}, {}

    def keep(self, ids: tuple[int, ...], past: Past) -> None:
        """ids: all tokens of the chat whose keys are known, those before `past.start` included."""
        held = sum(p.bytes for part in (self._before, self._now) for p in part.values())
        if held + past.bytes <= self.most:
            self._now[ids] = past

    def find(self, prompt: tuple[int, ...], shared: int) -> KeyValues:
        """Keys and values of the prompt's tokens from `shared` on, as many as are known; {} for none. They
        are given up: equal prompts are computed once."""
        for length in sorted({len(ids) for ids in self._before}, reverse=True):
            past = self._before.get(prompt[:length]) if length < len(prompt) else None
            if past and past.start <= shared < length:
                del self._before[prompt[:length]]
                return past.since(shared)
        return {}


class ContinuedLayout:
    """Prefill of prompts of which the first tokens are known: those that all share, and each one's own."""

    def __init__(
        self, prefix: KeyValues, shared: int, pasts: Sequence[KeyValues], lengths: Sequence[int]
    ) -> None:
        """shared: tokens of the prefix; pasts: of each prompt, from there on, or {}; lengths: tokens of each
        that are new."""
        self.prefix, self.shared, self.pasts, self.lengths = prefix, shared, pasts, tuple(lengths)
        self.captured: KeyValues = {}

    def position_ids(self) -> Tensor:
        begins = [self.shared + known(past) for past in self.pasts]
        pairs = zip(begins, self.lengths, strict=True)
        return torch.cat([torch.arange(b, b + n) for b, n in pairs])[None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        self.captured[layer] = (k[0], v[0])
        kp, vp = self.prefix[layer]
        out, at = [], 0
        for past, length in zip(self.pasts, self.lengths, strict=True):
            own = slice(at, at + length)
            before = [past[layer]] if past else []
            keys = torch.cat([kp, *(b[0] for b in before), k[0][:, own]], dim=1)
            values = torch.cat([vp, *(b[1] for b in before), v[0][:, own]], dim=1)
            mask = _visible(length, keys.shape[1], window).to(q.device)
            out.append(
                scaled_dot_product_attention(
                    q[:, :, own], keys[None], values[None], attn_mask=mask, scale=scale, enable_gqa=True
                )
            )
            at += length
        return torch.cat(out, dim=2)


def known(past: KeyValues) -> int:
    """Tokens of it."""
    return next(iter(past.values()))[0].shape[1] if past else 0


def joined(past: KeyValues, new: KeyValues, cut: slice) -> KeyValues:
    """A prompt's keys and values: those known, and new[cut]."""
    if not past:
        return {i: (k[:, cut], v[:, cut]) for i, (k, v) in new.items()}
    return {
        i: (torch.cat([past[i][0], k[:, cut]], dim=1), torch.cat([past[i][1], v[:, cut]], dim=1))
        for i, (k, v) in new.items()
    }


def _visible(queries: int, keys: int, window: int | None) -> Tensor:
    """[queries, keys]: the last queries see what is before them, no further back than the window."""
    at = torch.arange(keys - queries, keys)[:, None]
    seen = torch.arange(keys) <= at
    return seen if window is None else seen & (torch.arange(keys) > at - window)
