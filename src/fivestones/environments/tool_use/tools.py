"""Tools: what a model can call. A plain typed Python function is one."""

from __future__ import annotations

import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.errors import EnvironmentFault, FivestonesError, UsageError

ALLOWED = "str, int, float, bool, list[...], dict[str, ...], Literal, Enum, X | None, or a union of these"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")  # of the Model Context Protocol
LINE = re.compile(r"\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")  # `name (type): text` of a docstring
SECTION = re.compile(r"(?:Args|Arguments|Parameters|Returns|Return|Raises|Yields|Examples?|Notes?):\s*")

Read = Callable[[Any], Any]
"""The argument of a Python function from its JSON value, which fits the schema."""


class ToolError(Exception):
    """What a tool refuses: text for the model to recover from. Say what is available."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model can call. `call` raises ToolError for what the model can mend, EnvironmentFault when what
    the tool runs on failed."""

    name: str
    description: str
    parameters: Mapping[str, Any]  # JSON Schema of an object
    call: Callable[[Mapping[str, Any]], str]  # arguments that fit `parameters` -> text for the model

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"tool name {self.name!r}; allowed: letters, digits, '_', '-', '.' and '/', 128 at most"
            )

    @property
    def schema(self) -> dict[str, Any]:
        """As chat templates and OpenAI's interface take it."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def tool_of(function: Callable[..., Any]) -> Tool:
    """A function's signature and docstring (its first paragraph, its lines under `Args:`) as a tool.

    A result that is no text is given to the model as JSON. What the function raises is told to the model:
    ToolError by its text, another exception by its type and message. Raises UsageError for a parameter that
    JSON cannot carry.
    """
    name = getattr(function, "__name__", None)
    if name is None or not NAME.fullmatch(name) or inspect.iscoroutinefunction(function):
        raise UsageError(f"{function!r} is no tool; allowed: a plain function with a name, or a Tool")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(f"tool `{name}`: a type of its signature is unknown: {error}") from error
    description, lines = _documented(inspect.getdoc(function) or "")
    properties: dict[str, dict[str, Any]] = {}
    required: list[str] = []
    reads: dict[str, Read] = {}
    for parameter in inspect.signature(function).parameters.values():
        where = f"tool `{name}`, parameter `{parameter.name}`"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"{where}: {parameter.kind.description}; allowed: ones given by name")
        if parameter.name not in hints:
            raise UsageError(f"{where} has no type; allowed: {ALLOWED}")
        schema, read = _shape(hints[parameter.name], where)
        if read is not None:
            reads[parameter.name] = read
        if parameter.name in lines:
            schema = {**schema, "description": lines[parameter.name]}
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        else:
            default = (
                parameter.default.value if isinstance(parameter.default, enum.Enum) else parameter.default
            )
            if isinstance(default, str | int | float | bool):
                schema = {**schema, "default": default}
        properties[parameter.name] = schema
    parameters = {"type": "object", "properties": properties, "required": required}
    return Tool(name, description, parameters, _caller(function, reads))


def _caller(function: Callable[..., Any], reads: Mapping[str, Read]) -> Callable[[Mapping[str, Any]], str]:
    def call(arguments: Mapping[str, Any]) -> str:
        try:
            given = {k: reads[k](v) if k in reads else v for k, v in arguments.items()}
            result = function(**given)
            return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
        except (ToolError, EnvironmentFault, FivestonesError):
            raise
        except Exception as error:  # an integer that no float holds; the user's own: all data for the model
            raise ToolError(f"{type(error).__name__}: {error}") from error

    return call


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """The first paragraph in one line, and the text of each argument."""
    paragraph: list[str] = []
    lines: dict[str, str] = {}
    here, last, indent = "", "", 0
    for line in text.splitlines():
        if SECTION.fullmatch(line):
            here, last = line.strip().rstrip(":"), ""
        elif not here:
            if not line.strip() and paragraph:
                here = "body"
            elif line.strip():
                paragraph.append(line.strip())
        elif here in ("Args", "Arguments", "Parameters") and line.strip():
            depth = len(line) - len(line.lstrip())
            found = LINE.fullmatch(line)
            if found and (not last or depth <= indent):
                last, indent = found[1], depth
                lines[last] = found[2].strip()
            elif last:
                lines[last] = f"{lines[last]} {line.strip()}".strip()
    return " ".join(paragraph), lines


def _shape(annotation: Any, where: str) -> tuple[dict[str, Any], Read | None]:
    """(JSON Schema, how its values are read) of a type; no reader where the value is the argument."""
    plain = PLAIN.get(annotation) if isinstance(annotation, type) else None
    if plain is not None:
        return dict(plain[0]), plain[1]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choices([member.value for member in annotation], where), annotation
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        schema, read = _shape(parts[0], where)
        told = [note for note in parts[1:] if isinstance(note, str)]
        return ({**schema, "description": told[0]} if told else schema), read
    if origin is typing.Literal:
        return _choices(list(parts), where), None
    if origin in (list, dict) and not parts:  # typing.List
        return _shape(origin, where)
    if origin in (list, Sequence):
        items, read = _shape(parts[0], where)
        return {"type": "array", "items": items}, _each(read)
    if origin in (dict, Mapping) and parts[0] is str:
        values, read = _shape(parts[1], where)
        return {"type": "object", "additionalProperties": values}, _each_value(read)
    if origin in (typing.Union, types.UnionType):
        return _union(parts, where)
    shown = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    raise UsageError(f"{where} has type {shown or annotation}; allowed: {ALLOWED}")


PLAIN: Mapping[type, tuple[dict[str, Any], Read | None]] = {
    str: ({"type": "string"}, None),
    bool: ({"type": "boolean"}, None),
    int: ({"type": "integer"}, int),  # 5.0 is an integer of JSON Schema
    float: ({"type": "number"}, float),
    list: ({"type": "array"}, None),
    dict: ({"type": "object"}, None),
}


def _union(parts: Sequence[Any], where: str) -> tuple[dict[str, Any], Read | None]:
    """One type or null keeps its reader. Of several types the value is given as it is."""
    shapes = [_shape(part, where) for part in parts if part is not type(None)]
    null = type(None) in parts
    if len(shapes) == 1 and "type" in shapes[0][0]:
        schema, read = shapes[0]
        if "enum" in schema:
            schema = {**schema, "enum": [*schema["enum"], None]}
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return {**schema, "type": [*kinds, "null"]}, None if read is None else _unless_none(read)
    if any(read is not None and read not in (int, float) for _, read in shapes):
        raise UsageError(f"{where}: a union of types with an Enum or a container; allowed: {ALLOWED}")
    if all(schema.keys() == {"type"} for schema, _ in shapes):
        return {"type": [schema["type"] for schema, _ in shapes] + ["null"] * null}, None
    return {"anyOf": [schema for schema, _ in shapes] + [{"type": "null"}] * null}, None


def _choices(values: list[Any], where: str) -> dict[str, Any]:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    if not values or not all(type(value) in names for value in values):
        raise UsageError(f"{where}: choices {values!r}; allowed: text, numbers, true, false and null")
    kinds = list(dict.fromkeys(names[type(value)] for value in values))
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}


def _each(read: Read | None) -> Read | None:
    return None if read is None else lambda values: [read(value) for value in values]


def _each_value(read: Read | None) -> Read | None:
    return None if read is None else lambda values: {key: read(value) for key, value in values.items()}


def _unless_none(read: Read) -> Read:
    return lambda value: None if value is None else read(value)
