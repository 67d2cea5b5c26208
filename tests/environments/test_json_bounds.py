from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fivestones.environments.json_bounds import bounded_schema


@pytest.mark.parametrize("fields", ["a", "ab", "abcdefgh"])
def test_the_longest_answer_fills_the_room_and_no_more(fields: str) -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {k: {"type": "string"} for k in fields}}
    schema["properties"] |= {"kind": {"enum": ["b", "billing"]}, "n": {"type": "integer"}}
    bound = bounded_schema(schema, 300)
    length = int(re.search(r",(\d+)}", bound["properties"]["a"]["pattern"])[1]) + 1
    longest = {**{k: "x" * length for k in fields}, "kind": "billing", "n": -(10**9)}
    assert Draft202012Validator(bound).is_valid(longest)
    longer = {**longest, "a": "x" * (length + 1)}
    assert not Draft202012Validator(bound).is_valid(longer)
    assert 300 - 2 * len(fields) - 10 <= len(json.dumps(longest, separators=(",", ":"))) <= 302
    assert set(bound["required"]) == set(longest) and bound["additionalProperties"] is False


def test_rules_of_the_schema_itself_stay_satisfiable() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 20},
            "list": {"type": "array", "minItems": 10, "items": {"type": "boolean"}},
        },
    }
    validator = Draft202012Validator(bounded_schema(schema, 100))
    good = {"a": "x" * 20, "list": [True] * 10}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "a": "x" * 19})
    assert not validator.is_valid({**good, "list": [True] * 11})


def test_alternatives_and_references_are_bounded_inside() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "b": {"$ref": "#/$defs/text"}},
        "$defs": {"text": {"type": "string"}},
    }
    validator = Draft202012Validator(bounded_schema(schema, 100))
    assert validator.is_valid({"a": None, "b": "x"})
    assert not validator.is_valid({"a": "x" * 200, "b": "x"})
    assert not validator.is_valid({"a": None, "b": "x" * 200})


def test_an_endless_answer_is_refused_and_a_plain_one_stands() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1, "pattern": r"\S"},
            "list": {"type": "array", "items": {"type": ["string", "null"]}},
            "kind": {"type": "string", "enum": ["long " * 40, "b"]},
            "n": {"type": "integer"},
        },
    }
    validator = Draft202012Validator(bounded_schema(schema, 500))
    good: dict[str, Any] = {"text": "fine", "list": ["x", None], "kind": "long " * 40, "n": 3}
    assert validator.is_valid(good)
    for bad in (
        {**good, "text": "x" * 100},
        {**good, "text": " x"},
        {**good, "text": ""},
        {**good, "text": "a\nb"},
        {**good, "list": ["x"] * 9},
        {**good, "list": ["x" * 100]},
        {**good, "n": 10**10},
        {**good, "more": 1},
        {k: v for k, v in good.items() if k != "n"},
    ):
        assert not validator.is_valid(bad), bad


def test_what_the_schema_states_stands() -> None:
    stated: dict[str, Any] = {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "note": {"type": "string", "maxLength": 500},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        },
        "required": ["code"],
        "additionalProperties": True,
    }
    bound = bounded_schema(stated, 100)
    assert bound["properties"]["code"] == stated["properties"]["code"]
    assert bound["properties"]["note"] == stated["properties"]["note"]
    assert bound["properties"]["tags"]["maxItems"] == 2
    assert bound["required"] == ["code"] and bound["additionalProperties"] is True


def test_the_other_branch_of_a_combiner_keeps_its_keys() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "anyOf": [{"properties": {"b": {"type": "integer"}}}],
    }
    assert "additionalProperties" not in bounded_schema(schema, 50)
