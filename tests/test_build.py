"""Recipe -> objects, without a model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import own_parts
import tiny_job
from attempts import rollout
from fivestones.build import Job
from fivestones.build_data import Data, sample_data
from fivestones.errors import DataError, UsageError
from fivestones.recipe import Recipe
from fivestones.recipe_load import load_recipe
from fivestones.types import Score

NOTE = {"S": "Cough for 3 days.", "O": "No fever.", "A": "Bronchitis.", "P": "Rest."}


def soap(**overrides: Any) -> Job:
    recipe = load_recipe("soap", "smoke", {key.replace("__", "."): value for key, value in overrides.items()})
    return Job(recipe, sample_data(recipe, 2))


def clinic(folder: Path) -> Path:
    row = {"dialogue": "Doctor: What is it?\nPatient: A cough for three days.", "note": "Cough for 3 days."}
    return tiny_job.write_jsonl(folder / "clinic.jsonl", [row])


def real_scores(job: Job, path: Path, *texts: str) -> list[Score]:
    dataset = job.extra_set("clinic", path)
    (task,) = dataset.tasks
    return dataset.scorer(task, [rollout(task, text) for text in texts])


def test_a_real_note_is_judged_as_one_text_in_points_of_the_same_scale(tmp_path: Path) -> None:
    job = soap()
    assert job.extra_set("clinic", clinic(tmp_path)).criteria == ("note",)
    good, bad = real_scores(job, clinic(tmp_path), json.dumps(NOTE), "a cough")
    assert good.criteria["note"] > 0.2
    assert good.reward == pytest.approx(1.0 + 4.0 * good.criteria["note"])
    assert bad.reward == 0.0 and list(bad.failed) == ["json"]


def test_a_real_note_passes_the_same_gates(tmp_path: Path) -> None:
    dataset = soap().extra_set("clinic", clinic(tmp_path))
    (task,) = dataset.tasks
    (cut,) = dataset.scorer(task, [rollout(task, json.dumps(NOTE), "length")])
    assert cut.reward == 0.0 and cut.failed["json"].startswith("truncated")


def test_a_judge_of_ones_own_judges_real_notes_too(tmp_path: Path) -> None:
    (score,) = real_scores(soap(judge__kind="own_parts:Half"), clinic(tmp_path), json.dumps(NOTE))
    assert score.criteria == {"note": 0.5} and score.reward == 3.0


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({}, "row 2: column `note` is missing"),
        ({"note": None}, "row 2: column `note` is empty"),
        ({"note": " \n"}, "row 2: column `note` is empty"),
        ({"note": {"S": "x"}}, "row 2: column `note` is dict"),
        ({"section_text": "Cough."}, "row 2: column `note` is missing"),
    ],
)
def test_every_real_case_needs_its_note(tmp_path: Path, second: dict[str, Any], message: str) -> None:
    rows = [{"dialogue": "Doctor: What is it?", "note": "Cough."}, {"dialogue": "Doctor: Hello.", **second}]
    path = tiny_job.write_jsonl(tmp_path / "clinic.jsonl", rows)
    with pytest.raises(DataError, match=rf"clinic\.jsonl: {message}"):
        soap().extra_set("clinic", path)


def own(tmp_path: Path, environment: dict[str, Any], **more: Any) -> Job:
    rows = [{"id": "a", "text": "x"}]
    files = {"train": tiny_job.write_jsonl(tmp_path / "rows.jsonl", rows)}
    made = Recipe.model_validate({"name": "own", "files": files, "environment": environment, **more})
    return Job(made, Data({"train": rows, "test": rows}))


@pytest.mark.parametrize(("retries", "outages", "reward"), [(0, 1, None), (1, 1, 1.0), (1, 2, None)])
def test_what_a_judge_left_unscored_is_asked_again(
    tmp_path: Path, retries: int, outages: int, reward: float | None
) -> None:
    kind = {"kind": "own_parts:TwoTurns", "options": {"outages": outages}}
    job = own(tmp_path, kind, judge={"retries": retries, "wait": 0.0})
    (task,) = job.tasks("train")
    assert [s.reward for s in job.scorer(task, [rollout(task, "t"), rollout(task, "t")])] == [reward] * 2
    (task,) = job.test_set().tasks
    assert isinstance(job.environment, own_parts.TwoTurns)


def test_an_environment_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`own_parts:nothing` lacks tasks, reply, scorer"):
        own(tmp_path, {"kind": "own_parts:nothing"}).tasks("train")


def test_a_judge_of_ones_own_is_given_time_before_it_is_asked_again(tmp_path: Path) -> None:
    kind = {"kind": "own_parts:TwoTurns", "options": {"outages": 2}}
    job = own(tmp_path, kind, judge={"retries": 2, "wait": 0.02})
    (task,) = job.tasks("train")
    began = time.monotonic()
    assert job.scorer(task, [rollout(task, "t")])[0].reward == 1.0
    assert time.monotonic() - began >= 0.02 + 5 * 0.02
