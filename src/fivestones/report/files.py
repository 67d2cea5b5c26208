"""Reads what a run directory holds so far. Nothing is required: what is absent or unreadable is listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fivestones.errors import DataError
from fivestones.evaluate.records import EvalRecord, read_cases, read_records
from fivestones.runlog import read_jsonl

Json = dict[str, Any]
T = TypeVar("T")
Line = TypeVar("Line", bound=Mapping[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFiles:
    path: Path
    recipe_text: str
    recipe: Json
    manifest: Json
    metrics: list[Json]  # one a step and phase, in order; the last line of a step counts
    timings: list[Json]  # all lines: what was done twice took its time twice
    rollouts: list[tuple[int, list[Json]]]  # (step, lines) at the start, in the middle and at the end
    records: list[EvalRecord]
    cases: Mapping[str, Mapping[str, str]]  # dataset -> task id -> source text
    summary: Json
    certificate: Json
    judge: list[Json]  # what judges behind endpoints were asked: all lines, each costs
    audit: Json  # of the judge; {} when none was made
    absent: list[str]  # what is not there, in words
    problems: list[str]  # what is there and cannot be read


def read_run(run_dir: Path) -> RunFiles:
    """DataError when there is no such directory."""
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: no such run directory")
    absent: list[str] = []
    problems: list[str] = []

    def read(name: str, what: str, reader: Callable[[Path], T], nothing: T) -> T:
        path = run_dir / name
        if not path.exists():
            absent.append(f"{name}: {what}")
            return nothing
        try:
            return reader(path)
        except (DataError, OSError, ValueError, yaml.YAMLError) as error:
            problems.append(f"{name}: {error}")
            return nothing

    recipe_text = read("recipe.yaml", "what the run was asked to do", _text, "")
    return RunFiles(
        path=run_dir,
        recipe_text=recipe_text,
        recipe=read("recipe.yaml", "", _yaml_object, {}) if recipe_text else {},
        manifest=read("manifest.json", "versions, machine, hashes", _json_object, {}),
        metrics=last_of_each(read("metrics.jsonl", "training curves", read_jsonl, [])),
        timings=read("timings.jsonl", "time of each stage", read_jsonl, []),
        rollouts=read("rollouts", "samples of training", _three_steps, []),
        records=read("eval", "evaluated outputs", _all_records, []),
        cases=read("eval/cases", "the inputs of the evaluated outputs", _all_cases, {}),
        summary=read(
            "summary.json", "the evaluation is not finished, so there is no verdict", _json_object, {}
        ),
        certificate=read("data/certificate.json", "data certificate", _json_object, {}),
        judge=read("judge.jsonl", "", read_jsonl, []) if (run_dir / "judge.jsonl").exists() else [],
        audit=read("audit.json", "", _json_object, {}) if (run_dir / "audit.json").exists() else {},
        absent=absent,
        problems=problems,
    )


def last_of_each(lines: Sequence[Line]) -> list[Line]:
    """Of lines of one phase and step the last: a resumed run may have written a step twice."""
    kept: dict[tuple[str, Any], Line] = {}
    for line in lines:
        key = (str(line.get("phase", "train")), line.get("step"))
        kept.pop(key, None)
        kept[key] = line
    return list(kept.values())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _json_object(path: Path) -> Json:
    value = json.loads(_text(path))
    if not isinstance(value, dict):
        raise DataError(f"got {type(value).__name__}, needs an object")
    return value


def _yaml_object(path: Path) -> Json:
    value = yaml.safe_load(_text(path))
    if not isinstance(value, dict):
        raise DataError(f"got {type(value).__name__}, needs a mapping")
    return value


def _three_steps(folder: Path) -> list[tuple[int, list[Json]]]:
    numbered = []
    for path in folder.glob("step-*.jsonl"):
        digits = path.stem.removeprefix("step-")
        if digits.isdigit():
            numbered.append((int(digits), path))
    numbered.sort()
    chosen = sorted({0, len(numbered) // 2, len(numbered) - 1}) if numbered else []
    return [(numbered[i][0], read_jsonl(numbered[i][1])) for i in chosen]


def _all_records(folder: Path) -> list[EvalRecord]:
    return [record for path in sorted(folder.glob("*.jsonl")) for record in read_records(path)]


def _all_cases(folder: Path) -> dict[str, dict[str, str]]:
    return {path.stem: read_cases(path) for path in sorted(folder.glob("*.jsonl"))}
