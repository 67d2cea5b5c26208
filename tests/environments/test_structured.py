from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attempts
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.protocols import Environment
from fivestones.recipe import CriterionPart, StructuredPart
from fivestones.types import Message, Task

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["a", "b"]}, "count": {"type": "integer"}},
}


def spec(**changes: Any) -> StructuredPart:
    parts: dict[str, Any] = {
        "instructions": "Sort it. Answer {like} this.",
        "input": "Text: {text}",
        "output_schema": SCHEMA,
        "reference_fields": {"label": "label", "count": "n"},
        "criteria": (CriterionPart(field="label", kind="exact"),),
    }
    return StructuredPart(**{**parts, **changes})


def environment(row: dict[str, Any], **changes: Any) -> StructuredEnvironment:
    return StructuredEnvironment(spec(**changes), {"train": [row]}, {"train": "rows.jsonl"})


def only(row: dict[str, Any], **changes: Any) -> Task:
    (task,) = environment(row, **changes).tasks("train")
    return task


rollout = partial(attempts.rollout, Task(id="1", prompt=(Message("user", "x"),), reference={}, cluster="1"))


ROW: dict[str, Any] = {"id": 7, "text": "hello", "label": "a", "n": 2, "who": "x"}


def test_a_row_becomes_a_task() -> None:
    task = only(ROW, cluster="who", tags=("label",))
    assert task.id == "7"
    assert task.prompt == (Message("system", "Sort it. Answer {like} this."), Message("user", "Text: hello"))
    assert task.reference == {"source": "Text: hello", "output": {"label": "a", "count": 2}}
    assert task.cluster == "x"
    assert task.tags == {"label": "a"}


def test_without_id_and_cluster_each_row_is_its_own() -> None:
    row = {key: value for key, value in ROW.items() if key != "id"}
    env: Environment = StructuredEnvironment(spec(), {"train": [row, row], "test": [row]})
    assert [(t.id, t.cluster) for t in env.tasks("train")] == [("train-0", "train-0"), ("train-1", "train-1")]
    assert [t.id for t in env.tasks("test")] == ["test-0"]
    assert env.reply(only(ROW), ()) == ()


def test_a_split_that_was_not_given_is_empty() -> None:
    assert list(environment(ROW).tasks("test")) == []


@settings(max_examples=50)
@given(st.text(st.sampled_from("{}text $\\%abc\n\"'"), min_size=1).filter(str.strip))
def test_braces_in_the_data_are_only_text(text: str) -> None:
    assert only({**ROW, "text": text}).prompt[-1].content == f"Text: {text}"


def test_braces_in_the_template_that_name_no_column_are_text() -> None:
    template = 'As {"label": "a"} or {}: {text}; {{text}}; {n}'
    content = only(ROW, input=template).prompt[-1].content
    assert content == 'As {"label": "a"} or {}: hello; {text}; 2'


def test_reference_may_be_one_column_of_objects_or_of_their_json() -> None:
    output = {"count": 2, "label": "ü"}
    schema = {"type": "object", "properties": {"label": {"type": "string"}, "count": {"type": "integer"}}}
    for cell in (output, json.dumps(output)):
        env = environment(
            {"text": "x", "out": cell}, reference="out", reference_fields={}, output_schema=schema
        )
        (task,) = env.tasks("train")
        assert task.reference["output"] == output
        assert env.reference_text(task) == '{"label":"ü","count":2}'


def test_reference_text_passes_the_gate_and_fits_the_parse() -> None:
    env = environment(ROW)
    (task,) = env.tasks("train")
    text = env.reference_text(task)
    assert env.gates["json"](task, rollout(text)) is None
    assert env.parse(text) == task.reference["output"] == env.lenient(f"```{text}```")


def test_gate_reasons() -> None:
    env = environment(ROW)
    (task,) = env.tasks("train")
    text = env.reference_text(task)
    assert "truncated" in (env.gates["json"](task, rollout(text, "length")) or "")
    assert env.gates["json"](task, rollout('{"label":"a"}')) == "missing key `count`"
    assert env.gates["json"](task, rollout(f"{text}!")) == "text after the JSON object"


def test_cells_of_text_are_read_as_the_type_of_their_field() -> None:
    properties = {"n": {"type": "integer"}, "ok": {"type": "boolean"}, "s": {"type": "string"}}
    task = only(
        {"text": "x", "n": "12", "ok": "True", "s": 3.5},
        output_schema={"type": "object", "properties": properties},
        reference_fields={key: key for key in properties},
        criteria=(),
    )
    assert task.reference["output"] == {"n": 12, "ok": True, "s": "3.5"}


def test_facts_travel_as_a_list() -> None:
    facts = [{"id": "1", "section": "S", "concept": "cough"}]
    assert only({**ROW, "facts": facts}).reference["facts"] == facts
    assert only({**ROW, "facts": json.dumps(facts)}).reference["facts"] == facts
    with pytest.raises(DataError, match="column `facts` must be a list"):
        only({**ROW, "facts": '"many"'})


def test_a_row_without_reference_is_a_task_unless_a_criterion_compares() -> None:
    row = {**ROW, "label": None, "n": None}
    facts = (CriterionPart(field="label", kind="facts"),)
    env = environment(row, criteria=facts)
    (task,) = env.tasks("train")
    assert "output" not in task.reference
    with pytest.raises(DataError, match="no reference output to imitate"):
        env.reference_text(task)
    with pytest.raises(DataError, match="no reference output, which the criteria of label compare"):
        environment(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"txt": "x", "label": "a", "n": 1}, r"no column `text`.*Did you mean `txt`"),
        ({**ROW, "text": None}, "column `text` is empty"),
        ({**ROW, "text": "  "}, "column `text` is empty"),
        ({**ROW, "text": "\ud800"}, "surrogate"),
        ({**ROW, "label": "c"}, "does not fit output_schema: `label` is not an allowed value"),
        ({**ROW, "n": "many"}, "`count` must be integer"),
        ({**ROW, "n": None}, "`count` must be integer"),
    ],
)
def test_a_bad_row_is_named_with_file_row_and_number(row: dict[str, Any], message: str) -> None:
    rows = [{**ROW, "id": 1}, {**row, "id": 2}, {**row, "id": 3}]
    with pytest.raises(DataError, match=message) as caught:
        StructuredEnvironment(spec(), {"train": rows}, {"train": "rows.jsonl"})
    assert str(caught.value).startswith("rows.jsonl: 2 of 3 rows are unfit; first row 2: ")


def test_an_id_used_twice_is_refused() -> None:
    with pytest.raises(DataError, match="id '7' was already used by row 1"):
        StructuredEnvironment(spec(), {"train": [ROW, ROW]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"criteria": (CriterionPart(field="lable", kind="exact"),)},
            "criterion field `lable`.*mean `label`",
        ),
        ({"reference_fields": {"labl": "label"}}, "reference_fields key `labl`"),
        ({"reference": "out"}, "not both"),
        ({"input": "no column"}, "input names no column"),
    ],
)
def test_a_bad_spec_is_a_usage_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        environment(ROW, **changes)
