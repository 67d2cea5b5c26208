"""A JSON Schema that an output must fit token by token: closed, compact, and short enough to be finished.

"Guaranteed JSON" has a hole: a model can fill its token limit with white space or with one endless string. So
what the schema leaves unbounded is bounded here, from the tokens that an answer may have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fivestones.environments.json_gates import COMBINERS, NOT_EMPTY

CHARACTERS = 2.5  # a token, low: numbers and abbreviations have few
FEWEST = 8  # characters of a string, however small the limit
ITEMS = 8  # of a list without `maxItems`
WORDED = {"enum", "const", "pattern", "maxLength", "format"}  # strings that the schema bounds or shapes


def bounded_schema(schema: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """`schema` closed as the strict gate reads it, with room for `max_tokens` shared among its free strings:
    one line each that begins with no white space. Other rules stand."""
    free = max(1, sum(1 for _ in _free_strings(schema)))
    bound: dict[str, Any] = _bounded(schema, max(FEWEST, int(max_tokens * CHARACTERS / free)))
    return bound


def _bounded(schema: Any, characters: int) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    bound = {key: value for key, value in schema.items() if key not in ("title", "description", "default")}
    if "properties" in schema:
        bound["properties"] = {k: _bounded(child, characters) for k, child in schema["properties"].items()}
        if not COMBINERS & schema.keys():
            bound.setdefault("additionalProperties", False)
            bound.setdefault("required", list(schema["properties"]))
    if "items" in schema:
        bound["items"] = _bounded(schema["items"], characters)
        bound.setdefault("maxItems", ITEMS)
    if _is_free(schema):
        bound.pop("minLength", None)
        bound["pattern"] = rf"^\S.{{0,{characters - 1}}}$"
    return bound


def _is_free(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type", ())
    if "string" not in ([kinds] if isinstance(kinds, str) else kinds):
        return False
    shaped = WORDED & schema.keys()
    return not shaped or (shaped == {"pattern"} and schema["pattern"] == NOT_EMPTY)


def _free_strings(schema: Any) -> Iterator[Mapping[str, Any]]:
    """As many times as an answer may hold each."""
    if not isinstance(schema, Mapping):
        return
    if _is_free(schema):
        yield schema
    for child in (schema.get("properties") or {}).values():
        yield from _free_strings(child)
    for _ in range(schema.get("maxItems", ITEMS) if "items" in schema else 0):
        yield from _free_strings(schema["items"])
