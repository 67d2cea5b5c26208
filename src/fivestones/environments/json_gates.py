"""Is an output the JSON object that was asked for? Strict is rewarded, lenient only reported.

Strict: the *whole* output is one JSON object (JSON white space around it allowed), without a duplicate key at
any depth, without NaN or Infinity, with exactly the keys of the schema, of the right types, and without an
empty string. Lenient (what published "JSON compliance" often means): an object anywhere in the output,
between prose or code fences, the last of duplicate keys wins, further keys and empty strings pass.

Neither raises on any text a model can write. Reasons name fields of the schema and never quote the output, so
that they can be counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from fivestones.errors import UsageError

MAX_DEPTH = 32  # deeper values would make later recursive readers (json.dumps, asdict) fail
MAX_CANDIDATES = 64  # braces at which the lenient reading starts; bounds its cost
NOT_EMPTY = r"\S"
COMBINERS = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "if"})
SPACE = " \t\n\r"  # JSON's own white space


def strict_validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Validator of the strict reading.

    What the schema leaves open is closed: objects with `properties` take no further key and, where no
    `required` is given, need every key; strings hold something besides white space unless `minLength`,
    `pattern`, `enum` or `const` is given. What the schema states explicitly stands. Raises UsageError when
    the schema is not a valid JSON Schema of an object with properties.
    """
    _check(schema)
    return _validator(_closed(schema))


def lenient_validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Validator of the lenient reading: the required keys with the right types, nothing more."""
    _check(schema)
    return _validator(_opened(schema))


def parse_strict(text: str, validator: Draft202012Validator) -> tuple[dict[str, Any] | None, str | None]:
    """The object, or why the output fails; the other is None. `validator`: of `strict_validator`."""
    body = text.strip(SPACE)
    if not body:
        return None, "empty output"
    if not body.startswith("{"):
        return None, "the output does not begin with a JSON object"
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except _Refused as error:
        return None, str(error)
    except json.JSONDecodeError as error:
        return None, "text after the JSON object" if error.msg == "Extra data" else "not valid JSON"
    except RecursionError:
        return None, "nested too deeply"
    except ValueError:  # an integer beyond Python's digit limit
        return None, "a number is out of range"
    reason = _unfit(value) or schema_error(value, validator)
    return (None, reason) if reason else (value, None)


def parse_lenient(text: str, validator: Draft202012Validator) -> dict[str, Any] | None:
    """The first object in the text with the required keys and types. `validator`: of `lenient_validator`."""
    decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, strict=False)
    start = text.find("{")
    for _ in range(MAX_CANDIDATES):
        if start < 0:
            return None
        end = start + 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and _unfit(value) is None and schema_error(value, validator) is None:
            return value
        start = text.find("{", end)
    return None


def schema_error(value: object, validator: Draft202012Validator) -> str | None:
    """The first way in which `value` breaks the schema, naming its field; None when it is valid."""
    try:
        error = next(validator.iter_errors(value), None)
    except (RecursionError, OverflowError):  # a recursive schema; an enormous number under `multipleOf`
        return "nested too deeply or a number is out of range"
    return None if error is None else _words(error)


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    # without a registry jsonschema fetches what a $ref names from the network
    return Draft202012Validator(schema, registry=Registry())


def _check(schema: Mapping[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise UsageError(f"output_schema{where} is not valid JSON Schema: {error.message}") from error
    if schema.get("type", "object") != "object" or not schema.get("properties"):
        raise UsageError(
            f"output_schema must describe one object: `type: object` with `properties`; got type "
            f"{schema.get('type')!r} with {len(schema.get('properties') or {})} properties"
        )
    resource = DRAFT202012.create_resource(dict(schema))
    _check_references(resource, Registry().resolver_with_root(resource))


def _check_references(resource: Resource[Any], resolver: Any) -> None:
    """UsageError for a reference that leads to no schema: before training, not in the middle of it."""
    for key in ("$ref", "$dynamicRef"):
        if not isinstance(resource.contents, Mapping) or key not in resource.contents:
            continue
        reference = resource.contents[key]
        try:
            found = resolver.lookup(reference).contents
        except (Unresolvable, ValueError):  # ValueError: not a URI
            found = None
        if not isinstance(found, Mapping | bool):
            raise UsageError(
                f"output_schema: {key} {reference!r} leads to no schema; allowed: one within this schema, "
                "such as '#/$defs/name' (nothing is fetched from the network)"
            )
    for part in resource.subresources():
        _check_references(part, resolver.in_subresource(part))


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {key: _closed(child) for key, child in schema["properties"].items()}
        if not COMBINERS & schema.keys():  # beside a combiner, closing would forbid the other branch's keys
            closed.setdefault("additionalProperties", False)
            closed.setdefault("required", list(schema["properties"]))
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    if not {"minLength", "enum", "const", "pattern"} & schema.keys():
        closed["pattern"] = NOT_EMPTY  # binds strings only
    return closed


def _opened(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    opened: dict[str, Any] = {"type": schema["type"]} if "type" in schema else {}
    if "properties" in schema:
        opened["properties"] = {key: _opened(child) for key, child in schema["properties"].items()}
        opened["required"] = list(schema.get("required", schema["properties"]))
    if "items" in schema:
        opened["items"] = _opened(schema["items"])
    return opened


class _Refused(ValueError):
    """JSON that Python would read and the gate refuses; the message is the reason."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise _Refused("duplicate key")
    return read


def _no_constant(name: str) -> NoReturn:
    raise _Refused("NaN or Infinity is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):  # 1e999
        raise _Refused("a number is out of range")
    return number


def _unfit(value: object) -> str | None:
    """Why no later stage could handle the value: its depth, or text that has no UTF-8 form."""
    for leaf, depth in _walk(value):
        if depth > MAX_DEPTH:
            return "nested too deeply"
        if isinstance(leaf, str) and _SURROGATE.search(leaf):
            return "a lone surrogate is not text"
    return None


_SURROGATE = re.compile("[\ud800-\udfff]")


def _walk(value: object) -> Iterator[tuple[object, int]]:
    """Every value and key with its depth, without recursion."""
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        yield item, depth
        if depth > MAX_DEPTH:
            continue
        if isinstance(item, dict):
            stack.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            stack.extend((part, depth + 1) for part in item)


def _words(error: ValidationError) -> str:
    path = "".join("[]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    where = f"`{path}`" if path else "the object"
    kind, rule = str(error.validator), cast(Any, error.validator_value)
    if kind == "required":
        missing = next(key for key in rule if key not in cast(Any, error.instance))
        return f"missing key `{path}.{missing}`" if path else f"missing key `{missing}`"
    if kind == "additionalProperties":
        return f"unknown key in {where}"
    if kind == "type":
        return f"{where} must be {rule if isinstance(rule, str) else ' or '.join(rule)}"
    if kind == "pattern" and rule == NOT_EMPTY:
        return f"{where} is an empty string"
    if kind in ("enum", "const"):
        return f"{where} is not an allowed value"
    return f"{where} breaks `{kind}`"
