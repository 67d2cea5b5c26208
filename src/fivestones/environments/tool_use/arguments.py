"""Do arguments fit the JSON Schema of their tool? Says what to mend, in words for a small model.

A flat schema of plain types, which most tools have, is checked here in a microsecond; `jsonschema` checks the
others, and words what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, cast

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from fivestones.errors import UsageError, nearest

Check = Callable[[Mapping[str, Any]], str | None]
"""What is wrong with the arguments, or None."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
MOST = 16  # faults looked at
SHOWN = 8  # choices of an argument that a list of all arguments spells out
NOTES = frozenset({"title", "description", "default", "examples", "$schema"})  # check nothing
FLAT = frozenset({"type", "properties", "required", "additionalProperties"})
COMBINERS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if", "patternProperties"})


def check_of(tool: str, parameters: Mapping[str, Any]) -> Check:
    """The check of a tool's arguments. Without `additionalProperties`, a key the schema does not know is
    refused. Raises UsageError when `parameters` is no JSON Schema of an object."""
    closed = dict(parameters)
    try:
        Draft202012Validator.check_schema(closed)
    except SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise UsageError(
            f"tool `{tool}`: parameters{where} is not valid JSON Schema: {error.message}"
        ) from error
    if parameters.get("type", "object") != "object":
        raise UsageError(f"tool `{tool}`: parameters has type {parameters['type']!r}; allowed: 'object'")
    if not COMBINERS & parameters.keys():  # beside a combiner, closing would forbid the other branch's keys
        closed.setdefault("additionalProperties", False)
    # without a registry jsonschema fetches what a $ref names from the network
    validator = Draft202012Validator(closed, registry=Registry())
    flat = _flat(closed)

    def check(arguments: Mapping[str, Any]) -> str | None:
        if flat is not None and flat(arguments):
            return None
        try:
            errors = list(islice(validator.iter_errors(arguments), MOST))
        except (RecursionError, OverflowError):  # a recursive schema; an enormous number under `multipleOf`
            return "nested too deeply or a number is out of range"
        except Unresolvable as unknown:
            raise UsageError(f"tool `{tool}`: a $ref of its parameters leads nowhere: {unknown}") from unknown
        # an unknown name first: it is often the missing one, misspelt
        first = next(
            (e for e in errors if e.validator == "additionalProperties"), errors[0] if errors else None
        )
        return None if first is None else _words(first, closed)

    return check


def _flat(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool] | None:
    """Are the arguments surely right? None for a schema that this cannot tell of."""
    if not schema.keys() - NOTES <= FLAT or schema.get("additionalProperties") is not False:
        return None
    types: dict[str, tuple[type, ...]] = {}
    choices: dict[str, frozenset[Any]] = {}
    for name, part in schema.get("properties", {}).items():
        if not isinstance(part, Mapping) or not part.keys() - NOTES <= {"type", "enum"} or "type" not in part:
            return None
        kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
        types[name] = tuple(t for kind in kinds for t in TYPES[kind])
        if "enum" in part:
            if {list, dict} & {*types[name], *map(type, part["enum"])}:
                return None  # not hashable
            choices[name] = frozenset((type(choice), choice) for choice in part["enum"])
    required = frozenset(schema.get("required", ()))

    def fits(arguments: Mapping[str, Any]) -> bool:
        if not required <= arguments.keys():
            return False
        for name, value in arguments.items():
            kind = type(value)  # not isinstance: True is no integer
            if kind not in types.get(name, ()) or (name in choices and (kind, value) not in choices[name]):
                return False
        return True

    return fits


def _words(error: ValidationError, schema: Mapping[str, Any]) -> str:
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    kind, rule = str(error.validator), error.validator_value
    value: Any = error.instance
    if kind == "required" and isinstance(rule, list):
        missing = next(key for key in rule if key not in value)
        return (
            f"missing argument `{path}.{missing}`"
            if path
            else f"missing argument `{missing}`. {_all(schema)}"
        )
    if kind == "additionalProperties" and isinstance(error.schema, Mapping):
        known = list(error.schema.get("properties", {}))
        key = next((k for k in value if k not in known), "")
        where = f" in `{path}`" if path else ""
        rest = f" {_all(schema)}" if not path else f" Allowed: {', '.join(known)}"
        return f"unknown argument `{_shown(key)}`{where}.{nearest(key, known)}{rest}"
    where = f"argument `{path}`" if path else "the arguments"
    got = f"got {_shown(json.dumps(value, ensure_ascii=False))}"
    if kind == "type":
        return (
            f"{where} must be {rule if isinstance(rule, str) else ' or '.join(cast(list[str], rule))}; {got}"
        )
    if kind == "enum" and isinstance(rule, list):
        allowed = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in rule)
        hint = nearest(value, [c for c in rule if isinstance(c, str)]) if isinstance(value, str) else ""
        return f"{where} must be one of {allowed}; {got}.{hint}"
    if kind in ("anyOf", "oneOf", "not", "allOf"):
        return f"{where} fits no allowed form; {got}"
    return f"{where} breaks `{kind}: {_shown(json.dumps(rule, ensure_ascii=False))}`; {got}"


def _all(schema: Mapping[str, Any]) -> str:
    """Arguments: a (string), b (integer, optional)."""
    required = schema.get("required", ())
    named = [
        f"{name} ({_kind(part)}{'' if name in required else ', optional'})"
        for name, part in schema.get("properties", {}).items()
    ]
    return f"Arguments: {', '.join(named)}" if named else "It takes no arguments"


def _kind(part: Any) -> str:
    if not isinstance(part, Mapping):
        return "any"
    if 0 < len(part.get("enum", ())) <= SHOWN:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in part["enum"])
    kind = part.get("type", "any")
    return kind if isinstance(kind, str) else " or ".join(kind)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
