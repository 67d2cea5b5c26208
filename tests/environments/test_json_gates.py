from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.json_gates import (
    lenient_validator,
    parse_lenient,
    parse_strict,
    strict_validator,
)
from fivestones.errors import UsageError

NOTE: dict[str, Any] = {"type": "object", "properties": {key: {"type": "string"} for key in "SOAP"}}
STRICT, LENIENT = strict_validator(NOTE), lenient_validator(NOTE)
GOLD = {"S": "cough", "O": "chest clear", "A": "viral", "P": "rest"}
TEXT = json.dumps(GOLD)


def why(text: str, schema: dict[str, Any] = NOTE) -> str:
    value, reason = parse_strict(text, strict_validator(schema))
    assert value is None
    assert reason is not None
    return reason


def test_the_object_alone_passes_with_white_space_around_it() -> None:
    assert parse_strict(TEXT, STRICT) == (GOLD, None)
    assert parse_strict(f" \n{TEXT}\t\r\n", STRICT) == (GOLD, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty output"),
        (" \n", "empty output"),
        (f"Here is the note: {TEXT}", "does not begin"),
        (f"```json\n{TEXT}\n```", "does not begin"),
        (f"[{TEXT}]", "does not begin"),
        (f"{TEXT} Done.", "text after"),
        (f"{TEXT}{TEXT}", "text after"),
        (TEXT[:-4], "not valid JSON"),
        (TEXT.replace('"', "'"), "not valid JSON"),
        (TEXT.replace("cough", "a\nb"), "not valid JSON"),
        ('{"S":"a","S":"b","O":"c","A":"d","P":"e"}', "duplicate key"),
        ('{"S":"a","O":"c","A":"d"}', "missing key `P`"),
        ('{"S":"a","O":"c","A":"d","P":"e","X":"f"}', "unknown key in the object"),
        ('{"S":"a","O":"c","A":"d","P":" \\n"}', "`P` is an empty string"),
        ('{"S":"a","O":"c","A":"d","P":""}', "`P` is an empty string"),
        ('{"S":"a","O":"c","A":"d","P":1}', "`P` must be string"),
        ('{"S":"a","O":"c","A":"d","P":NaN}', "NaN"),
        ('{"S":"a","O":"c","A":"d","P":-Infinity}', "NaN or Infinity"),
        ('{"S":"a","O":"c","A":"d","P":1e999}', "out of range"),
        ('{"S":"a","O":"c","A":"d","P":%s}' % ("9" * 5000), "out of range"),
        ('{"S":"a","O":"c","A":"d","P":"\\ud800"}', "surrogate"),
        ('{"S":' * 100_000, "nested too deeply"),
        ('{"S":' + "[" * 100 + "]" * 100 + "}", "nested too deeply"),
    ],
)
def test_strict_refuses_with_its_reason(text: str, reason: str) -> None:
    assert reason in why(text)


def test_duplicate_keys_are_found_at_any_depth() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object"}}}
    assert why('{"a": {"b": [{"c": 1, "c": 2}]}}', schema) == "duplicate key"


def test_nested_fields_are_closed_and_named() -> None:
    item = {"type": "object", "properties": {"name": {"type": "string"}, "dose": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"drugs": {"type": "array", "items": item}}}
    assert why('{"drugs": [{"name": "a"}]}', schema) == "missing key `drugs[].dose`"
    assert why('{"drugs": [{"name": "", "dose": 1}]}', schema) == "`drugs[].name` is an empty string"
    assert why('{"drugs": [{"name": "a", "dose": true}]}', schema) == "`drugs[].dose` must be integer"
    assert why('{"drugs": [{"name": "a", "dose": 1, "x": 0}]}', schema) == "unknown key in `drugs[]`"


def test_what_the_schema_states_stands() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 0},
            "b": {"enum": ["x", ""]},
            "c": {"type": "integer"},
        },
        "required": ["a"],
        "additionalProperties": True,
    }
    for text in ('{"a": ""}', '{"a": "", "b": ""}', '{"a": "", "z": 1}'):
        assert parse_strict(text, strict_validator(schema))[1] is None
    assert why('{"a": "", "b": "y"}', schema) == "`b` is not an allowed value"
    assert why('{"a": "", "c": 1.5}', schema) == "`c` must be integer"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Here is the note:\n```json\n{TEXT}\n```\nAnything else?",
        f"{{not this}} but {TEXT}",
        '{"S":"x","S":"cough","O":"chest clear","A":"viral","P":"rest"}',
    ],
)
def test_lenient_finds_the_object(text: str) -> None:
    assert parse_lenient(text, LENIENT) == GOLD


def test_lenient_lets_further_keys_and_empty_strings_pass() -> None:
    text = '{"S":"","O":"","A":"","P":"","X":1}'
    assert parse_lenient(text, LENIENT) == json.loads(text)


@pytest.mark.parametrize(
    "text", ["", "no object", '{"S":"a"}', TEXT.replace('"rest"', "3"), TEXT[:-1], f'{{"note": {TEXT}}}']
)
def test_lenient_still_wants_keys_and_types(text: str) -> None:
    assert parse_lenient(text, LENIENT) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "object"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "text"}}},
    ],
)
def test_a_schema_of_no_object_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="output_schema"):
        strict_validator(schema)


pieces = st.sampled_from(
    ['{"S":', '{"S":"a",', "{", "}", "[", "]", '"', "\\ud800", "\\u0000", "9" * 5000, "-", "1e", "NaN", ","]
)
near_json = st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=40).map("".join)
deep = st.builds(lambda part, n: part * n, pieces, st.integers(0, 3000))


@settings(max_examples=150)
@given(st.one_of(st.text(st.characters(exclude_categories=())), near_json, deep))
def test_no_text_raises_and_exactly_one_of_value_and_reason_is_given(text: str) -> None:
    value, reason = parse_strict(text, STRICT)
    assert (value is None) != (reason is None)
    parse_lenient(text, LENIENT)


words = st.text(min_size=1).filter(str.strip)


@settings(max_examples=80)
@given(st.fixed_dictionaries({key: words for key in "SOAP"}), st.booleans())
def test_every_well_formed_note_passes_both_readings(note: dict[str, str], ascii_only: bool) -> None:
    text = json.dumps(note, ensure_ascii=ascii_only)
    assert parse_strict(text, STRICT) == (note, None)
    assert parse_lenient(f"Sure! {text}", LENIENT) == note


def test_a_recursive_schema_does_not_raise() -> None:
    schema = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/n"}},
        "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
    }
    text = '{"next":' * 30 + "{}" + "}" * 30
    assert parse_strict(text, strict_validator(schema))[1] is None
    assert why('{"next":' * 500 + "{}" + "}" * 500, schema) == "nested too deeply"


def with_reference(reference: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"$ref": reference}}, "required": ["a"], **more}


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/schema.json",
        "https://example.org/a.json#/$defs/x",
        "file:///etc/passwd",
        "other.json",
        "#/$defs/nowhere",
        "#anchor",
        "#/required",
        "http://[",
    ],
)
@pytest.mark.parametrize("build", [strict_validator, lenient_validator])
def test_a_reference_out_of_the_schema_is_refused_and_not_fetched(build: Any, reference: str) -> None:
    with pytest.raises(UsageError, match="leads to no schema; allowed: one within this schema"):
        build(with_reference(reference))
    with pytest.raises(UsageError, match="leads to no schema"):
        nested = {"type": "array", "items": {"anyOf": [{"$ref": reference}]}}
        build({"type": "object", "properties": {"a": {"type": "string"}, "b": nested}})


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("#/$defs/word", {"$defs": {"word": {"enum": ["yes", "no"]}}}),
        ("word", {"$id": "https://example.org/a", "$defs": {"w": {"$id": "word", "enum": ["yes", "no"]}}}),
        ("#word", {"$defs": {"w": {"$anchor": "word", "enum": ["yes", "no"]}}}),
    ],
)
def test_references_within_the_schema_work(reference: str, more: dict[str, Any]) -> None:
    validator = strict_validator(with_reference(reference, **more))
    assert parse_strict('{"a": "yes"}', validator) == ({"a": "yes"}, None)
    assert parse_strict('{"a": "maybe"}', validator)[0] is None


def test_a_property_may_be_named_like_a_reference() -> None:
    schema = {"type": "object", "properties": {"$ref": {"type": "string"}}}
    assert parse_strict('{"$ref": "http://x"}', strict_validator(schema))[1] is None
