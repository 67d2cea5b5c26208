"""The in-process sampler: the policy's own weights, each prompt computed and stored once per group.

Equal prompts form a group and share a lane, or several where groups differ much in size. Lanes are
decoded together; a lane whose members have all finished takes the next. A completion depends on its prompt
and its seed only (one uniform a token from the seed's own stream, inverse distribution function over the
full softmax), not on the batch around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fivestones.errors import DataError
from fivestones.estimate import KEPT
from fivestones.models.allocator import release_memory
from fivestones.models.attention import PackedLayout, common_prefix
from fivestones.rollout.native.caches import KeyValues, LaneCaches, TailLayout
from fivestones.rollout.native.grammar import Grammar
from fivestones.rollout.native.packed import packed_linears
from fivestones.rollout.native.replay import BUCKET, Replay
from fivestones.rollout.native.turns import ContinuedLayout, OpenChats, Past, joined, known
from fivestones.types import Completion, Finish, Generation

PREFILL_TOKENS = 4096  # tokens of one prefill row
IDLE = 0.2  # of the rows decoded at once, at most, so that lanes of unequal groups are equally wide


@dataclass
class _Member:
    """One completion under way."""

    index: int  # place in the result
    uniforms: np.ndarray[Any, Any]  # [max_tokens]
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    state: Any = None  # of the grammar, when there is one
    finish: Finish | None = None
    ended: bool = False  # and told so


@dataclass
class _Group:
    prompt: tuple[int, ...]
    members: list[_Member]


class NativeSampler:
    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        ends: Sequence[int],
        *,
        slots: int = 32,
        context: int = 1 << 30,
        several_turns: bool = False,
    ) -> None:
        """model: prepared by `models.attention.install`; slots: rows decoded at once; several_turns: chats
        are kept for the next call, until `forget`."""
        self.model, self.tokenizer, self.slots, self.context = model, tokenizer, slots, context
        self.ends = frozenset(ends)
        self.version = 0
        self.bucket = BUCKET if model.device.type == "cuda" else 1
        self.replay = Replay.on(model.device, self._forward)
        self._chats = OpenChats(_spare(model.device)) if several_turns else None
        self._grammars: dict[str, Grammar] = {}
        self._grammar: Grammar | None = None  # of the call under way

    def sync(self, weights: Any, version: int) -> None:
        """In-process: the weights are the policy's own."""
        self.version = version
        self.forget()

    def forget(self) -> None:
        """No chat goes on."""
        if self._chats:
            self._chats.clear()

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        generation: Generation,
        seeds: Sequence[int],
        ended: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        groups = self._groups(prompts, generation, seeds)
        if not groups:
            return []
        self._constrain(groups, generation.schema)
        if self._chats:
            self._chats.begin()
        done: dict[int, Completion] = {}

        def end(member: _Member) -> None:
            done[member.index] = self._completion(member, generation)
            if ended:
                ended(member.index, done[member.index])

        was_training = self.model.training
        self.model.eval()
        try:
            with packed_linears(self.model, self.slots):
                self._run(groups, generation, end)
        finally:
            self.model.train(was_training)
            release_memory()
        return [done[i] for i in range(len(prompts))]

    def _groups(
        self, prompts: Sequence[Sequence[int]], generation: Generation, seeds: Sequence[int]
    ) -> list[_Group]:
        found: dict[tuple[int, ...], list[_Member]] = {}
        for i, (prompt, seed) in enumerate(zip(map(tuple, prompts), seeds, strict=True)):
            if len(prompt) + generation.max_tokens > self.context:
                raise DataError(
                    f"a prompt of {len(prompt)} tokens and {generation.max_tokens} new tokens do not fit the "
                    f"model's context of {self.context}"
                )
            uniforms = np.random.Generator(np.random.Philox(seed)).random(generation.max_tokens)
            found.setdefault(prompt, []).append(_Member(i, uniforms))
        width = lane_width([len(members) for members in found.values()], self.slots)
        return [
            _Group(prompt, members[i : i + width])
            for prompt, members in found.items()
            for i in range(0, len(members), width)
        ]

    def _constrain(self, groups: Sequence[_Group], schema: str | None) -> None:
        if schema is not None and schema not in self._grammars:
            vocabulary = self.model.get_output_embeddings().weight.shape[0]
            self._grammars[schema] = Grammar(schema, self.tokenizer, self.ends, vocabulary)
        self._grammar = None if schema is None else self._grammars[schema]
        for member in (m for g in groups for m in g.members):
            member.state = self._grammar.start() if self._grammar else None

    def _run(self, groups: list[_Group], generation: Generation, end: Callable[[_Member], None]) -> None:
        # longest first: the most memory is needed at once, and lanes of one time are alike in length
        groups.sort(key=lambda g: -len(g.prompt))
        width = max(len(g.members) for g in groups)
        lanes = min(len(groups), max(1, self.slots // width))
        shortest = min(len(g.prompt) for g in groups)
        # each has a token of its own; what is known of open chats begins where the prefix ended before
        most = min(shortest - 1, self._chats.start if self._chats else shortest)
        prefix_ids = common_prefix([g.prompt for g in groups])[:most]
        prefix = self._prefix(prefix_ids or groups[0].prompt[:1], len(prefix_ids))
        slots = max(len(g.prompt) for g in groups) - len(prefix_ids)
        caches = LaneCaches(lanes, width, prefix, slots, generation.max_tokens, self.bucket)
        waiting = list(reversed(groups))
        running: list[_Group | None] = [None] * lanes
        while True:
            free = [i for i, g in enumerate(running) if g is None]
            # refill in batches: a prefill row of several prompts costs less than several rows
            if waiting and (len(free) * 4 >= lanes or len(free) == lanes):
                fresh = {lane: waiting.pop() for lane in free[: len(waiting)]}
                running = [fresh.get(i, g) for i, g in enumerate(running)]
                self._prefill(fresh, caches, prefix, len(prefix_ids), generation)
                self._retire(running, caches, end)  # an answer may end with its first token
                continue
            busy = [i for i, g in enumerate(running) if g is not None]
            if not busy and not waiting:
                return
            if not waiting and len(busy) * 4 <= caches.lanes * 3:
                caches.keep(busy)
                running = [running[i] for i in busy]
            self._decode(running, caches, generation)
            self._retire(running, caches, end)

    def _forward(self, ids: Tensor, positions: Tensor, layout: Any) -> Tensor:
        device = self.model.device
        out = self.model.get_decoder()(
            input_ids=ids.to(device), position_ids=positions.to(device), layout=layout, use_cache=False
        )
        hidden: Tensor = out.last_hidden_state
        return hidden

    def _prefix(self, ids: tuple[int, ...], keep: int) -> KeyValues:
        """Keys and values of the first `keep` of `ids`: with 0, empty ones."""
        layout = PackedLayout([(len(ids), ())]).capture()
        self._forward(torch.tensor([ids]), layout.position_ids(), layout)
        assert layout.captured is not None
        return {i: (k[:, :keep], v[:, :keep]) for i, (k, v) in layout.captured.items()}

    def _prefill(
        self,
        fresh: dict[int, _Group],
        caches: LaneCaches,
        prefix: KeyValues,
        shared: int,
        generation: Generation,
    ) -> None:
        """Prompts of the new groups, several to a row; samples their first tokens."""
        lanes_of: dict[tuple[int, ...], list[int]] = {}
        for lane, group in fresh.items():
            lanes_of.setdefault(group.prompt, []).append(lane)
        pasts = {p: self._chats.find(p, shared) if self._chats else {} for p in lanes_of}
        new = {p: p[shared + known(pasts[p]) :] for p in lanes_of}
        rows: list[list[tuple[int, ...]]] = []
        for prompt in lanes_of:
            tokens = sum(len(new[p]) for p in rows[-1]) if rows else 0
            if not rows or tokens + len(new[prompt]) > PREFILL_TOKENS:
                rows.append([])
            rows[-1].append(prompt)
        for prompts in rows:
            tails = [new[p] for p in prompts]
            lengths = tuple(map(len, tails))
            layout: Any
            if any(pasts[p] for p in prompts):
                layout = ContinuedLayout(prefix, shared, [pasts[p] for p in prompts], lengths)
            elif shared:
                layout = TailLayout(prefix, shared, lengths)
            else:
                layout = PackedLayout([(n, ()) for n in lengths]).capture()
            hidden = self._forward(
                torch.tensor([[t for tail in tails for t in tail]]), layout.position_ids(), layout
            )[0]
            ends = np.cumsum([len(tail) for tail in tails])
            logits = self._logits(hidden[torch.from_numpy(ends - 1).to(hidden.device)])
            for prompt, tail, end, row in zip(prompts, tails, ends, logits, strict=True):
                cut = slice(int(end) - len(tail), int(end))
                keys = joined(pasts[prompt], layout.captured, cut)
                for lane in lanes_of[prompt]:
                    caches.store_prompt(lane, keys)
                members = [m for lane in lanes_of[prompt] for m in fresh[lane].members]
                self._sample(row.expand(len(members), -1), members, generation)

    def _decode(self, running: list[_Group | None], caches: LaneCaches, generation: Generation) -> None:
        """One token for every open member."""
        ids = torch.zeros(caches.lanes, caches.members, dtype=torch.long)
        rows, members = [], []
        for lane, group in enumerate(running):
            for j, member in enumerate(group.members if group else ()):
                ids[lane, j] = member.token_ids[-1]
                if member.finish is None:
                    rows.append(lane * caches.members + j)
                    members.append(member)
        positions = caches.begin_step()
        hidden = self.replay(ids.view(-1, 1), positions, caches)[:, 0]
        # a free lane idles at slot 0 until it is refilled
        caches.end_step()
        for lane, group in enumerate(running):
            if group is None:
                caches.at[lane] = 0
        self._sample(self._logits(hidden[torch.tensor(rows, device=hidden.device)]), members, generation)

    def _retire(
        self, running: list[_Group | None], caches: LaneCaches, end: Callable[[_Member], None]
    ) -> None:
        """Tell of members that have just finished; free the lanes of groups without an open one."""
        for lane, group in enumerate(running):
            if group is None:
                continue
            for j, member in enumerate(group.members):
                if member.finish is not None and not member.ended:
                    member.ended = True
                    if self._chats and member.finish == "stop":
                        fed = member.token_ids[:-1]  # the last token has not been computed
                        past = Past(caches.prefix_len, caches.chat(lane, j, len(fed)))
                        self._chats.keep((*group.prompt, *fed), past)
                    end(member)
            if all(m.ended for m in group.members):
                running[lane] = None

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits

    def _sample(self, logits: Tensor, members: list[_Member], generation: Generation) -> None:
        """logits [M, V]: draw a token for each member and record it with its log-prob, which is that of the
        full softmax under a grammar too."""
        # divided in float32, as the trainer does
        scaled = logits if generation.temperature in (0, 1) else logits.float() / generation.temperature
        mass = scaled.softmax(-1, dtype=torch.float32)
        if self._grammar:
            forbidden = self._grammar.forbidden([m.state for m in members]).to(logits.device)
            scaled = scaled.masked_fill(forbidden, float("-inf"))
        if generation.temperature == 0:
            tokens = scaled.argmax(-1, keepdim=True)
        else:
            upto = (scaled.softmax(-1, dtype=torch.float32) if self._grammar else mass).cumsum(-1)
            drawn = [m.uniforms[len(m.token_ids)] for m in members]
            u = torch.tensor(drawn, dtype=torch.float32, device=logits.device)[:, None] * upto[:, -1:]
            # a uniform that float32 rounds to 1 falls to the last token with any mass
            below = torch.nextafter(upto[:, -1:], torch.zeros_like(u))
            tokens = torch.searchsorted(upto, torch.minimum(u, below), right=True)
        logprobs = mass.gather(1, tokens).log()[:, 0]
        tokens = tokens[:, 0]
        for member, token, logprob in zip(members, tokens.tolist(), logprobs.tolist(), strict=True):
            member.token_ids.append(token)
            member.logprobs.append(logprob)
            if member.state and not member.state.consume_token(token):
                raise RuntimeError(f"the grammar refused token {token}: {member.state.get_error()}")
            if token in self.ends or (generation.stop and self._stopped(member, generation.stop)):
                member.finish = "stop"
            elif len(member.token_ids) == generation.max_tokens:
                member.finish = "length"

    def _stopped(self, member: _Member, stop: tuple[str, ...]) -> bool:
        tail = self.tokenizer.decode(member.token_ids[-32:])
        return any(s in tail for s in stop)

    def _completion(self, member: _Member, generation: Generation) -> Completion:
        ids = member.token_ids
        text = self.tokenizer.decode(ids[:-1] if ids[-1] in self.ends else ids)
        for s in generation.stop:
            text = text.split(s)[0]
        assert member.finish is not None
        return Completion(
            text=text, token_ids=tuple(ids), logprobs=tuple(member.logprobs), finish=member.finish
        )


def lane_width(sizes: Sequence[int], slots: int) -> int:
    """Members of a lane, for groups of these sizes: as many as leave no more than `IDLE` of the rows without
    one. Chats of several turns part from each other, so that most groups are then of one."""
    for width in range(min(max(sizes, default=1), slots), 1, -1):
        if sum(-size % width for size in sizes) <= IDLE * sum(size + -size % width for size in sizes):
            return width
    return 1


def _spare(device: torch.device) -> int:
    """Bytes for chats that wait for their next turn."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // 8
    return KEPT
