from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from fivestones.environments.json_bounds import bounded_schema


def test_free_strings_share_the_room() -> None:
    one = bounded_schema({"type": "object", "properties": {"a": {"type": "string"}}}, 40)
    two = bounded_schema({"type": "object", "properties": {k: {"type": "string"} for k in "ab"}}, 40)
    assert one["properties"]["a"]["pattern"] == r"^\S.{0,99}$"
    assert two["properties"]["a"]["pattern"] == r"^\S.{0,49}$"
    assert one["required"] == ["a"] and one["additionalProperties"] is False


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
    validator = Draft202012Validator(bounded_schema(schema, 64))
    good: dict[str, Any] = {"text": "fine", "list": ["x", None], "kind": "long " * 40, "n": 3}
    assert validator.is_valid(good)
    for bad in (
        {**good, "text": "x" * 100},
        {**good, "text": " x"},
        {**good, "text": ""},
        {**good, "text": "a\nb"},
        {**good, "list": ["x"] * 9},
        {**good, "list": ["x" * 100]},
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
