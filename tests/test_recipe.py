"""The recipe's keys."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from fivestones import recipe
from fivestones.errors import UsageError
from fivestones.recipe import Part, Recipe
from fivestones.recipe_load import dump, load_recipe

SOURCES = Path(recipe.__file__).parent
OWN_READS = ("recipe.py", "recipe_chat.py")
KEYS = sorted(
    f"{name}.{key}"
    for name, part in vars(recipe).items()
    if isinstance(part, type) and issubclass(part, Part)
    for key in part.model_fields
)


@pytest.fixture(scope="module")
def read() -> set[str]:
    """Names of all attributes that some module reads, but those that declare the keys."""
    trees = [ast.parse(p.read_text("utf-8")) for p in SOURCES.rglob("*.py") if p.name not in OWN_READS]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_there_are_keys() -> None:
    assert "TrainPart.lr" in KEYS


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read_somewhere(read: set[str], key: str) -> None:
    assert key.partition(".")[2] in read, "a key that nothing reads promises what it does not do"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("rollout.group_size=1", "rollout.group_size: got 1; allowed: an integer at least 2"),
        ("synth.test=0", "synth.test: got 0; allowed: an integer at least 1"),
        ("synth.train=0", "synth.train: got 0"),
        ("evaluate.contestants=[]", "a list of at least 1 of base | "),
        ("evaluate.contestants=[base, base]", "evaluate.contestants: `base` is given twice"),
        ('generation.stop=[""]', "generation.stop.0: got ''; allowed: text, not empty"),
        ("evaluate.extra.test=a.jsonl", "evaluate.extra: `test` is the name"),
        ("evaluate.extra={a/b: a.jsonl}", "evaluate.extra: got the name 'a/b'"),
        ("environment.kind=sop", "allowed: soap, finqa, openenv, structured, or module"),
        ("environment.kind=my_job", "or module:attribute"),
        ("environment.kind=my:Job", "synth makes data for environment.kind `soap`, not `my:Job`"),
        ("judge.kind=fact", "judge.kind: got `fact`; allowed: facts, llm, people, ensemble, or"),
    ],
)  # fmt: skip
def test_impossible_values_are_told_with_what_is_allowed(override: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_recipe("soap", None, [override])
    assert told in str(raised.value)


def own(**changes: Any) -> dict[str, Any]:
    structured = {"instructions": "i", "input": "{a}", "output_schema": {}}
    tree = {
        "name": "a",
        "files": {"train": "rows.jsonl"},
        "environment": {"kind": "structured", "structured": structured},
    }
    return {**tree, **changes}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_leaves_rows_to_both_splits_unless_there_is_a_test_file(share: float) -> None:
    with pytest.raises(ValueError, match="test_share: got"):
        Recipe.model_validate(own(files={"train": "a", "test_share": share}))
    Recipe.model_validate(own(files={"train": "a", "test": "b", "test_share": share}))


def test_a_rubric_gives_points() -> None:
    part = own()["environment"]["structured"]
    reported = [{"field": "a", "kind": "exact", "weight": 0.0}]
    nothing = {**part, "gate_points": 0.0, "criteria": reported}
    with pytest.raises(ValueError, match="nothing gives a point"):
        Recipe.model_validate(own(environment={"kind": "structured", "structured": nothing}))
    Recipe.model_validate(
        own(environment={"kind": "structured", "structured": {**part, "criteria": reported}})
    )


@pytest.mark.parametrize("kind", ["soap", "my:Job"])
def test_a_structured_part_goes_with_its_own_kind_only(kind: str) -> None:
    part = own()["environment"]["structured"]
    with pytest.raises(ValueError, match=f"goes with kind `structured`, not `{kind}`"):
        Recipe.model_validate(own(environment={"kind": kind, "structured": part}))


def test_folders_of_own_modules_are_those_where_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "jobs").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    job = tmp_path / "jobs" / "job.yaml"
    job.write_text("name: a\nfiles: {train: rows.jsonl}\nenvironment: {kind: 'my:Job'}\n")
    assert load_recipe(job).modules == (tmp_path / "jobs",)
    judged = load_recipe(job, None, ["judge.kind=my:Judge"])
    assert judged.modules == (tmp_path / "jobs", tmp_path / "work")
    copy = tmp_path / "run" / "recipe.yaml"
    copy.parent.mkdir()
    copy.write_text(dump(judged))
    assert load_recipe(copy) == judged
    assert load_recipe("soap").modules == ()
    job.write_text(job.read_text() + "modules: [lib]\n")
    assert load_recipe(job).modules == (tmp_path / "jobs" / "lib",)
