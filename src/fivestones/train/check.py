"""The plain computation of log-probs, completion by completion: what sharing the prompt must equal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fivestones.models.attention import PackedLayout
from fivestones.train.logprobs import chunked_logprobs
from fivestones.train.pack import Row


def dense_logprobs(model: Any, row: Row, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies [S], one ordinary causal sequence (prompt + completion) at a time."""
    device = row.input_ids.device if model.device is None else model.device
    head = model.get_output_embeddings().weight
    logprobs, entropies, done = [], [], 0
    for segment in row.layout.segments:
        prompt = row.input_ids[0, segment.start : segment.start + segment.prompt]
        at = segment.start + segment.prompt
        for length in segment.lengths:
            ids = torch.cat([prompt, row.input_ids[0, at : at + length]]).to(device)
            layout = PackedLayout([(len(ids), ())], plain=True)
            out = model.get_decoder()(
                input_ids=ids[None],
                position_ids=layout.position_ids().to(device),
                layout=layout,
                use_cache=False,
            )
            counted = row.counted[done : done + length].to(device)
            hidden = out.last_hidden_state[0, segment.prompt - 1 : -1][counted]
            lp, entropy = chunked_logprobs(hidden, head, ids[segment.prompt :][counted], temperature)
            logprobs.append(lp)
            entropies.append(entropy)
            at, done = at + length, done + length
    return torch.cat(logprobs), torch.cat(entropies)


def disagreement(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference, nats a token."""
    return float((a - b).abs().mean())
