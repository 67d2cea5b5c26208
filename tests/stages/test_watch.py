"""The second judge in a run: which looks it goes by, when it is asked, and when it comes too seldom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tiny_job
from attempts import rollout
from fivestones.build import Job
from fivestones.build_data import Data
from fivestones.preflight import check_prompts
from fivestones.recipe import Recipe
from fivestones.runlog import RunDir, read_jsonl
from fivestones.score.alarm import SECOND, TRAINING
from fivestones.stages import Stages
from fivestones.stages.grpo import _watch, run_grpo
from fivestones.types import Group, Score


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_job.model_folder(tmp_path_factory.mktemp("model"), context=400)


def stages(folder: Path, model: Path, **train: Any) -> Stages:
    rows = [{"id": f"t{i}", "text": f"Say {i}."} for i in range(4)]
    schema = {"type": "object", "properties": {"c": {"type": "string"}}, "required": ["c"]}
    structured = {
        "instructions": "JSON.",
        "input": "{text}",
        "output_schema": schema,
        "criteria": [{"field": "c", "kind": "facts"}],
    }
    made = {
        "name": "watched",
        "files": {"train": tiny_job.write_jsonl(folder / "rows.jsonl", rows)},
        "model": {"source": str(model), "dtype": "float32"},
        "environment": {"kind": "structured", "structured": structured},
        "watch": {"judge": {"kind": "own_parts:Half"}, "every": 1},
        "generation": {"max_tokens": 8},
        "warmup": {"kind": "none"},
        "rollout": {"group_size": 2},
        "train": {"steps": 6, "tasks_per_step": 2, "refill": 0, **train},
        "evaluate": {"contestants": ["trained"]},
    }
    job = Job(Recipe.model_validate(made), Data({"train": rows, "test": rows}))
    return Stages(job, RunDir(folder / "run"), lambda done, total, text: None)


def test_looks_at_the_scores_of_an_earlier_judge_do_not_count(tmp_path: Path, model: Path) -> None:
    stage = stages(tmp_path, model)
    task = stage.job.tasks("train")[0]
    group = Group(task=task, rollouts=(rollout(task, '{"c": "x"}'),), scores=(Score(reward=1.5),))
    logged = [{"step": n, TRAINING: n / 10, SECOND: 0.5} for n in range(1, 6)]
    for from_step, seen in ((1, 6), (4, 3)):
        stage.run.path.mkdir(exist_ok=True)
        judges = [{"digest": "a", "from_step": 1}, {"digest": "b", "from_step": from_step}]
        (stage.run.path / "manifest.json").write_text(json.dumps({"judges": judges}))
        watch = _watch(stage, logged)
        assert watch is not None
        assert ("second/p_gap" in watch.look(6, [group])) == (seen >= 6)


def test_looks_are_timed_apart(tmp_path: Path, model: Path) -> None:
    stage = stages(tmp_path, model, steps=1)
    run_grpo(stage, stage.base)
    (row,), (spent,) = read_jsonl(stage.run.metrics_path), read_jsonl(stage.run.timings_path)
    assert row["second/rollouts"] == 0.0 and spent["watch"] >= 0  # nothing passes the gates


def test_a_judge_that_comes_too_seldom_is_told_once(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = stages(tmp_path, model, steps=5)
    check_prompts(stage)
    assert caplog.text.count("5 looks in 5 steps, too few to tell anything") == 1
    caplog.clear()
    RunDir.create(stage.run.path, "name: watched\n", {})
    check_prompts(stage)
    (tmp_path / "six").mkdir()
    check_prompts(stages(tmp_path / "six", model, steps=6))
    assert "too few" not in caplog.text
