"""The no-code path: a table becomes a recipe, and its environment and rubric know right from wrong."""

from __future__ import annotations

import json
import random
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from attempts import rollout
from fivestones.data.files import load_files
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.init import init_job
from fivestones.init.columns import guess
from fivestones.recipe import Recipe, StructuredPart
from fivestones.recipe_load import load_recipe
from fivestones.score.rubric import RubricScorer

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PROSE = "The patient reports a dull pain in the left knee since three days, without any swelling or fever."


def structured(recipe: Recipe) -> StructuredPart:
    assert recipe.environment.structured is not None
    return recipe.environment.structured


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def dialogues(n: int) -> list[dict[str, Any]]:
    """Shaped as MTS-Dialog is."""
    return [
        {
            "id": f"mts-{i}",
            "section_header": ("CC", "ROS", "PLAN")[i % 3],
            "dialogue": f"Doctor: What brings you here, {i}?\r\nPatient: " + "My knee hurts. " * (20 + i % 9),
            "section_text": f"{PROSE} Case {i}.",
        }
        for i in range(n)
    ]


def test_the_example_was_made_by_its_script_and_by_init(tmp_path: Path) -> None:
    made = runpy.run_path(str(EXAMPLES / "make_tickets.py"))
    rows = [json.loads(line) for line in (EXAMPLES / "tickets.jsonl").read_text("utf-8").splitlines()]
    assert made["tickets"](random.Random(5), 5) == rows
    copy = tmp_path / "tickets.jsonl"
    copy.write_bytes((EXAMPLES / "tickets.jsonl").read_bytes())
    (recipe,) = init_job("tickets", copy, tmp_path, echo=lambda text: None)
    assert recipe.read_text("utf-8") == (EXAMPLES / "tickets.yaml").read_text("utf-8")


def test_tickets_gold_scores_the_maximum_and_wrong_ones_less() -> None:
    recipe = load_recipe(EXAMPLES / "tickets.yaml")
    assert recipe.files is not None
    part = structured(recipe)
    env = StructuredEnvironment(part, load_files(recipe.files, seed=recipe.seed, cluster=part.cluster))
    rubric = RubricScorer(
        gates=env.gates, parse=env.parse, criteria=part.criteria, judges={}, gate_points=part.gate_points
    )
    train, test = list(env.tasks("train")), list(env.tasks("test"))
    assert (len(train), len(test)) == (60, 20)
    for task in train + test:
        gold = env.reference_text(task)
        assert len(gold) < 4 * recipe.generation.max_tokens
        output = dict(task.reference["output"])
        other = "billing" if output["category"] != "billing" else "bug"
        wrong = [
            f"Here you are: {gold}",
            gold.replace("}", ""),
            json.dumps({**output, "note": "x"}),
            json.dumps({**output, "category": "unheard of"}),
            json.dumps({**output, "category": other}),
            json.dumps({**output, "summary": "something else entirely"}),
            json.dumps({**output, "summary": f"{output['summary']} {task.reference['source']}"}),
        ]
        scores = rubric(task, [rollout(task, text) for text in (gold, *wrong)])
        rewards = [score.reward for score in scores]
        assert rewards[0] == rubric.max_reward == 4.0
        assert rewards[1:5] == [0.0] * 4
        assert all(reward is not None and 1.0 < reward < 3.9 for reward in rewards[5:])


def test_dialogue_in_header_and_note_out(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.jsonl", dialogues(60)), write(tmp_path / "b.jsonl", dialogues(9))
    told: list[str] = []
    (path,) = init_job("mts", train, tmp_path / "jobs", test=test, echo=told.append)
    recipe = load_recipe(path)
    part = structured(recipe)
    assert part.input == "{dialogue}"
    assert part.output_schema["properties"]["section_header"]["enum"] == ["CC", "PLAN", "ROS"]
    assert [(c.field, c.kind) for c in part.criteria] == [
        ("section_header", "exact"),
        ("section_text", "facts"),
        ("section_text", "rouge1"),  # of weight 0: reported, not rewarded
        ("section_text", "rougeL"),
    ]
    assert recipe.files is not None
    assert recipe.files.train.resolve() == train.resolve()
    rows = load_files(recipe.files)
    env = StructuredEnvironment(part, rows)
    assert (len(list(env.tasks("train"))), len(list(env.tasks("test")))) == (60, 9)
    text = "\n".join(told)
    assert "--- task mts-0" in text
    assert "--- task mts-1" in text
    assert "--- task mts-2" not in text


def test_named_columns_win_over_the_guess(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", dialogues(30))
    (path,) = init_job(
        "job", source, tmp_path, inputs=["section_text"], outputs=["section_header"], echo=lambda text: None
    )
    part = structured(load_recipe(path))
    assert part.input == "{section_text}"
    assert list(part.output_schema["properties"]) == ["section_header"]
    with pytest.raises(UsageError, match=r"no column `section_txt`.*Did you mean `section_text`"):
        init_job("other", source, tmp_path, outputs=["section_txt"], echo=lambda text: None)


def test_labels_of_the_test_file_join_the_schema(tmp_path: Path) -> None:
    extra = {**dialogues(1)[0], "section_header": "LABS"}
    train, test = write(tmp_path / "a.jsonl", dialogues(30)), write(tmp_path / "b.jsonl", [extra])
    told: list[str] = []
    (path,) = init_job("job", train, tmp_path, test=test, echo=told.append)
    schema = structured(load_recipe(path)).output_schema
    assert schema["properties"]["section_header"]["enum"][-1] == "LABS"
    assert any("only the test file has LABS" in line for line in told)


def test_csv_is_copied_with_its_types(tmp_path: Path) -> None:
    source = tmp_path / "orders.csv"
    lines = [f'"Order {i}: please send {i % 4} boxes, {{urgent}}",{i % 4},{i % 2 == 0}' for i in range(20)]
    source.write_text("\n".join(["message,boxes,urgent", *lines]) + "\n", "utf-8")
    paths = init_job("orders", source, tmp_path / "out", echo=lambda text: None)
    assert [path.name for path in paths] == ["orders.yaml", "orders.train.jsonl"]
    recipe = load_recipe(paths[0])
    properties = structured(recipe).output_schema["properties"]
    assert properties == {"boxes": {"type": "integer"}, "urgent": {"type": "boolean"}}
    assert recipe.files is not None
    env = StructuredEnvironment(structured(recipe), load_files(recipe.files))
    task = next(iter(env.tasks("train")))
    assert "{urgent}" in task.prompt[-1].content


def test_parquet_is_read_where_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", dialogues(30))
    parquet = tmp_path / "a.parquet"
    duckdb.execute(f"COPY (FROM read_json('{source}')) TO '{parquet}' (FORMAT parquet)")
    (path,) = init_job("job", parquet, tmp_path / "out", echo=lambda text: None)
    recipe = load_recipe(path)
    assert recipe.files is not None
    assert recipe.files.train.resolve() == parquet.resolve()


def test_unusable_rows_are_counted_and_left_out_of_a_copy(tmp_path: Path) -> None:
    rows = dialogues(30)
    rows[4]["dialogue"] = " "
    rows[8]["section_text"] = ""
    told: list[str] = []
    paths = init_job("job", write(tmp_path / "a.jsonl", rows), tmp_path / "out", echo=told.append)
    assert len(paths[1].read_text("utf-8").splitlines()) == 28
    (warning,) = [line for line in told if "cannot be used" in line]
    assert "2 of 30 rows" in warning
    assert "row 5: column `dialogue` is empty" in warning


def test_long_rows_and_shared_inputs_are_told(tmp_path: Path) -> None:
    rows = dialogues(60)
    rows[3]["section_text"] = PROSE * 40
    rows[5]["dialogue"] = "Patient: " + "my knee hurts " * 900
    rows[7]["dialogue"] = rows[6]["dialogue"]
    told: list[str] = []
    init_job("job", write(tmp_path / "a.jsonl", rows), tmp_path / "out", echo=told.append)
    text = "\n".join(told)
    assert "1 of 60 reference outputs are probably longer than generation.max_tokens" in text
    assert "1 prompts are probably longer than" in text
    assert "2 rows share their input" in text


def test_a_column_of_objects_is_the_output() -> None:
    rows = [
        {
            "id": i,
            "patient_id": i // 2,
            "dialogue": f"{PROSE} {i}",
            "note": {"S": f"{PROSE} {i}"},
            "site": "north",
        }
        for i in range(30)
    ]
    plan = guess(rows)
    assert (plan.inputs, plan.reference, plan.cluster) == (("dialogue",), "note", "patient_id")
    assert plan.left_out == {"id": "by its name not content", "site": "the same in every row"}


def test_fields_of_objects_are_described() -> None:
    notes = [
        {"S": f"{PROSE} {i}", "tags": [("a", "b", "c")[i % 3]], "days": i, "ok": i > 3, "p": {"q": f"x {i}"}}
        for i in range(30)
    ]
    del notes[9]["days"]
    plan = guess([{"text": f"{PROSE * 2} {i}", "note": json.dumps(note)} for i, note in enumerate(notes)])
    assert plan.reference == "note"
    assert plan.required == ("S", "tags", "ok", "p")
    assert {o.field: (o.kind, o.schema["type"]) for o in plan.outputs} == {
        "S": ("facts", "string"),
        "tags": ("exact", "array"),
        "days": ("exact", "integer"),
        "ok": ("exact", "boolean"),
        "p": ("overlap", "object"),
    }


def test_values_that_are_often_missing_may_be_null(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"{PROSE} {i}",
            "due": None if i % 3 == 0 else f"in {i} days",
            "level": "a" if i % 2 else None,
        }
        for i in range(30)
    ]
    (path,) = init_job("job", write(tmp_path / "a.jsonl", rows), tmp_path, echo=lambda text: None)
    recipe = load_recipe(path)
    properties = structured(recipe).output_schema["properties"]
    assert properties["due"] == {"type": ["string", "null"]}
    assert properties["level"] == {"type": ["string", "null"], "enum": ["a", None]}
    assert recipe.files is not None
    StructuredEnvironment(structured(recipe), load_files(recipe.files))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "1", "text": "a b", "label": "x"}] * 3, "column `id` must tell rows apart"),
        ([{"text": "only a text here"}], "no output column"),
        ([{"a": 1, "b": 2}], "no text column"),
    ],
)
def test_tables_without_a_job(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        init_job("job", write(tmp_path / "a.jsonl", rows), tmp_path, echo=lambda text: None)
    assert not (tmp_path / "job.yaml").exists()


def test_bad_names_and_files(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", dialogues(30))
    with pytest.raises(UsageError, match="job name"):
        init_job("a b", source, tmp_path, echo=lambda text: None)
    with pytest.raises(DataError, match="no such file"):
        init_job("job", tmp_path / "missing.csv", tmp_path, echo=lambda text: None)
    init_job("job", source, tmp_path, echo=lambda text: None)
    with pytest.raises(UsageError, match="exists"):
        init_job("job", source, tmp_path, echo=lambda text: None)
