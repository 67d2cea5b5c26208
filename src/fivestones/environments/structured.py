"""A job without code: rows of data, a JSON Schema and a rubric. Clinical notes are one instance of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from fivestones.environments.json_gates import (
    lenient_validator,
    parse_lenient,
    parse_strict,
    schema_error,
    strict_validator,
)
from fivestones.errors import DataError, UsageError, nearest
from fivestones.protocols import Gate
from fivestones.recipe import StructuredPart
from fivestones.types import Message, Rollout, Split, Task

Row = Mapping[str, Any]

# {column}; {{column}} stands for the literal text {column}. Other braces, as in an example of JSON, are text.
PLACEHOLDER = re.compile(r"\{\{([^\W\d][\w .\-/]*)\}\}|\{([^\W\d][\w .\-/]*)\}")


class StructuredEnvironment:
    """protocols.Environment over rows.

    A task's id is the row's `id` (else `<split>-<index>`); its prompt is `spec.instructions` as the system
    message and `spec.input` with the row's columns filled in as the user message. `Task.reference` holds
    `source` (the rendered user message), `output` (the reference object, where the row has one) and `facts`
    (list of Fact dicts, where the row has a column `facts`).

    sources: where each split's rows came from, for messages.
    All rows are checked here. Raises UsageError when the spec is at fault, DataError when rows are.
    """

    gates: Mapping[str, Gate]

    def __init__(
        self,
        spec: StructuredPart,
        rows: Mapping[Split, Sequence[Row]],
        sources: Mapping[Split, str] | None = None,
    ) -> None:
        self.spec = spec
        self.fields: tuple[str, ...] = tuple(spec.output_schema.get("properties") or ())
        self._strict = strict_validator(spec.output_schema)
        self._lenient = lenient_validator(spec.output_schema)
        self._columns = _columns(spec)
        self._check_spec()
        self.gates = {"json": self._gate}
        self._tasks: dict[Split, tuple[Task, ...]] = {}
        for split, part in rows.items():
            self._tasks[split] = self._build(split, part, (sources or {}).get(split, f"the {split} rows"))

    def tasks(self, split: Split) -> Iterable[Task]:
        """Tasks in the order of the rows; none when the split was not given."""
        return self._tasks.get(split, ())

    def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
        """One turn: nothing answers the policy."""
        return ()

    def parse(self, text: str) -> dict[str, Any] | None:
        """The output object under the strict reading."""
        return parse_strict(text, self._strict)[0]

    def lenient(self, text: str) -> dict[str, Any] | None:
        """The output object under the lenient reading: reported, never rewarded."""
        return parse_lenient(text, self._lenient)

    def reference_text(self, task: Task) -> str:
        """What imitation trains on: the reference output as compact JSON, keys in the order of the schema."""
        output = task.reference.get("output")
        if output is None:
            raise DataError(f"task {task.id} has no reference output to imitate")
        ordered = _in_order(output, self.spec.output_schema)
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))

    def faults(self, rows: Sequence[Row]) -> list[tuple[int, str]]:
        """Index and fault of each row that could not be a task."""
        return self._read("row", rows)[1]

    def _gate(self, task: Task, rollout: Rollout) -> str | None:
        if rollout.finish == "length":
            return "truncated: max_tokens ended before the output did"
        return parse_strict(rollout.answer, self._strict)[1]

    def _check_spec(self) -> None:
        for part in self.spec.criteria:
            if part.field not in self.fields:
                raise UsageError(_unknown("criterion field", part.field, self.fields))
        for field in self.spec.reference_fields:
            if field not in self.fields:
                raise UsageError(_unknown("reference_fields key", field, self.fields))
        if self.spec.reference and self.spec.reference_fields:
            raise UsageError("give `reference` or `reference_fields`, not both")
        if not any(column for _, column in PLACEHOLDER.findall(self.spec.input)):
            raise UsageError(f"input names no column, got {self.spec.input!r}; write for example '{{text}}'")

    def _build(self, split: Split, rows: Sequence[Row], source: str) -> tuple[Task, ...]:
        tasks, bad = self._read(split, rows)
        if bad:
            index, fault = bad[0]
            raise DataError(
                f"{source}: {len(bad)} of {len(rows)} rows are unfit; first row {index + 1}: {fault}"
            )
        return tuple(tasks)

    def _read(self, prefix: str, rows: Sequence[Row]) -> tuple[list[Task], list[tuple[int, str]]]:
        tasks: list[Task] = []
        bad: list[tuple[int, str]] = []
        seen: dict[str, int] = {}
        for index, row in enumerate(rows):
            try:
                task = self._task(row, f"{prefix}-{index}")
            except _Unfit as unfit:
                bad.append((index, str(unfit)))
                continue
            if task.id in seen:
                bad.append((index, f"id {task.id!r} was already used by row {seen[task.id] + 1}"))
            else:
                seen[task.id] = index
                tasks.append(task)
        return tasks, bad

    def _task(self, row: Row, default_id: str) -> Task:
        for column in self._columns:
            if column not in row:
                raise _Unfit(_unknown("column", column, row))
        source = self._render(row)
        reference: dict[str, Any] = {"source": source}
        output = self._output(row)
        if output is not None:
            reference["output"] = output
        if row.get("facts") is not None:
            reference["facts"] = _facts(row["facts"])
        task_id = default_id if row.get("id") is None else str(row["id"])
        prompt = (Message("system", self.spec.instructions), Message("user", source))
        return Task(
            id=task_id,
            prompt=prompt if self.spec.instructions else prompt[1:],
            reference=reference,
            cluster=task_id if self.spec.cluster is None else _text(row[self.spec.cluster]),
            tags={tag: _text(row[tag]) for tag in self.spec.tags},
        )

    def _render(self, row: Row) -> str:
        def fill(match: re.Match[str]) -> str:
            literal, column = match.groups()
            if literal:
                return f"{{{literal}}}"
            if row[column] is None or (isinstance(row[column], str) and not row[column].strip()):
                raise _Unfit(f"column `{column}` is empty")
            return _text(row[column])

        # One pass over the template: braces inside the data are never read again.
        text = PLACEHOLDER.sub(fill, self.spec.input)
        _encodable(text, "the prompt")
        return text

    def _output(self, row: Row) -> dict[str, Any] | None:
        """The reference output; None where the row has none and no criterion needs one."""
        if self.spec.reference:
            where = f"column `{self.spec.reference}`"
            output = _decoded(row[self.spec.reference], where)
        elif self.spec.reference_fields:
            where = "the reference"
            output = self._assembled(row)
        else:
            where, output = "the reference", None
        if output is None:
            needing = [part.field for part in self.spec.criteria if part.kind != "facts"]
            if needing:
                raise _Unfit(f"no reference output, which the criteria of {', '.join(needing)} compare with")
            return None
        reason = schema_error(output, self._strict)
        if reason:
            raise _Unfit(f"{where} does not fit output_schema: {reason}")
        _encodable(json.dumps(output, ensure_ascii=False), where)
        return dict(output)

    def _assembled(self, row: Row) -> dict[str, Any] | None:
        values = {field: row[column] for field, column in self.spec.reference_fields.items()}
        if all(value is None for value in values.values()) and schema_error(values, self._strict):
            return None  # not an object of nulls, where the schema allows them
        schemas = self.spec.output_schema["properties"]
        required = self.spec.output_schema.get("required", self.fields)
        return {
            field: _typed(value, schemas[field])
            for field, value in values.items()
            if value is not None or field in required
        }


class _Unfit(Exception):
    """One row's fault."""


def _columns(spec: StructuredPart) -> tuple[str, ...]:
    named = [column for _, column in PLACEHOLDER.findall(spec.input) if column]
    named += [column for column in (spec.reference, spec.cluster) if column]
    return tuple(dict.fromkeys([*named, *spec.reference_fields.values(), *spec.tags]))


def _unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    return f"there is no {what} `{name}`; there are: {', '.join(names)}.{nearest(name, names)}"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list | dict | bool | int | float):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)  # dates and decimals of Parquet files


def _encodable(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _Unfit(f"{where} holds a lone surrogate, which is not text") from error


def _decoded(value: object, where: str) -> Any:
    """A value, or the value that its JSON text says; None when there is none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError) as error:
        raise _Unfit(f"{where} is not JSON: {error}") from error


def _typed(value: object, schema: Mapping[str, Any]) -> object:
    """A cell as the type that its field wants: text of numbers, booleans and lists is read as JSON (CSV)."""
    wanted = schema.get("type")
    if isinstance(value, str) and wanted in ("integer", "number", "boolean", "array", "object"):
        try:
            return json.loads(value.strip().lower() if wanted == "boolean" else value)
        except (ValueError, RecursionError):
            return value  # the schema check names the field
    if wanted == "string" and value is not None and not isinstance(value, str):
        return _text(value)
    return value


def _facts(value: object) -> list[dict[str, Any]]:
    facts = _decoded(value, "column `facts`")
    if not isinstance(facts, list) or not all(
        isinstance(fact, dict) and {"section", "concept"} <= fact.keys() for fact in facts
    ):
        raise _Unfit(
            "column `facts` must be a list of facts (objects with at least `section` and `concept`); "
            "rename the column if it is something else"
        )
    return facts


def _in_order(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict) and isinstance(schema.get("properties"), Mapping):
        known = schema["properties"]
        keys: Iterator[str] = (key for key in (*known, *(k for k in value if k not in known)) if key in value)
        return {key: _in_order(value[key], known.get(key) or {}) for key in keys}
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return list(map(partial(_in_order, schema=schema["items"]), value))
    return value
