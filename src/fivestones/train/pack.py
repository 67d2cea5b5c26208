"""Samples -> packed rows: groups side by side up to a token budget, each prompt once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor

from fivestones.models.attention import PackedLayout, common_prefix
from fivestones.types import Sample

WORTH = 0.1  # of a batch's tokens: less is not worth rows of unequal lengths side by side


@dataclass(frozen=True)
class Row:
    """One forward pass. N row tokens, T completion tokens, S of them counted by the loss; in the order of the
    samples. The output head, a fifth of a small model's work, is applied where the loss counts."""

    input_ids: Tensor  # [1, N]
    layout: PackedLayout
    counted: Tensor  # [T] bool
    predicting: Tensor  # [S] row position whose hidden state predicts each counted token
    targets: Tensor  # [S]
    old_logprobs: Tensor  # [S] nats
    advantages: Tensor  # [S]

    @property
    def tokens(self) -> int:
        return self.layout.tokens


def pack(samples: Sequence[Sample], token_budget: int) -> list[Row]:
    """Neighbouring samples with one prompt share it. A group over the budget is split: its prompt is then
    computed once a part. The longest rows come first, so that memory that will not suffice fails at once. A
    sample of which the loss counts nothing is left out."""
    units: list[tuple[int, list[Sample]]] = []
    for prompt, same in groupby((s for s in samples if any(s.loss_mask)), key=lambda s: s.prompt_ids):
        tokens, part = len(prompt), list[Sample]()
        for s in same:
            if part and tokens + len(s.completion_ids) > token_budget:
                units.append((tokens, part))
                tokens, part = len(prompt), []
            part.append(s)
            tokens += len(s.completion_ids)
        units.append((tokens, part))
    units.sort(key=lambda u: -u[0])
    rows: list[tuple[int, list[list[Sample]]]] = []
    for tokens, part in units:  # first fit, longest first
        for i, (used, parts) in enumerate(rows):
            if used + tokens <= token_budget:
                rows[i] = (used + tokens, [*parts, part])
                break
        else:
            rows.append((tokens, [part]))
    return [_row(parts) for _, parts in sorted(rows, key=lambda r: -r[0])]


def from_one_prompt(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with the tokens that all their prompts begin with as one prompt, which a row computes
    once; the rest of each prompt is the uncounted beginning of its completion. Equal for the loss, and only
    done where it saves a share of WORTH: equal prompts are shared as they are."""
    prompts = [s.prompt_ids for s in samples]
    cut = len(common_prefix(prompts))
    before = sum(len(prompt) for prompt, _ in groupby(prompts))
    after = cut + sum(len(prompt) - cut for prompt in prompts)
    tokens = before + sum(len(s.completion_ids) for s in samples)
    return [_moved(s, cut) for s in samples] if before - after > WORTH * tokens else list(samples)


def _moved(s: Sample, cut: int) -> Sample:
    rest = s.prompt_ids[cut:]
    return replace(
        s,
        prompt_ids=s.prompt_ids[:cut],
        completion_ids=(*rest, *s.completion_ids),
        loss_mask=(False,) * len(rest) + s.loss_mask,
        logprobs=(0.0,) * len(rest) + s.logprobs,
        advantages=(0.0,) * len(rest) + s.advantages,
    )


def _row(groups: Sequence[Sequence[Sample]]) -> Row:
    ids: list[int] = []
    predicting: list[int] = []
    for group in groups:
        last_prompt = len(ids) + len(group[0].prompt_ids) - 1
        ids += group[0].prompt_ids
        for s in group:
            # the first completion token is predicted by the last prompt token
            predicting += [last_prompt, *range(len(ids), len(ids) + len(s.completion_ids) - 1)]
            ids += s.completion_ids
    flat = [s for group in groups for s in group]
    counted = torch.tensor([m for s in flat for m in s.loss_mask])
    return Row(
        input_ids=torch.tensor([ids]),
        layout=PackedLayout([(len(g[0].prompt_ids), [len(s.completion_ids) for s in g]) for g in groups]),
        counted=counted,
        predicting=torch.tensor(predicting)[counted],
        targets=torch.tensor([t for s in flat for t in s.completion_ids])[counted],
        old_logprobs=torch.tensor([x for s in flat for x in s.logprobs])[counted],
        advantages=torch.tensor([a for s in flat for a in s.advantages])[counted],
    )
