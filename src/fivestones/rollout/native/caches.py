"""Key-value caches of the native sampler: the prompt once per lane, completions per member.

A lane decodes one group: W members that share a prompt. Shapes: N lanes, W members, R = N * W rows, H
key-value heads, Hq query heads, P prompt slots, C completion slots, D head size.
"""

from __future__ import annotations

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
            return completions(*args)[0].to(q.dtype)[None]
        return masked_attention(*args, window)[None]


class LaneCaches:
    """Static buffers and the decode attention that reads each prompt once for all its members."""

    def __init__(self, lanes: int, members: int, prompt_slots: int, completion_slots: int) -> None:
        self.lanes, self.members = lanes, members
        self.prompt_slots, self.completion_slots = prompt_slots, completion_slots
        self.prompt: KeyValues = {}  # [N, H, P, D]
        self.own: KeyValues = {}  # [R, H, C, D]
        self.prompt_len = torch.zeros(lanes, dtype=torch.long)
        self.at = torch.zeros(lanes, dtype=torch.long)  # completion tokens in the cache of each lane
        self._masks: dict[int | None, Tensor] = {}

    def store_prompt(self, lane: int, prefix: KeyValues, tail: KeyValues, cut: slice) -> None:
        """Fill a lane with prefix + tail[cut] and start its completions anew."""
        for layer, (kt, vt) in tail.items():
            if layer not in self.prompt:
                heads, _, d = kt.shape
                for kind, rows, slots in (
                    (self.prompt, self.lanes, self.prompt_slots),
                    (self.own, self.lanes * self.members, self.completion_slots),
                ):
                    kind[layer] = (kt.new_zeros(rows, heads, slots, d), kt.new_zeros(rows, heads, slots, d))
            for buffer, head, piece in zip(
                self.prompt[layer], prefix[layer], (kt[:, cut], vt[:, cut]), strict=True
            ):
                p = head.shape[1]
                buffer[lane, :, :p] = head
                buffer[lane, :, p : p + piece.shape[1]] = piece
        first = next(iter(tail))
        self.prompt_len[lane] = prefix[first][0].shape[1] + cut.stop - cut.start
        self.at[lane] = 0

    def keep(self, lanes: list[int]) -> None:
        """Drop all other lanes."""
        index = torch.tensor(lanes)
        rows = (index[:, None] * self.members + torch.arange(self.members)).flatten()
        self.prompt = {i: (k[index], v[index]) for i, (k, v) in self.prompt.items()}
        self.own = {i: (k[rows], v[rows]) for i, (k, v) in self.own.items()}
        self.prompt_len, self.at = self.prompt_len[index], self.at[index]
        self.lanes = len(lanes)

    def begin_step(self) -> Tensor:
        """Before the forward of one token a row; returns position_ids [R, 1]."""
        self._masks = {}
        self._width = int(self.prompt_len.max())
        self._length = int(self.at.max()) + 1
        self._rows = torch.arange(self.lanes * self.members)
        self._row_at = self.at.repeat_interleave(self.members)
        return (self.prompt_len + self.at).repeat_interleave(self.members)[:, None]

    def end_step(self) -> None:
        self.at += 1

    def _mask(self, window: int | None, like: Tensor) -> Tensor:
        """[N, 1, 1, P + C'] additive: 0 where visible, -inf elsewhere."""
        if window not in self._masks:
            slots = torch.arange(self._width)
            steps = torch.arange(self._length)
            prompt = slots[None] < self.prompt_len[:, None]
            own = steps[None] <= self.at[:, None]
            if window is not None:
                oldest = (self.prompt_len + self.at - window)[:, None]  # the last position out of sight
                prompt &= slots[None] > oldest
                own &= self.prompt_len[:, None] + steps[None] > oldest
            seen = torch.cat([prompt, own], dim=1)[:, None, None]
            self._masks[window] = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf")).to(like.device)
        return self._masks[window]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
        """q [R, Hq, 1, D], k and v [R, H, 1, D] -> [R, Hq, 1, D]."""
        n, w, h, d = self.lanes, self.members, k.shape[1], q.shape[-1]
        rep = q.shape[1] // h
        ko, vo = self.own[layer]
        ko[self._rows, :, self._row_at] = k[:, :, 0]
        vo[self._rows, :, self._row_at] = v[:, :, 0]
        kp, vp = (x[:, :, : self._width] for x in self.prompt[layer])
        ko, vo = ko[:, :, : self._length], vo[:, :, : self._length]
        grid = q.view(n, w, h, rep, d)
        shared = grid.transpose(1, 2).reshape(n, h, w * rep, d)
        own = grid.reshape(n * w, h, rep, d)
        # a window can hide a whole part, whose log-sum-exp would then be -inf: the joint softmax handles it
        fast = window is None and q.device.type == "cpu"
        run = self._two_parts if fast else self._joint
        return run(shared, own, kp, vp, ko, vo, scale, self._mask(window, q)).reshape(n * w, h * rep, 1, d)

    def _two_parts(
        self,
        shared: Tensor,
        own: Tensor,
        kp: Tensor,
        vp: Tensor,
        ko: Tensor,
        vo: Tensor,
        scale: float,
        mask: Tensor,
    ) -> Tensor:
        """Flash attention over prompt and own tokens apart, merged by log-sum-exp -> [N, W, H, rep, D]."""
        n, h, d = self.lanes, kp.shape[1], kp.shape[-1]
        w = self.members
        mask_p = mask[..., : self._width].expand(-1, h, shared.shape[2], -1)
        mask_o = mask[..., self._width :].repeat_interleave(w, 0).expand(-1, h, own.shape[2], -1)
        out_p, lse_p = flash_forward(shared, kp, vp, 0.0, False, attn_mask=mask_p, scale=scale)
        out_o, lse_o = flash_forward(own, ko, vo, 0.0, False, attn_mask=mask_o, scale=scale)
        out_p = out_p.view(n, h, w, -1, d).transpose(1, 2)  # [N, W, H, rep, D]
        lse_p = lse_p.view(n, h, w, -1).transpose(1, 2)
        out_o, lse_o = out_o.view(n, w, h, -1, d), lse_o.view(n, w, h, -1)
        share = torch.sigmoid(lse_p - lse_o)[..., None]  # the prompt's part of the softmax mass
        return torch.lerp(out_o.float(), out_p.float(), share).to(vp.dtype)

    def _joint(
        self,
        shared: Tensor,
        own: Tensor,
        kp: Tensor,
        vp: Tensor,
        ko: Tensor,
        vo: Tensor,
        scale: float,
        mask: Tensor,
    ) -> Tensor:
        """One softmax over prompt and own scores -> [N, W, H, rep, D]. Any device, any window."""
        n, h, d = self.lanes, kp.shape[1], kp.shape[-1]
        w, rep = self.members, own.shape[2]
        to_prompt = torch.matmul(shared, kp.transpose(-1, -2))  # [N, H, W*rep, P]
        to_own = torch.matmul(own, ko.transpose(-1, -2)).view(n, w, h, rep, -1)
        to_own = to_own.transpose(1, 2).reshape(n, h, w * rep, -1)
        scores = torch.cat([to_prompt, to_own], dim=-1).float() * scale + mask
        weights = scores.softmax(-1).to(vp.dtype)
        out = torch.matmul(weights[..., : self._width], vp).view(n, h, w, rep, d).transpose(1, 2)
        own_weights = weights[..., self._width :].view(n, h, w, rep, -1).transpose(1, 2)
        return out + torch.matmul(own_weights.reshape(n * w, h, rep, -1), vo).view(n, w, h, rep, d)
