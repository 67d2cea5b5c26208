"""Guesses what a table is for: what goes in, what comes out, and how each part of it can be judged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.errors import DataError, UsageError, nearest

Row = Mapping[str, Any]

MAX_LABELS = 30  # more distinct values than this are text, not labels
LABEL_REPEATS = 3  # a label occurs at least so often on average
LABEL_CHARS = 60
PROSE_WORDS = 12  # median words from which a text reads like prose
LONG_PROSE_WORDS = 40  # or so many in one text of ten
NULLABLE = 0.05  # share of rows without a value from which the field may be null
# Columns named so are about the row, not about its content.
ASIDE = frozenset(
    {
        "id",
        "uuid",
        "guid",
        "index",
        "row",
        "split",
        "fold",
        "seed",
        "url",
        "link",
        "source",
        "file",
        "filename",
    }
    | {"path", "timestamp", "provenance", "signature", "hash", "license", "lang", "language"}
)
GROUPS = frozenset(
    {"cluster", "group", "patient", "customer", "company", "account", "author", "encounter", "case"}
    | {"document", "doc"}
)
INPUT_WORDS = (
    "input",
    "prompt",
    "question",
    "dialog",
    "conversation",
    "transcript",
    "message",
    "ticket",
    "body",
)
OUTPUT_WORDS = ("output", "answer", "summary", "note", "response", "target", "label", "completion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One field of the output object."""

    field: str
    schema: Mapping[str, Any]
    kind: str  # of its criterion: exact, overlap or facts
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    inputs: tuple[str, ...]
    outputs: tuple[Output, ...]
    reference: str | None  # the column that holds whole output objects, if one does
    required: tuple[str, ...]  # fields that every output has
    cluster: str | None
    tags: tuple[str, ...]
    left_out: Mapping[str, str]  # column -> why it has no part


def guess(rows: Sequence[Row], inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> Plan:
    """The plan for a table. `inputs`, `outputs`: columns that the user named; the rest is guessed.

    Raises UsageError for a named column that does not exist, DataError when no input or output can be found.
    """
    columns = {
        name: [row.get(name) for row in rows] for name in dict.fromkeys(key for row in rows for key in row)
    }
    for name in (*inputs, *outputs):
        if name not in columns:
            raise UsageError(
                f"there is no column `{name}`; there are: {', '.join(columns)}.{nearest(name, columns)}"
            )
    left_out = {
        name: why
        for name, values in columns.items()
        if name not in (*inputs, *outputs) and (why := _aside(name, values))
    }
    free = [name for name in columns if name not in left_out]
    objects = [name for name in free if name not in inputs and decoded_objects(columns[name]) is not None]
    if not inputs:
        inputs = [_input([n for n in free if n not in outputs and n not in objects], columns)]
    cluster = next((name for name in columns if _is_cluster(name, columns[name], (*inputs, *outputs))), None)
    left_out.pop(cluster or "", None)
    reference = None
    if not outputs:
        outputs = objects[:1] or [name for name in free if name not in inputs and name != cluster]
    if not outputs:
        raise DataError(
            f"no output column: `{inputs[0]}` is the input and the others have no part "
            f"({'; '.join(f'{name}: {why}' for name, why in left_out.items()) or 'there are none'}); "
            "name one with --output"
        )
    if len(outputs) == 1 and (items := decoded_objects(columns[outputs[0]])) is not None:
        reference = outputs[0]
        fields, required = object_fields(items)
    else:
        fields = [guess_field(name, columns[name]) for name in outputs]
        required = tuple(outputs)
    used = {*inputs, *outputs, cluster}
    left_out |= {name: "not part of the output column" for name in free if name not in used}
    labels = (
        () if reference else tuple(f.field for f in fields if "enum" in f.schema and f.kind == "exact")[:1]
    )
    return Plan(
        inputs=tuple(inputs),
        outputs=tuple(fields),
        reference=reference,
        required=required,
        cluster=cluster,
        tags=labels,
        left_out=left_out,
    )


def decoded_objects(values: Sequence[object]) -> list[dict[str, Any]] | None:
    """The objects in a column of objects or of their JSON text; None when it is another kind of column."""
    items: list[dict[str, Any]] = []
    for value in values:
        if is_empty(value):
            continue
        if isinstance(value, str):
            if not value.lstrip().startswith("{"):
                return None
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        if not isinstance(value, dict):
            return None
        items.append(value)
    return items or None


def object_fields(items: Sequence[Mapping[str, Any]]) -> tuple[list[Output], tuple[str, ...]]:
    """The fields of a column of objects, and those that every object has."""
    keys = list(dict.fromkeys(key for item in items for key in item))
    fields = [guess_field(key, [item[key] for item in items if key in item], mixed=True) for key in keys]
    return fields, tuple(key for key in keys if all(key in item for item in items))


def guess_field(name: str, values: Sequence[object], mixed: bool = False) -> Output:
    """Schema and criterion of one field. `mixed`: values of several types keep them, else become text."""
    filled = [value for value in values if not is_empty(value)]
    nulls = sum(value is None for value in values)
    nullable = nulls >= max(1, NULLABLE * len(values))
    schema, kind, why = _describe(filled, mixed)
    if nullable:
        schema = {**schema, "type": [schema["type"], "null"] if "type" in schema else None}
        schema = {key: value for key, value in schema.items() if value is not None}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        kind = "overlap" if kind == "facts" else kind
        why += f", null in {nulls} of {len(values)} rows"
    return Output(field=name, schema=schema, kind=kind, why=why)


def is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _describe(values: Sequence[Any], mixed: bool) -> tuple[dict[str, Any], str, str]:
    types = {_type(value) for value in values}
    if types == {"integer", "number"}:
        types = {"number"}
    if not types:
        return {"type": "string"}, "overlap", "no value seen"
    if types == {"string"}:
        return _text([str(value) for value in values])
    if len(types) > 1:
        if mixed:
            return {"type": sorted(types)}, "exact", "values of several types"
        return _text(
            [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]
        )
    kind = types.pop()
    if kind == "array":
        return _array([item for value in values for item in value])
    if kind == "object":
        fields, required = object_fields(values)
        properties = {field.field: dict(field.schema) for field in fields}
        return (
            {"type": "object", "properties": properties, "required": list(required)},
            "overlap",
            "an object",
        )
    return {"type": kind}, "exact", {"boolean": "yes or no"}.get(kind, f"a number ({kind})")


def _type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "string"  # dates and decimals too: the environment writes them out


def _text(values: Sequence[str]) -> tuple[dict[str, Any], str, str]:
    labels = _labels(values)
    if labels:
        return {"type": "string", "enum": labels}, "exact", f"{len(labels)} labels"
    words = sorted(len(value.split()) for value in values)
    median, long = words[len(words) // 2], words[int(0.9 * (len(words) - 1))]
    if median >= PROSE_WORDS or long >= LONG_PROSE_WORDS:
        return (
            {"type": "string"},
            "facts",
            f"prose, {median} words in the middle, {long} in the longest tenth",
        )
    return {"type": "string"}, "overlap", f"short text, {median} words in the middle"


def _array(items: Sequence[Any]) -> tuple[dict[str, Any], str, str]:
    if items and all(isinstance(item, str) for item in items):
        labels = _labels(items)
        if labels:
            return {"type": "array", "items": {"type": "string", "enum": labels}}, "exact", "a list of labels"
        return {"type": "array", "items": {"type": "string"}}, "overlap", "a list of texts"
    types = sorted({_type(item) for item in items})
    inner = {"type": types[0]} if len(types) == 1 else {}
    return {"type": "array", "items": inner}, "overlap", "a list"


def _labels(values: Sequence[str]) -> list[str]:
    """The distinct values, the most frequent first, when they look like labels; else []."""
    counts = Counter(values)
    few = len(counts) <= MAX_LABELS and len(counts) * LABEL_REPEATS <= len(values)
    if not few or any(len(value) > LABEL_CHARS for value in counts):
        return []
    return sorted(counts, key=lambda value: (-counts[value], value))


def _aside(name: str, values: Sequence[object]) -> str:
    """Why a column has no part in the job; '' when it may have."""
    filled = [value for value in values if not is_empty(value)]
    if not filled:
        return "empty"
    if name.lower() == "facts":
        return "facts for the judge"
    if name.lower() in ASIDE or name.lower().endswith(("_id", "_at")):
        return "by its name not content"
    texts = {json.dumps(value, sort_keys=True, default=str) for value in filled}
    if len(texts) == 1 and len(filled) == len(values) > 1:
        return "the same in every row"
    short = all(isinstance(v, int) or (isinstance(v, str) and len(v) <= 40 and " " not in v) for v in filled)
    if short and len(texts) == len(filled) > 10:
        return "looks like an id: short and different in every row"
    return ""


def _input(names: Sequence[str], columns: Mapping[str, Sequence[object]]) -> str:
    texts = [name for name in names if any(isinstance(value, str) for value in columns[name])]
    if not texts:
        raise DataError(f"no text column to read from; columns: {', '.join(columns)}; name one with --input")

    def size(name: str) -> float:
        lengths = sorted(len(value) for value in columns[name] if isinstance(value, str))
        lower = name.lower()
        likely = 4.0 if any(word in lower for word in INPUT_WORDS) else 1.0
        unlikely = 2.0 if any(word in lower for word in OUTPUT_WORDS) else 1.0
        return lengths[len(lengths) // 2] * likely / unlikely

    return max(texts, key=size)


def _is_cluster(name: str, values: Sequence[object], used: Sequence[str]) -> bool:
    distinct = len({str(value) for value in values})
    stem = name.lower().removesuffix("_id").removesuffix("_name")
    return (
        stem in GROUPS
        and name not in used
        and 10 <= distinct < len(values)
        and not any(map(is_empty, values))
    )
