"""Texts as vectors, for finding texts that say the same.

Embedding has two steps, because they cost differently: `encode` looks at one text alone (slow, parallel, kept
on disk), `vectors` places encoded texts in the space of a corpus (fast, done again whenever the corpus
changes).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from fivestones.errors import DataError

Encoded = npt.NDArray[Any]  # [k] one text's own part; k may differ between texts
Vectors = npt.NDArray[np.float32]  # [n, D] rows of length 1 (or 0: an empty text)

_WORD = re.compile(r"[^\W_]+(?:[./][0-9]+)*")
_FACT_KEYS = ("concept", "polarity", "value", "unit", "side", "site", "time", "experiencer")


class Embedder(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def digest(self) -> str:
        """Hash of all that the vectors depend on beside the texts."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Encoded]: ...

    def vectors(self, encoded: Sequence[Encoded], corpus: Sequence[Encoded]) -> Vectors: ...


def embedder(kind: Literal["hashed", "minilm"]) -> Embedder:
    if kind == "hashed":
        return HashedEmbedder()
    from fivestones.data.minilm import MiniLMEmbedder  # 90 MB of weights: only when asked for

    return MiniLMEmbedder()


def words(text: str) -> list[str]:
    """Lower-case words and numbers; "142/88" and "38.5" stay whole."""
    return _WORD.findall(text.casefold())


def text_of(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The text of a row that is embedded: the columns' text, JSON columns without their syntax."""
    return "\n".join(_flat(row, column) for column in columns)


def _flat(row: Mapping[str, Any], column: str) -> str:
    raw = str(row[column])
    if column not in ("facts", "note"):
        return raw
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise DataError(f"row {row.get('id', '?')}: column `{column}` is not JSON ({error})") from error
    if column == "note" and isinstance(value, dict):
        return "\n".join(str(v) for v in value.values())
    if column == "facts" and isinstance(value, list) and all(isinstance(f, dict) for f in value):
        return "\n".join(" ".join(str(f[k]) for k in _FACT_KEYS if f.get(k) is not None) for f in value)
    raise DataError(f"row {row.get('id', '?')}: column `{column}` has an unknown shape: {raw[:60]!r}")


class HashedEmbedder:
    """Words and word pairs hashed to D signed dimensions, weighted by rarity. Needs no model.

    A feature's weight is (1 + ln count) * (0.1 + ln((1 + N) / (1 + df))) over a corpus of N texts, df of
    which have the feature (Weinberger et al. 2009, feature hashing, arXiv:0902.2206; the 0.1 keeps tiny
    corpora from vanishing).
    """

    name = "hashed-words"
    _BUCKETS = 1 << 20  # document frequencies are counted here, before the fold to D dimensions
    _COUNT_BITS = 16
    _MIX = np.uint64(0x9E3779B97F4A7C15)  # golden-ratio multiplier (Knuth, TAOCP 6.4)

    def __init__(self, dim: int = 512) -> None:
        self.dim = dim

    def digest(self) -> str:
        recipe = f"{self.name} 1: crc32, {self._BUCKETS} buckets, {self.dim} dimensions, {_WORD.pattern}"
        return hashlib.sha256(recipe.encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One int64 a distinct feature: bucket << 16 | count, ascending."""
        known: dict[str, int] = {}
        return [self._encode(words(text), known) for text in texts]

    def _encode(self, tokens: list[str], known: dict[str, int]) -> Encoded:
        for token in set(tokens) - known.keys():
            known[token] = zlib.crc32(token.encode())
        single = np.fromiter((known[t] for t in tokens), np.uint64, len(tokens))
        pairs = single[:-1] * self._MIX + single[1:]  # wraps on purpose; keeps the order of the two words
        mixed = np.concatenate([single, pairs]) * self._MIX
        buckets, counts = np.unique(mixed >> np.uint64(44), return_counts=True)  # the top 20 bits mix best
        packed = buckets.astype(np.int64) << self._COUNT_BITS
        encoded: Encoded = packed | np.minimum(counts, (1 << self._COUNT_BITS) - 1)
        return encoded

    def vectors(self, encoded: Sequence[Encoded], corpus: Sequence[Encoded]) -> Vectors:
        df = np.zeros(self._BUCKETS, np.int64)
        for text in corpus:
            df[text >> self._COUNT_BITS] += 1  # a text holds each bucket once
        rarity = 0.1 + np.log((1 + len(corpus)) / (1 + df))
        place = (np.arange(self._BUCKETS, dtype=np.uint64) + np.uint64(1)) * self._MIX
        sign = np.where(place >> np.uint64(63), 1.0, -1.0)
        slot = ((place >> np.uint64(31)) % np.uint64(self.dim)).astype(np.int64)
        weight = rarity * sign
        out = np.zeros((len(encoded), self.dim), np.float32)
        for row, text in zip(out, encoded, strict=True):
            bucket = text >> self._COUNT_BITS
            count = text & ((1 << self._COUNT_BITS) - 1)
            row[:] = np.bincount(slot[bucket], (1 + np.log(count)) * weight[bucket], self.dim)
        return unit(out)


def unit(matrix: npt.NDArray[np.float32]) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays."""
    length = np.sqrt(np.square(matrix, dtype=np.float64).sum(axis=1, keepdims=True))
    scaled: Vectors = (matrix / np.maximum(length, 1e-12)).astype(np.float32)
    return scaled
