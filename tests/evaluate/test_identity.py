from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fivestones.errors import DataError
from fivestones.evaluate.identity import changed, input_digests, judge_digest, model_digest, record_key
from fivestones.recipe import Recipe
from fivestones.types import Generation, Message, Task


def recipe(folder: Path, **changes: Any) -> Recipe:
    (folder / "rows.jsonl").write_text("{}\n")
    (folder / "real.jsonl").write_text("{}\n")
    tree = {
        "name": "job",
        "files": {"train": str(folder / "rows.jsonl")},
        "environment": {
            "kind": "structured",
            "structured": {"instructions": "i", "input": "{a}", "output_schema": {}},
        },
        "evaluate": {"extra": {"real": str(folder / "real.jsonl")}},
    }
    return Recipe.model_validate({**tree, **changes})


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("about")
    return folder


def test_each_input_has_a_digest_that_changes_with_it_alone(tmp_path: Path) -> None:
    job, weights = recipe(tmp_path), model(tmp_path / "model")
    before = input_digests(job, weights)
    assert set(before) == {"files.train", "evaluate.extra.real", "model", "judge"}
    assert input_digests(job, weights) == before
    for path, name in [
        (tmp_path / "rows.jsonl", "files.train"),
        (tmp_path / "real.jsonl", "evaluate.extra.real"),
        (weights / "model.safetensors", "model"),
        (weights / "config.json", "model"),
    ]:
        old = path.read_bytes()
        path.write_bytes(old + b" ")
        assert changed(before, input_digests(job, weights)) == [name]
        path.write_bytes(old)
    (weights / "README.md").write_text("other")
    assert changed(before, input_digests(job, weights)) == []


def test_a_missing_file_is_told_by_its_key(tmp_path: Path) -> None:
    job, weights = recipe(tmp_path), model(tmp_path / "model")
    (tmp_path / "real.jsonl").unlink()
    with pytest.raises(DataError, match=r"evaluate\.extra\.real: .*real\.jsonl: no such file"):
        input_digests(job, weights)


def test_weights_under_other_names_are_other_weights(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    before = model_digest(folder)
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    assert model_digest(folder) != before


def test_the_judge_is_its_rubric_its_options_and_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_judge_of_a_test.py").write_text("A = 1\n")
    own = {"kind": "own_judge_of_a_test:A", "options": {"strict": 1}}
    found = {
        judge_digest(recipe(tmp_path)),
        judge_digest(recipe(tmp_path, judge=own)),
        judge_digest(recipe(tmp_path, judge={**own, "options": {"strict": 2}})),
    }
    (tmp_path / "own_judge_of_a_test.py").write_text("A = 2\n")
    found.add(judge_digest(recipe(tmp_path, judge=own)))
    assert len(found) == 4
    assert judge_digest(recipe(tmp_path, train={"steps": 3})) in found  # training is no part of it
    assert judge_digest(recipe(tmp_path, judge={"kind": "no_such_module:x"})) not in found


def test_a_key_is_the_same_in_another_process_and_for_any_value_of_a_row() -> None:
    task = Task(
        id="a",
        prompt=(Message("user", "x"),),
        reference={"source": {"when": datetime.date(2026, 1, 2), "b": 1, "a": 2}},
        cluster="c",
    )
    key = record_key(task, (1, 2), Generation(), model="m", scorer="s")
    assert key == "51be71efe7f33760"
    turned = replace(task, reference={"source": {"a": 2, "b": 1, "when": datetime.date(2026, 1, 2)}})
    assert record_key(turned, (1, 2), Generation(), model="m", scorer="s") == key
    assert record_key(task, (12,), Generation(), model="m", scorer="s") != key
