"""Constrained decoding: only tokens that keep the answer inside a JSON Schema (llguidance)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from torch import Tensor

from fivestones.errors import UsageError


class Grammar:
    """One schema for one tokenizer. JSON without white space between its parts: shorter, and nothing to fill
    the token limit with."""

    def __init__(self, schema: str, tokenizer: Any, ends: Iterable[int], vocabulary: int) -> None:
        """schema: JSON text; vocabulary: entries V of the model's output head, which may be more than the
        tokenizer's. Raises UsageError for a schema that llguidance cannot follow."""
        self.vocabulary = vocabulary
        tokens = from_tokenizer(tokenizer, eos_token=sorted(ends))
        self._start = LLMatcher(
            tokens, LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})
        )
        if self._start.is_error():
            raise UsageError(
                f"the JSON Schema of the output cannot be followed token by token "
                f"({self._start.get_error().splitlines()[0]}); use warmup.constrained=false"
            )

    def start(self) -> LLMatcher:
        """The state before the first token of an answer."""
        return self._start.deep_copy()

    def forbidden(self, states: Sequence[LLMatcher]) -> Tensor:
        """[M, V] true where the next token would break the schema; after its end only end tokens are
        allowed."""
        bits = np.frombuffer(b"".join(state.compute_bitmask() for state in states), np.uint8)
        allowed = np.unpackbits(bits.reshape(len(states), -1), axis=1, bitorder="little")
        out = torch.ones(len(states), self.vocabulary, dtype=torch.bool)
        width = min(self.vocabulary, allowed.shape[1])
        out[:, :width] = torch.from_numpy(allowed[:, :width] == 0)
        return out
