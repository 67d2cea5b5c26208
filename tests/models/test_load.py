"""Model folders and GGUF files: what loads, and what is said when something is missing or damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny
from fivestones.errors import ModelError, UsageError
from fivestones.models.attention import install
from fivestones.models.load import cast, compute_dtype, end_tokens, load, model_folder
from fivestones.recipe import ModelPart


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.folder(tmp_path / "model")


def shard(folder: Path) -> None:
    """The weights in two files with an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({n: weights[n] for n in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: file for file, part in parts.items() for n in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def same_logits(a: Any, b: Any) -> bool:
    ids = torch.arange(20)[None]
    with torch.no_grad():
        return torch.equal(a(ids).logits, b(ids).logits)


def test_a_folder_loads_in_float32_and_eval_mode(folder: Path) -> None:
    assert model_folder(ModelPart(source=str(folder))) == folder
    got = load(folder)
    assert {p.dtype for p in got.model.parameters()} == {torch.float32}
    assert not got.model.training
    assert same_logits(got.model, tiny.model())
    assert end_tokens(got.tokenizer, got.model) == (258,)


def test_shards_load_and_a_missing_one_is_named(folder: Path) -> None:
    shard(folder)
    assert same_logits(load(folder).model, tiny.model())
    (folder / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weight shard \(b\.safetensors\)"):
        load(folder)
    with pytest.raises(ModelError, match=r"b\.safetensors"):
        model_folder(ModelPart(source=str(folder)))


def test_a_damaged_index_is_named(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": ')
    with pytest.raises(ModelError, match=r"index\.json"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        model_folder(ModelPart(source=str(folder)))


def test_corrupt_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (b"", b"\x00" * 64, whole[: len(whole) // 2]):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(ModelError, match="could not be read"):
            load(folder)


def test_a_tensor_that_is_missing_or_misshapen_is_an_error(folder: Path) -> None:
    """transformers alone would start it at random and only warn."""
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({n: w for n, w in weights.items() if n != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors.*layers\.1\.mlp\.up_proj"):
        load(folder)
    save_file(
        {**weights, name: weights[name][:3].contiguous()}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match="could not be read"):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"version": "1.0", "model": {"type": "nonsense"}}'])
def test_a_corrupt_tokenizer(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match="tokenizer could not be read"):
        load(folder)


def test_no_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load(folder)


def test_sources_that_do_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"no GGUF file at .*nope\.gguf"):
        model_folder(ModelPart(source=str(tmp_path / "nope.gguf")))
    with pytest.raises(ModelError, match=r"`some/name` is neither.*model\.online=true"):
        model_folder(ModelPart(source="some/name"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        model_folder(ModelPart(source="some/name", online=True))


def test_dtypes() -> None:
    cpu = torch.device("cpu")
    assert compute_dtype(ModelPart(dtype="float32"), cpu) == torch.float32
    assert compute_dtype(ModelPart(dtype="bfloat16"), cpu) == torch.bfloat16
    assert compute_dtype(ModelPart(dtype="auto"), torch.device("cuda")) == torch.bfloat16


def test_casting_leaves_the_rotary_frequencies_alone(folder: Path) -> None:
    """As loading in bfloat16 does."""
    from transformers import AutoModelForCausalLM

    made = load(folder).model
    exact = made.model.rotary_emb.inv_freq.clone()
    cast(made, torch.bfloat16)
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}
    assert made.lm_head.weight is made.model.embed_tokens.weight
    assert torch.equal(made.model.rotary_emb.inv_freq, exact)
    assert same_logits(made, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16))


def test_models_with_more_than_the_engine_computes_are_refused() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    capped = Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
    )
    with pytest.raises(ModelError, match=r"gemma2.*softcapping"):
        install(capped)


# GGUF


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """A llama model as llama.cpp's converter writes it: names mapped, q and k rows permuted, float32."""
    import gguf

    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokens = [*(tokenizer.convert_ids_to_tokens(i) for i in range(len(tokenizer))), "ab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in tiny.SPECIAL else 1 for t in tokens])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(257)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in state.items():
        if name == "lm_head.weight":
            continue
        x = tensor.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for part, n in heads.items():
            if part in name:
                x = x.reshape(n, 2, x.shape[0] // n // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
        mapped = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(mapped, np.ascontiguousarray(x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVESTONES_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "tiny.gguf"
    original = tiny.model(vocabulary=tiny.VOCABULARY + 1)
    write_gguf(source, original, tiny.tokenizer())
    folder = model_folder(ModelPart(source=str(source)))
    assert folder.is_relative_to(tmp_path / "cache")
    got = load(folder)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(got.model(ids).logits, original(ids).logits, atol=1e-5)
    assert got.tokenizer("Hi ab<|im_end|>")["input_ids"][-2:] == [259, 258]
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert model_folder(ModelPart(source=str(source))) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # no work folder is left


def test_a_damaged_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVESTONES_CACHE", str(tmp_path / "cache"))
    whole = tmp_path / "whole.gguf"
    write_gguf(whole, tiny.model(vocabulary=tiny.VOCABULARY + 1), tiny.tokenizer())
    for i, data in enumerate((b"", b"not a gguf file at all", whole.read_bytes()[:3000])):
        bad = tmp_path / f"bad{i}.gguf"
        bad.write_bytes(data)
        with pytest.raises(ModelError, match=rf"bad{i}\.gguf.*could not be converted"):
            model_folder(ModelPart(source=str(bad)))
    assert not list((tmp_path / "cache" / "models").iterdir())
    shutil.rmtree(tmp_path / "cache")


@pytest.mark.slow
def test_the_embedded_model_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIVESTONES_CACHE", str(tmp_path))
    got = load(model_folder(ModelPart()))
    assert got.model.config.model_type == "llama"
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    ids = got.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")[
        "input_ids"
    ]
    out = got.model.generate(ids, max_new_tokens=12, do_sample=False)
    assert "Paris" in got.tokenizer.decode(out[0, ids.shape[1] :])
