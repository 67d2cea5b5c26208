"""Key-value caches of the native sampler: what all prompts begin with once, the rest of a prompt once per
lane, completions per member.

A lane decodes one group: W members that share a prompt. Shapes: N lanes, W members, R = N * W rows, H
key-value heads, Q query heads of each, S slots, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fivestones.models.attention import Segment, masked_attention
from fivestones.models.partial import completions, flash_forward

KeyValues = dict[int, tuple[Tensor, Tensor]]  # layer -> keys, values [H, tokens, D]


class TailLayout:
    """Prefill of prompt tails behind a common prefix whose keys and values are known."""

    def __init__(self, prefix: KeyValues, prefix_tokens: int, lengths: tuple[int, ...]) -> None:
        self.prefix = prefix
        self.segment = Segment(0, prefix_tokens, lengths)
        self.captured: KeyValues = {}

    def position_ids(self) -> Tensor:
        p = self.segment.prompt
        return torch.cat([torch.arange(p, p + n) for n in self.segment.lengths])[None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        self.captured[layer] = (k[0], v[0])
        kp, vp = self.prefix[layer]
        args = (q[0], k[0], v[0], kp, vp, self.segment, scale)
        if window is None and q.device.type == "cpu":
            return completions(*args).to(q.dtype)[None]
        return masked_attention(*args, window)[None]


@dataclass(frozen=True)
class _Part:
    """Keys that some rows share. axes: 0 for all rows, 1 for the members of a lane, 2 for one row alone."""

    axes: int
    k: Tensor  # [B, H, S, D] with B = 1, N or R
    v: Tensor
    mask: Tensor | None  # [N, 1, 1, 1, S] additive: 0 where visible, -inf elsewhere; None: all is

    @property
    def _order(self) -> tuple[int, ...]:
        return (*range(self.axes), 2, *range(self.axes, 2), 3, 4)

    def fold(self, x: Tensor) -> Tensor:
        """[N, W, H, Q, X] -> [B, H, rows that share the keys * Q, X]"""
        return x.permute(self._order).reshape(len(self.k), x.shape[2], -1, x.shape[-1])

    def unfold(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """[B, H, rows that share the keys * Q, X] -> [N, W, H, Q, X]; shape: N, W, H, Q"""
        order = self._order
        full = (*shape, x.shape[-1])
        return x.reshape([full[i] for i in order]).permute([order.index(i) for i in range(5)])

    def row_mask(self, members: int) -> Tensor | None:
        """[B, 1, 1, S]"""
        if self.mask is None:
            return None
        lanes = self.mask[:, 0]
        return lanes if self.axes == 1 else lanes.repeat_interleave(members, 0)


class _Step:
    """Where the tokens of a step are written and what they see, in tensors that keep their place from one
    step of a shape to the next, so that a recorded step reads the present values."""

    def __init__(
        self, members: int, prefix_len: int, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        """shape: lanes, prompt slots, completion slots that are read."""
        self.prefix_len, self.members, self.shape = prefix_len, members, shape
        self.rows = torch.arange(shape[0] * members, device=device)
        self.row_at = torch.zeros_like(self.rows)
        self.runs = 0
        self.recorded: Callable[[Tensor, Tensor], Tensor] | None = None  # of ids and position_ids
        self._masks: dict[int | None, tuple[Tensor | None, Tensor, Tensor]] = {}

    def begin(self, prompt_len: Tensor, at: Tensor) -> None:
        """prompt_len [N] without the prefix; at [N] completion tokens so far."""
        self.prompt_len, self.at = prompt_len, at
        self.row_at.copy_(at.repeat_interleave(self.members))
        for window, kept in self._masks.items():
            for old, new in zip(kept, self._visible(window), strict=True):
                if old is not None and new is not None:
                    old.copy_(new)

    def masks(self, window: int | None) -> tuple[Tensor | None, Tensor, Tensor]:
        """Of prefix, prompt and completion; additive [N, 1, 1, 1, S]."""
        if window not in self._masks:
            prefix, prompt, own = (
                None if x is None else x.to(self.rows.device) for x in self._visible(window)
            )
            assert prompt is not None and own is not None
            self._masks[window] = (prefix, prompt, own)
        return self._masks[window]

    def _visible(self, window: int | None) -> tuple[Tensor | None, Tensor, Tensor]:
        _, width, length = self.shape
        slots, steps = torch.arange(width), torch.arange(length)
        before = self.prefix_len + self.prompt_len[:, None]
        prompt, own = slots < self.prompt_len[:, None], steps <= self.at[:, None]
        if window is None:
            return None, _additive(prompt), _additive(own)
        oldest = before + self.at[:, None] - window  # the last position out of sight
        prefix = torch.arange(self.prefix_len) > oldest
        return (
            _additive(prefix),
            _additive(prompt & (self.prefix_len + slots > oldest)),
            _additive(own & (before + steps > oldest)),
        )


def _additive(seen: Tensor) -> Tensor:
    """[N, S] -> [N, 1, 1, 1, S]: 0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))[:, None, None, None]


class LaneCaches:
    """Static buffers and the decode attention that reads shared keys once for all rows that share them."""

    def __init__(
        self,
        lanes: int,
        members: int,
        prefix: KeyValues,
        prompt_slots: int,
        completion_slots: int,
        bucket: int = 1,
    ) -> None:
        """prefix: keys and values [H, tokens, D] that all prompts begin with; prompt_slots: for the rest;
        bucket: slots are read in multiples of it, so that steps of one `shape` run the same kernels."""
        self.lanes, self.members, self.bucket = lanes, members, bucket
        self.prompt_slots, self.completion_slots = prompt_slots, completion_slots
        self.prefix: KeyValues = {i: (k[None], v[None]) for i, (k, v) in prefix.items()}
        self.prefix_len = next(iter(prefix.values()))[0].shape[1]
        self.prompt: KeyValues = {}  # [N, H, S, D]
        self.own: KeyValues = {}  # [R, H, S, D]
        self.prompt_len = torch.zeros(lanes, dtype=torch.long)  # without the prefix
        self.at = torch.zeros(lanes, dtype=torch.long)  # completion tokens in the cache of each lane
        # what a step reads, by its shape; written in place, so that a recorded step finds it again
        self._steps: dict[tuple[int, ...], _Step] = {}

    def store_prompt(self, lane: int, tail: KeyValues) -> None:
        """Fill a lane with the prompt without the prefix, and start its completions anew."""
        for layer, (kt, vt) in tail.items():
            if layer not in self.prompt:
                heads, _, d = kt.shape
                for kind, rows, slots in (
                    (self.prompt, self.lanes, self.prompt_slots),
                    (self.own, self.lanes * self.members, self.completion_slots),
                ):
                    kind[layer] = (kt.new_zeros(rows, heads, slots, d), kt.new_zeros(rows, heads, slots, d))
            for buffer, new in zip(self.prompt[layer], (kt, vt), strict=True):
                buffer[lane, :, : new.shape[1]] = new
            self.prompt_len[lane] = kt.shape[1]
        self.at[lane] = 0

    def chat(self, lane: int, member: int, tokens: int) -> KeyValues:
        """Keys and values of a member's prompt without the prefix and of the first `tokens` of its
        completion."""
        row, prompt = lane * self.members + member, int(self.prompt_len[lane])
        return {
            layer: (
                torch.cat([self.prompt[layer][0][lane, :, :prompt], k[row, :, :tokens]], dim=1),
                torch.cat([self.prompt[layer][1][lane, :, :prompt], v[row, :, :tokens]], dim=1),
            )
            for layer, (k, v) in self.own.items()
        }

    def keep(self, lanes: list[int]) -> None:
        """Drop all other lanes."""
        index = torch.tensor(lanes)
        rows = (index[:, None] * self.members + torch.arange(self.members)).flatten()
        self.prompt = {i: (_moved(k, index), _moved(v, index)) for i, (k, v) in self.prompt.items()}
        self.own = {i: (_moved(k, rows), _moved(v, rows)) for i, (k, v) in self.own.items()}
        self.prompt_len, self.at = self.prompt_len[index], self.at[index]
        self.lanes = len(lanes)
        self._steps = {}

    def begin_step(self) -> Tensor:
        """Before the forward of one token a row; returns position_ids [R, 1]."""
        width = min(self._bucketed(int(self.prompt_len.max())), self.prompt_slots)
        length = min(self._bucketed(int(self.at.max()) + 1), self.completion_slots)
        shape = (self.lanes, width, length)
        device = next(iter(self.own.values()))[0].device
        if shape not in self._steps:
            if self.bucket == 1:
                self._steps.clear()  # the next step has another shape
            self._steps[shape] = _Step(self.members, self.prefix_len, shape, device)
        self.step = self._steps[shape]
        self.step.begin(self.prompt_len, self.at)
        return (self.prefix_len + self.prompt_len + self.at).repeat_interleave(self.members)[:, None]

    def end_step(self) -> None:
        self.at += 1

    def _bucketed(self, slots: int) -> int:
        return -(-slots // self.bucket) * self.bucket

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q [R, H * Q, 1, D], k and v [R, H, 1, D] -> [R, H * Q, 1, D]."""
        ko, vo = self.own[layer]
        _, width, length = self.step.shape
        ko[self.step.rows, :, self.step.row_at] = k[:, :, 0]
        vo[self.step.rows, :, self.step.row_at] = v[:, :, 0]
        kp, vp = (x[:, :, :width] for x in self.prompt[layer])
        masks = self.step.masks(window)
        parts = [
            _Part(1, kp, vp, masks[1]),
            _Part(2, ko[:, :, :length], vo[:, :, :length], masks[2]),
        ]
        if self.prefix_len:
            parts.append(_Part(0, *self.prefix[layer], masks[0]))
        grid = q.view(self.lanes, self.members, k.shape[1], -1, q.shape[-1])
        # a window can hide a whole part, whose log-sum-exp would then be -inf: the joint softmax handles it
        fast = window is None and q.device.type == "cpu"
        out = (_merged if fast else _joint)(grid, parts, scale)
        return out.to(q.dtype).reshape(q.shape)


def _moved(x: Tensor, index: Tensor) -> Tensor:
    """x[index] in the place of the first rows: a second buffer would be pages for the system to clear."""
    x[: len(index)] = x[index]
    return x[: len(index)]


def _merged(q: Tensor, parts: Sequence[_Part], scale: float) -> Tensor:
    """q [N, W, H, Q, D]: flash attention over each part, merged by log-sum-exp; float32."""
    outs, sums = [], []
    for part in parts:
        rows = part.fold(q)
        mask = part.row_mask(q.shape[1])
        if mask is not None:
            mask = mask.expand(-1, rows.shape[1], rows.shape[2], -1)
        out, lse = flash_forward(rows, part.k, part.v, 0.0, False, attn_mask=mask, scale=scale)
        outs.append(part.unfold(out, q.shape[:4]))
        sums.append(part.unfold(lse[..., None], q.shape[:4]))
    shares = torch.cat(sums, dim=-1).softmax(-1)  # of the softmax mass
    merged = outs[0].float() * shares[..., :1]
    for i, out in enumerate(outs[1:], 1):
        merged.addcmul_(out.float(), shares[..., i : i + 1])
    return merged


def _joint(q: Tensor, parts: Sequence[_Part], scale: float) -> Tensor:
    """q [N, W, H, Q, D]: one softmax over the scores of all parts. Any device, any window."""
    scores = []
    for part in parts:
        raw = part.unfold(torch.matmul(part.fold(q), part.k.transpose(-1, -2)), q.shape[:4]).float() * scale
        scores.append(raw if part.mask is None else raw + part.mask)
    weights = torch.cat(scores, dim=-1).softmax(-1).to(q.dtype)
    out = torch.zeros_like(q)
    for part, w in zip(parts, weights.split([s.shape[-1] for s in scores], -1), strict=True):
        out += part.unfold(torch.matmul(part.fold(w), part.v), q.shape[:4])
    return out
