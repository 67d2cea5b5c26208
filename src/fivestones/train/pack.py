"""Samples -> packed rows: groups side by side up to a token budget, each prompt once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from fivestones.models.attention import PackedLayout
from fivestones.types import Sample


@dataclass(frozen=True)
class Row:
    """One forward pass. N row tokens, T completion tokens, in the order of the samples."""

    input_ids: Tensor  # [1, N]
    layout: PackedLayout
    predicting: Tensor  # [T] row position whose hidden state predicts each completion token
    targets: Tensor  # [T]
    loss_mask: Tensor  # [T] bool
    old_logprobs: Tensor  # [T] nats
    advantages: Tensor  # [T]

    @property
    def tokens(self) -> int:
        return self.layout.tokens


def pack(samples: Sequence[Sample], token_budget: int) -> list[Row]:
    """Neighbouring samples with one prompt share it. A group over the budget is split: its prompt is then
    computed once a part. The longest rows come first, so that memory that will not suffice fails at once."""
    units: list[tuple[int, list[Sample]]] = []
    for prompt, same in groupby(samples, key=lambda s: s.prompt_ids):
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
    return Row(
        input_ids=torch.tensor([ids]),
        layout=PackedLayout([(len(g[0].prompt_ids), [len(s.completion_ids) for s in g]) for g in groups]),
        predicting=torch.tensor(predicting),
        targets=torch.tensor([t for s in flat for t in s.completion_ids]),
        loss_mask=torch.tensor([m for s in flat for m in s.loss_mask]),
        old_logprobs=torch.tensor([x for s in flat for x in s.logprobs]),
        advantages=torch.tensor([a for s in flat for a in s.advantages]),
    )
