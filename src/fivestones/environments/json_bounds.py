"""A JSON Schema that an output must fit token by token: closed, compact, and short enough to be finished.

"Guaranteed JSON" has a hole: a model can fill its token limit with white space or with one endless string.
So what the schema leaves unbounded is bounded here, from the characters that an answer may have: strings,
lists and whole numbers. Left alone: other numbers, keys of `additionalProperties`, and strings with a
`pattern`, `format` or `maxLength` of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fivestones.environments.json_gates import COMBINERS, NOT_EMPTY

CHOICES = ("allOf", "anyOf", "oneOf")
FEWEST = 8  # characters of a string, however small the limit
ITEMS = 8  # of a list without `maxItems`
LARGEST = 10**9  # of a whole number without `minimum` or `maximum`
DIGITS = 10  # characters of a number
SHAPED = {"enum", "const", "pattern", "maxLength", "format"}  # strings that the schema bounds or shapes


def bounded_schema(schema: Mapping[str, Any], characters: int) -> dict[str, Any]:
    """`schema` closed as the strict gate reads it; of the `characters` that an answer may have, what keys,
    quotes and numbers leave is shared among its free strings: one line each that begins with no white
    space."""
    free, fixed = _size(schema)
    bound: dict[str, Any] = _bounded(schema, max(FEWEST, (characters - fixed) // max(1, free)))
    return bound


def _bounded(schema: Any, characters: int) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    bound = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
    for key in ("properties", "$defs", "definitions"):
        if key in schema:
            bound[key] = {k: _bounded(child, characters) for k, child in schema[key].items()}
    for key in CHOICES:
        if key in schema:
            bound[key] = [_bounded(child, characters) for child in schema[key]]
    if "properties" in schema and not COMBINERS & schema.keys():
        bound.setdefault("additionalProperties", False)
        bound.setdefault("required", list(schema["properties"]))
    if "items" in schema:
        bound["items"] = _bounded(schema["items"], characters)
        bound["maxItems"] = _most_items(schema)
    if schema.get("type") == "integer" and not {"enum", "const"} & schema.keys():
        bound.setdefault("minimum", -LARGEST)
        bound.setdefault("maximum", LARGEST)
    if _is_free(schema):
        low = max(1, bound.pop("minLength", 1))
        bound["pattern"] = rf"^\S.{{{low - 1},{max(low, characters) - 1}}}$"
    return bound


def _is_free(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", ())
    if "string" not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    shaped = SHAPED & schema.keys()
    return not shaped or (shaped == {"pattern"} and schema["pattern"] == NOT_EMPTY)


def _most_items(schema: Mapping[str, Any]) -> int:
    return int(schema.get("maxItems", max(ITEMS, schema.get("minItems", 0))))


def _size(schema: Any) -> tuple[int, int]:
    """(free strings, characters of all else) that a long answer has; of alternatives the longest."""
    if not isinstance(schema, Mapping):
        return 0, DIGITS
    if _is_free(schema):
        return 1, 2
    if choices := schema.get("enum"):
        return 0, max(len(str(choice)) for choice in choices) + 2
    free, fixed = 0, min(int(schema.get("maxLength", DIGITS)), 1000)
    if "properties" in schema:
        fixed = 2
        for name, child in schema["properties"].items():
            inner = _size(child)
            free, fixed = free + inner[0], fixed + inner[1] + len(name) + 4
    if "items" in schema:
        count = _most_items(schema)
        inner = _size(schema["items"])
        free, fixed = free + count * inner[0], fixed + count * (inner[1] + 1) + 2
    for key in CHOICES:
        sizes = [_size(child) for child in schema.get(key, ())]
        if sizes:
            free, fixed = free + max(s[0] for s in sizes), fixed + max(s[1] for s in sizes)
    return free, fixed
