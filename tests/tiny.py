"""Tiny random models and a byte-level tokenizer with a ChatML template: what the engine's tests run on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from fivestones.models.load import Loaded
from fivestones.types import Sample

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")
WINDOW = 6  # of the gemma3 model's sliding layers, in tokens
VOCABULARY = 256 + len(SPECIAL)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(template: str = CHATML) -> Any:
    """One token a byte, and the special tokens of ChatML (ids 256 to 258)."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, clean_up_tokenization_spaces=False)
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    made.add_special_tokens({"eos_token": "<|im_end|>"})
    made.chat_template = template
    return made


def model(family: str = "llama", *, seed: int = 0, vocabulary: int = VOCABULARY, spread: float = 0.2) -> Any:
    """Two layers, hidden size 32, 4 query and 2 key heads, tied head, float32, eval mode; weights far from
    flat."""
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": spread,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": min(258, vocabulary - 1),
        "pad_token_id": None,
    }
    torch.manual_seed(seed)
    if family == "llama":
        made: Any = LlamaForCausalLM(LlamaConfig(**sizes))
    elif family == "qwen2":
        made = Qwen2ForCausalLM(Qwen2Config(**sizes))
    elif family == "qwen3":
        made = Qwen3ForCausalLM(Qwen3Config(**sizes, head_dim=8))
    else:
        layers = ["sliding_attention", "full_attention"]
        made = Gemma3ForCausalLM(
            Gemma3TextConfig(
                **sizes, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW, layer_types=layers
            )
        )
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith("bias"):  # qwen2 starts them at zero, which would hide an error
                p.normal_(std=0.1)
    return made.eval()


def folder(path: Path, family: str = "llama", *, seed: int = 0, spread: float = 0.2) -> Path:
    """A model folder in Hugging Face layout."""
    model(family, seed=seed, spread=spread).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def loaded(family: str = "llama", *, seed: int = 0, vocabulary: int = VOCABULARY) -> Loaded:
    return Loaded(model(family, seed=seed, vocabulary=vocabulary), tokenizer(), Path())


def sample(
    prompt: Sequence[int],
    completion: Sequence[int],
    *,
    advantage: float = 1.0,
    mask: Sequence[bool] | None = None,
    logprobs: Sequence[float] | None = None,
    task_id: str = "t",
) -> Sample:
    kept = tuple(mask) if mask is not None else (True,) * len(completion)
    return Sample(
        task_id=task_id,
        prompt_ids=tuple(prompt),
        completion_ids=tuple(completion),
        loss_mask=kept,
        logprobs=tuple(logprobs) if logprobs is not None else (0.0,) * len(completion),
        advantages=tuple(advantage if m else 0.0 for m in kept),
    )
