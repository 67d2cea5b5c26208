"""Digests of what a run and its outputs were made from, so that nothing is continued or used again under
other conditions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fivestones import environ
from fivestones.data.store import sha256
from fivestones.errors import DataError
from fivestones.recipe import Recipe
from fivestones.serve.engines import model_digest as served_digest
from fivestones.types import Generation, Task

MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")  # weights, configuration, tokenizer
CODE = ("chat", "environments", "score")  # of this package: gates, rubrics and judges
CODE_FILES = (".py", ".yaml", ".json")
# where a judge is asked, and at what cost, does not change what it says; its members follow it
NO_OPINION = {"endpoints", "limits", "budget", "cache", "members", "serve"}


def input_digests(recipe: Recipe, model: Path) -> dict[str, str]:
    """What a run is made from, by its name in the recipe -> SHA-256. model: folder of `recipe.model`.

    Data that the run synthesizes is not among it: a certificate watches over that. Raises DataError for a
    file that cannot be read.
    """
    files: dict[str, Path | None] = {f"evaluate.extra.{k}": path for k, path in recipe.evaluate.extra.items()}
    if recipe.files:
        files |= {"files.train": recipe.files.train, "files.test": recipe.files.test}
    found = {name: _file_digest(name, path) for name, path in sorted(files.items()) if path}
    return {**found, "model": model_digest(model), "judge": judge_digest(recipe)}


def model_digest(folder: Path) -> str:
    """Of weights, configuration and tokenizer: a model with another digest may write other outputs."""
    files = {path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    return _digest([path.name, sha256(path)] for path in sorted(files))


def judge_digest(recipe: Recipe) -> str:
    """Of all that decides a score: the rubric, the judge with its options and people's labels, and the code
    behind them.

    Of a user's own `module:attribute` the code is the module's file, not what that imports.
    """
    package = Path(__file__).parents[1]
    inside = [p for part in CODE for p in (package / part).rglob("*") if p.suffix in CODE_FILES]
    code = [[str(path.relative_to(package)), sha256(path)] for path in sorted(inside)]
    judges = recipe.judge.judges
    for part in judges:
        if part.labels and part.labels.is_file():
            code.append(["labels", sha256(part.labels)])
        if part.serve:
            code.append(["serve", served_digest(part.serve)])
        if part.kind == "llm" and part.rubric.endswith((".yaml", ".yml")):
            code.append(["rubric", _file_digest("judge.rubric", Path(part.rubric))])
    for kind in (recipe.environment.kind, *(part.kind for part in judges)):
        module, colon, _ = kind.partition(":")
        if colon:
            environ.look_in(recipe.modules)
        if colon and (path := _source(module)):
            code.append([kind, sha256(path)])
    said = [part.model_dump(mode="json", exclude=NO_OPINION) for part in judges]
    return _digest([recipe.environment.model_dump(mode="json"), said, *code])


def record_key(
    task: Task, prompt_ids: tuple[int, ...], generation: Generation, *, model: str, scorer: str
) -> str:
    """Of all that a greedy output for the task, its score and its place in the statistics depend on.

    prompt_ids [P]; model, scorer: digests of the contestant's folder and of what scores.
    """
    return _digest(
        [model, scorer, generation.digest, prompt_ids, task.reference, task.cluster, dict(task.tags)]
    )[:16]


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names whose digests differ, of those on both sides."""
    return [name for name, digest in before.items() if now.get(name, digest) != digest]


def _digest(values: Iterable[Any]) -> str:
    text = json.dumps(list(values), sort_keys=True, default=str)  # str: dates and the like from Parquet
    return hashlib.sha256(text.encode()).hexdigest()


def _file_digest(name: str, path: Path) -> str:
    try:
        return sha256(path)
    except FileNotFoundError as error:
        raise DataError(f"{name}: {path}: no such file") from error
    except OSError as error:
        raise DataError(f"{name}: {path} cannot be read: {error.strerror}") from error


def _source(module: str) -> Path | None:
    """The file of a module; None when there is none: it is told when the module is imported."""
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # a package of the user's is imported on the way to a module in it
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None
