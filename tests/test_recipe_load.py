"""Recipes as text: profiles, overrides, messages, round trips."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.errors import UsageError
from fivestones.recipe import Lora
from fivestones.recipe_load import builtin_recipes, digest, dump, load_recipe, parse_overrides, schema

ROOT = Path(__file__).parents[1]


def write(folder: Path, text: str, name: str = "job.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(*args: object, **kwargs: object) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(*args, **kwargs)  # type: ignore[arg-type]
    return str(caught.value)


def test_the_default_profile_applies_and_others_differ() -> None:
    assert "soap" in builtin_recipes()
    assert load_recipe("soap") == load_recipe("soap", "laptop")
    assert load_recipe("soap", "smoke").train.steps < load_recipe("soap").train.steps
    full = load_recipe("soap", "full").synth
    assert full is not None
    assert (full.train, full.test, full.length) == (19939, 4028, "long")


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_recipes_of_the_repository_load_in_every_profile(path: Path) -> None:
    load_recipe(path)
    for profile in yaml.safe_load(path.read_text("utf-8")).get("profiles", {}):
        load_recipe(path, profile)


def test_overrides_beat_the_profile_and_are_read_as_yaml() -> None:
    recipe = load_recipe(
        "soap",
        "smoke",
        ["train.steps=7", "train.lr=1e-5", "evaluate.contestants=[base, trained]", "seed=010"],
    )
    assert (recipe.train.steps, recipe.train.lr, recipe.seed) == (7, 1e-5, 10)
    assert recipe.evaluate.contestants == ("base", "trained")
    assert recipe.rollout.group_size == 4  # of the profile


def test_overrides_as_mappings_dotted_or_nested_say_the_same() -> None:
    dotted = load_recipe("soap", None, {"train.steps": 3, "model.lora": Lora(rank=4)})
    nested = load_recipe("soap", None, {"train": {"steps": 3}, "model": {"lora": {"rank": 4}}})
    assert dotted == nested
    assert dotted == load_recipe("soap", None, ["train.steps=3", "model.lora.rank=4"])
    assert dotted.train.lr == load_recipe("soap").train.lr  # merged, not replaced


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        (
            "train.step=3",
            ["train.step: unknown key", "Did you mean `steps`?", "Allowed: steps, tasks_per_step"],
        ),
        ("steps=3", ["steps: unknown key", "`train.steps`"]),
        ("train.steps=-1", ["train.steps: got -1", "an integer at least 0"]),
        ("train.steps=true", ["train.steps: got True"]),
        ("train.steps=many", ["train.steps: got 'many'"]),
        ("train.lr=0", ["train.lr: got 0", "above 0, at most 1"]),
        ("train.lr=.nan", ["override train.lr", "finite"]),
        (
            "train.scale=batchstd",
            ["got 'batchstd'", "batch_std | group_std | none", "Did you mean `batch_std`?"],
        ),
        ("name=12", ["name: got 12", "text", "Quote"]),
        ("evaluate.contestants=[bas]", ["evaluate.contestants.0: got 'bas'", "Did you mean `base`?"]),
        ("train.steps.x=1", ["`train.steps` is 18, not a section"]),
        ("train=3", ["train: got 3", "a section with steps"]),
        ("synth=null", ["give exactly one of `synth`"]),
        ("train.steps", ["got `train.steps`", "key=value"]),
        ("train..steps=1", ["key=value"]),
        ("train.steps=[", ["override train.steps", "not valid YAML"]),
    ],
)
def test_a_mistake_is_told_with_place_value_and_what_is_allowed(override: str, parts: list[str]) -> None:
    told = complaint("soap", None, [override])
    for part in parts:
        assert part in told
    assert "pydantic" not in told


def test_several_mistakes_are_told_at_once() -> None:
    told = complaint("soap", None, ["train.step=3", "train.lr=-1"])
    assert "2 problems" in told
    assert "train.step" in told
    assert "train.lr" in told


def test_the_same_override_twice_is_refused() -> None:
    assert "given twice" in complaint("soap", None, ["seed=1", "seed=2"])


def test_unknown_names_suggest_the_nearest() -> None:
    assert "Did you mean `soap`?" in complaint("sope")
    assert "Did you mean `laptop`?" in complaint("soap", "laptopp")
    assert "cannot read nowhere.yaml" in complaint("nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: a\nname: b", "line 2, column 1: not valid YAML: key `name` twice"),
        ("name: [", "not valid YAML"),
        ("- 1", "got a list"),
        ("", "an empty file"),
        ("name: a\nprofiles: [x]", "profiles"),
        ("name: a\nprofile: x\nsynth: {}", "profile: got `x`"),
        ("name: a", "give exactly one of `synth`"),
        ("synth: {}", "name: missing"),
        ("name: a\nfiles: {}", "files.train: missing; needed: a path"),
        ("name: a\nx: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_bad_file_is_told_with_its_path(tmp_path: Path, text: str, part: str) -> None:
    told = complaint(write(tmp_path, text))
    assert part in told
    assert "job.yaml" in told


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in complaint(path)


def test_paths_are_relative_to_the_recipe_and_those_of_overrides_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs" / "model").mkdir(parents=True)
    text = "name: a\nfiles: {train: rows.jsonl}\nmodel: {source: ./model}\nevaluate: {extra: {real: x.jsonl}}"
    path = write(tmp_path / "jobs", text)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("jobs/job.yaml", None, ["files.test=t.jsonl"])
    assert recipe.files is not None
    assert recipe.files.train == path.parent / "rows.jsonl"
    assert recipe.files.test == tmp_path / "t.jsonl"
    assert recipe.evaluate.extra == {"real": path.parent / "x.jsonl"}
    assert Path(recipe.model.source) == path.parent / "model"


def test_real_questions_are_looked_for_where_the_recipe_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    path = write(
        tmp_path / "jobs",
        "name: a\nenvironment: {kind: finqa, max_turns: 8, finqa: {format: rllm, data: data.tar.gz}}\n"
        "warmup: {kind: none}\nevaluate: {contestants: [base, trained]}\n",
    )
    monkeypatch.chdir(tmp_path)
    part = load_recipe("jobs/job.yaml").environment.finqa
    assert part is not None and part.data == path.parent / "data.tar.gz"
    part = load_recipe("jobs/job.yaml", None, ["environment.finqa.data=other"]).environment.finqa
    assert part is not None and part.data == tmp_path / "other"


def test_names_of_models_are_not_taken_for_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nsynth: {}\nmodel: {source: Owner/Model, online: true}")
    assert load_recipe(path).model.source == "Owner/Model"
    assert load_recipe("soap").model.source == "smollm2-135m"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(options=st.dictionaries(st.text(min_size=1), PLAIN, min_size=1, max_size=3))
def test_a_dumped_recipe_is_read_back_equal(tmp_path_factory: pytest.TempPathFactory, options: dict) -> None:
    recipe = load_recipe("soap", "smoke", {"environment": {"options": options}, "train.lr": 1e-5})
    again = load_recipe(write(tmp_path_factory.mktemp("dump"), dump(recipe)))
    assert again == recipe
    assert digest(again) == digest(recipe)


@pytest.mark.parametrize(
    "text", ["no", "1e5", "010", "null", "2024-01-01", "~", "1:30", "true", ".5", "<<", ""]
)
def test_text_that_looks_like_something_else_stays_text(tmp_path: Path, text: str) -> None:
    recipe = load_recipe("soap", None, {"environment.options.x": text})
    assert load_recipe(write(tmp_path, dump(recipe))).environment.options == {"x": text}


def test_the_digest_tells_recipes_apart() -> None:
    assert digest(load_recipe("soap")) == digest(load_recipe("soap", "laptop"))
    assert digest(load_recipe("soap")) != digest(load_recipe("soap", None, ["seed=1"]))


def test_the_schema_accepts_the_recipes_and_refuses_what_loading_refuses() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    text = (ROOT / "src/fivestones/recipes/soap.yaml").read_text("utf-8")
    validator.validate(yaml.safe_load(text.replace("1e-5", "1.0e-5").replace("3e-6", "3.0e-6")))
    assert not validator.is_valid({"name": "a", "synth": {"trane": 3}})


def test_parse_overrides_keeps_the_equals_signs_of_a_value() -> None:
    assert parse_overrides(["environment.options.x=a=b"]) == {"environment.options.x": "a=b"}


@pytest.mark.parametrize("value", ["http://127.0.0.1:9/v1", {"url": "http://127.0.0.1:9/v1"}])
def test_a_list_that_is_none_is_told(value: object) -> None:
    with pytest.raises(UsageError, match=r"judge.endpoints: got .*; allowed: a list of"):
        load_recipe("soap", "smoke", {"judge": {"kind": "llm", "model": "m", "endpoints": value}})
