"""Pydantic's complaints about a recipe, in one message: what, where, got, allowed, nearest valid name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from fivestones.errors import nearest
from fivestones.recipe import Recipe

Schema = Mapping[str, Any]


def explain(error: ValidationError, tree: Mapping[str, Any], origin: str) -> str:
    """`tree` is what was validated; `origin` names the recipe."""
    lines = list(dict.fromkeys(_line(e["type"], e["loc"], e["msg"], tree) for e in error.errors()))
    if len(lines) == 1:
        return f"{origin}: {lines[0]}"
    return f"{origin}: {len(lines)} problems\n" + "\n".join(f"  {line}" for line in lines)


def _line(kind: str, loc: tuple[int | str, ...], message: str, tree: Mapping[str, Any]) -> str:
    where = ".".join(map(str, loc))
    if kind == "extra_forbidden":
        *parents, name = loc
        allowed = list(_properties(_schema_at(tuple(parents))))
        return f"{where}: unknown key.{_suggest(str(name), allowed)} Allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: missing; needed: {_described(_schema_at(loc))}"
    if kind == "value_error":
        return where + ": " * bool(loc) + message.removeprefix("Value error, ")
    described = _described(_schema_at(loc))
    got = _value_at(tree, loc)
    choices = _schema_at(loc).get("enum")
    hint = nearest(str(got), [str(c) for c in choices]) if choices else ""
    if isinstance(got, int | float) and described.startswith("text"):
        hint = " Quote a number that is meant as text."
    return f"{where}: got {got!r}; allowed: {described}.{hint}"


def _suggest(name: str, allowed: list[str]) -> str:
    """The places elsewhere that have this very key, or else the nearest key here."""
    elsewhere = [path for path in _all_paths() if path.rpartition(".")[2] == name]
    if elsewhere:
        return " Did you mean " + " or ".join(f"`{path}`" for path in elsewhere[:3]) + "?"
    return nearest(name, allowed)


@functools.cache
def _root() -> Schema:
    return Recipe.model_json_schema()


def _resolved(node: Schema) -> Schema:
    """Follows `$ref`, and takes the one alternative of `anyOf` that is not null."""
    while True:
        if "$ref" in node:
            node = _root()["$defs"][node["$ref"].rpartition("/")[2]]
        elif "anyOf" in node:
            node = next(option for option in node["anyOf"] if option.get("type") != "null")
        else:
            return node


def _schema_at(loc: tuple[int | str, ...]) -> Schema:
    """The schema of the value at `loc`; {} where the recipe does not say."""
    node: Schema = _resolved(_root())
    for part in loc:
        if isinstance(part, int):
            below = node.get("items")
        else:
            below = node.get("properties", {}).get(part, node.get("additionalProperties"))
        if not isinstance(below, Mapping):
            return {}
        node = _resolved(below)
    return node


def _properties(node: Schema) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = node.get("properties", {})
    return properties


def _all_paths() -> Iterator[str]:
    def walk(node: Schema, prefix: str) -> Iterator[str]:
        for name, below in _properties(node).items():
            yield prefix + name
            yield from walk(_resolved(below), f"{prefix}{name}.")

    return walk(_root(), "")


def _described(node: Schema) -> str:
    if "enum" in node:
        return " | ".join(str(choice) for choice in node["enum"])
    if "const" in node:
        return str(node["const"])
    match node.get("type"):
        case "object" if "properties" in node:
            return f"a section with {', '.join(node['properties'])}"
        case "object":
            return "a mapping"
        case "array":
            items = node.get("items")
            few = f"at least {node['minItems']} of " if "minItems" in node else ""
            return f"a list of {few}{_described(_resolved(items))}" if items else "a list"
        case "boolean":
            return "true or false"
        case "string" if node.get("format") == "path":
            return "a path"
        case "string":
            pattern = f" matching {node['pattern']}" if "pattern" in node else ""
            return "text" + pattern + ", not empty" * ("minLength" in node)
        case "integer" | "number" as kind:
            bounds = [
                f"{word} {node[key]:g}"
                for key, word in (
                    ("minimum", "at least"),
                    ("exclusiveMinimum", "above"),
                    ("maximum", "at most"),
                    ("exclusiveMaximum", "below"),
                )
                if key in node
            ]
            return ("an integer" if kind == "integer" else "a number") + (" " + ", ".join(bounds)) * bool(
                bounds
            )
        case _:
            return "another value"


def _value_at(tree: Any, loc: tuple[int | str, ...]) -> Any:
    for part in loc:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
