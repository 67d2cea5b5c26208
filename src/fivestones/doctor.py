"""`fivestones doctor`: is this machine fit for this recipe, and what will it take?

`examine` puts the checks in order. Nothing here writes, but that a model comes into the cache when it is
looked at for the first time: a GGUF is converted, and one on the hub fetched, which needs `model.online`.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from fivestones import environ
from fivestones.errors import FivestonesError, UsageError
from fivestones.estimate import (
    HELD,
    INSTRUCTIONS,
    Cost,
    Measured,
    ModelSize,
    Rates,
    Rows,
    cache_entry,
    cost,
    memory_after,
    synth_rows,
)
from fivestones.machine import (
    TRAIN,
    Check,
    check_disk,
    check_hardware,
    check_load,
    check_memory,
    check_peak,
    check_python,
    check_threads,
    check_versions,
    installed,
    pinned,
)
from fivestones.protocols import Progress
from fivestones.recipe import Recipe
from fivestones.recipe_load import digest, load_recipe

CHARACTERS_A_TOKEN = 3.6
SAMPLED = 200  # rows of a data file that are looked at


def examine(
    target: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    profile: str | None = None,
    probe: bool = True,
    progress: Progress | None = None,
) -> list[Check]:
    """All checks for a recipe (name or file) or a run directory. Raises UsageError when it is neither.

    probe: runs the longest sample through rollout and update.
    """
    tell = progress or (lambda done, total, text: None)
    folder = Path(target)
    run = folder if folder.is_dir() else None
    recipe = load_recipe(_recipe_of(run) if run else target, profile, overrides or {})
    environ.apply(online=recipe.model.online)  # before anything that reads the switches is imported
    tell(0, 4, "doctor: machine")
    checks = [check_hardware(), check_python(), check_versions(installed(), pinned())]
    checks += [_switches(recipe), check_threads(recipe.threads), check_load(os.getloadavg()[0])]
    tell(1, 4, "doctor: model and data")
    model, size = _model(recipe)
    data, rows = _data(recipe)
    checks += [model, data, _run_state(run or Path("runs") / recipe.name, recipe, asked=run is not None)]
    able = not check_versions(installed(), pinned(), only=TRAIN).failed and model.state != "fail"
    if able and data.state != "fail":
        tell(2, 4, "doctor: prompts and speed")
        preflight = import_module("fivestones.preflight")
        prompts, stages = _prompts(preflight, recipe, run)
        checks.append(prompts)
        speed = import_module("fivestones.train.machine").speed(recipe.model, recipe.threads)
        found = (
            f"{speed.flops / 1e12:.2f} TFLOP/s in {speed.dtype} on {speed.device}, {speed.threads} threads"
        )
        checks.append(Check("speed", "ok", found))
        free = preflight.free_memory(recipe)
        costs: list[Check] = []
        if rows and size:
            held = HELD if speed.device == "cpu" else 1.0
            costs = _costs(cost(recipe, size, rows, Rates.assumed(speed.flops), held), free)
        checks += costs
        if probe and any(check.failed for check in costs if check.name.startswith("memory")):
            why = "not tried: it would not fit into the memory"  # and could take the machine with it
            checks.append(Check("longest sample", "warn", why, "mend the memory first"))
        elif probe and stages is not None:
            tell(3, 4, "doctor: the longest sample through rollout and update")
            checks += _trial(preflight, stages, size, rows, free)
    tell(4, 4, "doctor: done")
    return checks


def _recipe_of(run: Path) -> Path:
    path = run / "recipe.yaml"
    if not path.is_file():
        raise UsageError(f"{run}: not a run directory (no recipe.yaml in it)")
    return path


def _switches(recipe: Recipe) -> Check:
    online = recipe.model.online
    if missing := environ.unset(online=online):
        return Check(
            "network", "warn", f"not set: {', '.join(missing)}", "the command line sets them by itself"
        )
    if online:
        return Check(
            "network", "ok", "model.online is true: the hub may be asked for the model; no telemetry"
        )
    return Check("network", "ok", "offline; telemetry of all dependencies off")


def _model(recipe: Recipe) -> tuple[Check, ModelSize | None]:
    source = recipe.model.source
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
        return Check(
            "model", "fail", "torch and transformers are not installed", "install the extra `train`"
        ), None
    try:
        folder: Path = import_module("fivestones.models.load").model_folder(recipe.model)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        size = ModelSize.of(config.get("text_config", config))
    except FivestonesError as error:
        return Check("model", "fail", str(error)), None
    except (OSError, ValueError, KeyError) as error:
        return Check(
            "model", "warn", f"{source}: config.json is not one that is understood ({error!r})"
        ), None
    context = config.get("max_position_embeddings", "unknown")
    return Check("model", "ok", f"{source}: {size.parameters / 1e6:.0f}M parameters, context {context}"), size


def _data(recipe: Recipe) -> tuple[Check, Rows | None]:
    """Reads the first rows of files; what is synthesized needs no look."""
    if made := synth_rows(recipe):
        found = f"synthesized: {made.train:,} + {made.test:,} rows, prompts of about {made.prompt:.0f} tokens"
        if recipe.synth and recipe.synth.teacher:
            found += f", written by {recipe.synth.teacher.model} (time and cost: fivestones synth --preview)"
        return Check("data", "ok", found), made
    if recipe.files is None:
        return Check("data", "ok", "brought by the environment, and counted when a run starts"), None
    from fivestones.data.store import iter_rows

    counts, characters = [], 0.0
    try:
        for path in filter(None, (recipe.files.train, recipe.files.test)):
            rows = iter_rows(path)
            first = list(islice(rows, SAMPLED))
            if not first:
                return Check("data", "fail", f"{path}: no rows in it"), None
            counts.append(len(first) + sum(1 for _ in rows))
            characters = max(characters, sum(map(_prompt_length(recipe), first)) / len(first))
    except FivestonesError as error:
        return Check("data", "fail", str(error)), None
    held = counts[1] if len(counts) == 2 else round(counts[0] * recipe.files.test_share)
    rows_read = Rows(
        train=counts[0] if len(counts) == 2 else counts[0] - held,
        test=held,
        prompt=INSTRUCTIONS + characters / CHARACTERS_A_TOKEN,
    )
    found = f"{rows_read.train:,} + {held:,} rows, prompts of about {rows_read.prompt:.0f} tokens"
    return Check("data", "ok", found), rows_read


def _prompt_length(recipe: Recipe) -> Callable[[Mapping[str, Any]], int]:
    """Characters of the instructions and of the columns that the prompt names (all, where it is not told)."""
    part = recipe.environment.structured
    if part is None:
        return lambda row: sum(len(str(value)) for value in row.values())
    fixed = len(part.instructions) + len(part.input)
    return lambda row: fixed + sum(len(str(row[name])) for name in row if f"{{{name}}}" in part.input)


def _run_state(folder: Path, recipe: Recipe, *, asked: bool) -> Check:
    if not folder.exists() or not any(folder.iterdir()):
        return Check("run directory", "ok", f"{folder} is free")
    if (folder / "summary.json").is_file():
        found, advice = f"{folder} holds a finished run", "name another with --out"
    elif (folder / "recipe.yaml").is_file():
        found, advice = f"{folder} holds an unfinished run", "go on with --resume, or name another with --out"
        if digest(load_recipe(folder / "recipe.yaml")) != digest(recipe):
            found += " of another recipe"
    else:
        found, advice = f"{folder} is not empty and not a run", "name another with --out"
    return Check("run directory", "ok" if asked else "warn", found, advice)


def _costs(expected: Cost, free: int | None) -> list[Check]:
    return [
        Check("time (estimate)", "ok", _times(expected)),
        check_memory(expected.memory, free),
        check_disk(expected.disk, Path.cwd()),
    ]


def _prompts(preflight: Any, recipe: Recipe, run: Path | None) -> tuple[Check, Any]:
    """Do all prompts fit the model's context? And the stages, when they do."""
    try:
        stages = preflight.stages_for(recipe, run)
        found = preflight.check_prompts(stages)
    except FivestonesError as error:
        return Check("prompts", "fail", str(error)), None
    told = f"the longest has {found.longest:,} tokens, with the answer {found.longest + found.room:,}"
    told += f", the context {found.context:,}"
    if found.left_out:
        many = (
            f"{found.left_out} of {found.train + found.left_out} train prompts are too long and are left out"
        )
        return Check(
            "prompts", "warn", f"{told}; {many}", "lower generation.max_tokens, or shorten the rows"
        ), stages
    return Check("prompts", "ok", told), stages


def _trial(
    preflight: Any, stages: Any, size: ModelSize | None, rows: Rows | None, free: int | None
) -> list[Check]:
    """What the longest sample takes, and the whole run at the rates measured on it."""
    advice = "lower train.token_budget, rollout.slots or generation.max_tokens"
    try:
        found = preflight.trial(stages, cache_entry(size) if size else 0)
    except FivestonesError as error:
        return [Check("longest sample", "fail", str(error))]
    except (MemoryError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return [Check("longest sample", "fail", why, advice)]
    told = (
        f"prompt of {found.prompt:,} tokens: prefill {found.prefill_seconds:.1f} s, {found.new_tokens:,} new "
        f"tokens {found.decode_seconds:.1f} s, update of {found.update_tokens:,} tokens "
        f"{found.update_seconds:.1f} s"
    )
    run = found.memory
    if size and rows and found.device == "cpu":
        run = memory_after(found.memory, stages.recipe, size, rows)
    checks = [Check("longest sample", "ok", told), check_peak(found.memory, run, free)]
    if size and rows:
        length = found.prompt_tokens / found.prompts
        rates = Rates.measured(
            size,
            prefill=Measured(found.prompt_tokens, found.prefill_seconds, found.prompts, length),
            decode=Measured(found.new_tokens, found.decode_seconds),
            update=Measured(found.update_tokens, found.update_seconds, found.update_prompts, length),
            sequences=found.sequences,
        )
        took = cost(stages.recipe, size, rows, rates)
        checks.append(Check("time (measured)", "ok", _times(took)))
    return checks


def _times(expected: Cost) -> str:
    parts = ", ".join(f"{stage} {_minutes(s)}" for stage, s in expected.seconds.items())
    return f"about {_minutes(expected.total)}: {parts}"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
