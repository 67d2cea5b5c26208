from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Optional

import pytest
from jsonschema import Draft202012Validator

from fivestones.environments.tool_use import Tool, ToolError, ToolUse, tool_of
from fivestones.errors import EnvironmentFault, UsageError
from fivestones.types import Call, Message, Task


class Unit(enum.Enum):
    METRE = "m"
    FOOT = "ft"


def convert(
    length: float,
    to: Unit,
    digits: int = 2,
    labels: list[str] | None = None,
    rounding: Literal["up", "down"] = "up",
) -> str:
    """Converts a length
    to another unit.

    More that only people read.

    Args:
        length: what to convert,
            in metres
        to (Unit): the unit wanted: m or ft
        digits: after the point

    Returns:
        rounding: this line is no argument
    """
    return f"{length!r} {to} {digits!r} {labels} {rounding}"


def test_a_function_is_a_tool() -> None:
    tool = tool_of(convert)
    assert (tool.name, tool.description) == ("convert", "Converts a length to another unit.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "length": {"type": "number", "description": "what to convert, in metres"},
            "to": {"type": "string", "enum": ["m", "ft"], "description": "the unit wanted: m or ft"},
            "digits": {"type": "integer", "description": "after the point", "default": 2},
            "labels": {"type": ["array", "null"], "items": {"type": "string"}},
            "rounding": {"type": "string", "enum": ["up", "down"], "default": "up"},
        },
        "required": ["length", "to"],
    }
    Draft202012Validator.check_schema(tool.parameters)
    assert json.loads(json.dumps(tool.schema)) == {
        "type": "function",
        "function": {"name": "convert", "description": tool.description, "parameters": tool.parameters},
    }


def test_values_reach_the_function_as_its_types() -> None:
    call = tool_of(convert).call
    assert call({"length": 1, "to": "ft", "digits": 3.0}) == "1.0 Unit.FOOT 3 None up"
    assert call({"length": 1.5, "to": "m", "labels": None}) == "1.5 Unit.METRE 2 None up"


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (bool, {"type": "boolean"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (list[list[float]], {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (Optional[Unit], {"type": ["string", "null"], "enum": ["m", "ft", None]}),  # noqa: UP045
        (int | str | None, {"type": ["integer", "string", "null"]}),
        (int | list[str], {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
        (Literal[1, "a", None], {"type": ["integer", "string", "null"], "enum": [1, "a", None]}),
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
    ],
)
def test_types_of_arguments(annotation: Any, schema: dict[str, Any]) -> None:
    def f(a: Any) -> Any:
        return a

    f.__annotations__["a"] = annotation
    assert tool_of(f).parameters["properties"]["a"] == schema


def test_containers_read_what_is_in_them() -> None:
    def f(a: list[Unit], b: dict[str, float], c: Optional[Unit] = Unit.FOOT) -> str:  # noqa: UP045
        return f"{[unit.name for unit in a]} {b} {c}"

    tool = tool_of(f)
    assert tool.call({"a": ["m", "ft"], "b": {"x": 1}, "c": None}) == "['METRE', 'FOOT'] {'x': 1.0} None"
    assert tool.parameters["properties"]["c"]["default"] == "ft"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as is", "as is"),
        ({"ü": [1, None]}, '{"ü": [1, null]}'),
        (None, "null"),
        (1.5, "1.5"),
        (Unit.FOOT, '"Unit.FOOT"'),
    ],
)
def test_results_are_text_or_json(result: Any, text: str) -> None:
    def f() -> Any:
        return result

    assert tool_of(f).call({}) == text


def test_what_a_function_raises() -> None:
    def f(kind: str) -> str:
        if kind == "tool":
            raise ToolError("no such town; there is Oslo")
        if kind == "fault":
            raise EnvironmentFault("the database is gone")
        return {"Oslo": "cold"}[kind]

    call = tool_of(f).call
    with pytest.raises(ToolError, match=r"^no such town; there is Oslo$"):
        call({"kind": "tool"})
    with pytest.raises(EnvironmentFault):
        call({"kind": "fault"})
    with pytest.raises(ToolError, match=r"^KeyError: 'Rome'$"):
        call({"kind": "Rome"})


@pytest.mark.parametrize("arguments", [{"x": 10**400}, {"many": [1, 10**400]}, {"by": {"a": 10**400}}])
def test_a_number_that_no_float_holds_is_told(arguments: dict[str, Any]) -> None:
    def f(x: float = 0.0, many: list[float] | None = None, by: dict[str, float] | None = None) -> str:
        return str((x, many, by))

    tool = tool_of(f)
    with pytest.raises(ToolError, match=r"^OverflowError: int too large to convert to float$"):
        tool.call(arguments)
    task = Task(id="1", prompt=(Message("user", "x"),), reference={}, cluster="1")
    turn = [*task.prompt, Message("assistant", "", (Call("f", json.dumps(arguments)),))]
    assert [reply.content[:21] for reply in ToolUse([tool]).reply(task, turn)] == ["error: OverflowError:"]


def untyped(a) -> str:  # type: ignore[no-untyped-def]
    return str(a)


def many(*names: str) -> str:
    return str(names)


def pair(a: tuple[int, int]) -> str:
    return str(a)


def keyed(a: dict[int, str]) -> str:
    return str(a)


def either(a: int | Unit) -> str:
    return str(a)


def unknown(a: Nowhere) -> str:  # type: ignore[name-defined] # noqa: F821
    return str(a)


def whole(a: object) -> str:
    return str(a)


async def later(a: str) -> str:
    return a


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "tool `untyped`, parameter `a` has no type; allowed: str, int"),
        (many, "parameter `names`: variadic positional; allowed: ones given by name"),
        (pair, r"parameter `a` has type tuple\[int, int\]; allowed"),
        (keyed, r"has type dict\[int, str\]"),
        (either, "a union of types with an Enum"),
        (whole, "has type object"),
        (unknown, "a type of its signature is unknown: name 'Nowhere'"),
        (later, "is no tool; allowed: a plain function"),
        (lambda: "", "is no tool"),
    ],
)
def test_what_cannot_be_described_is_a_usage_error(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tool_of(function)


def test_a_tool_of_an_impossible_name_is_refused() -> None:
    with pytest.raises(UsageError, match="tool name 'a b'; allowed"):
        Tool("a b", "", {"type": "object"}, lambda arguments: "")
