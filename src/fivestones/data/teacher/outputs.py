"""Reference outputs for a user's own rows that lack one, under the job's own strict gate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from fivestones.data.store import Row
from fivestones.data.teacher.attempts import Piece, try_until_good
from fivestones.data.teacher.realiser import Told, cost_of
from fivestones.data.teacher.writer import Writer
from fivestones.errors import UsageError
from fivestones.recipe import StructuredPart
from fivestones.types import Message

Strict = Callable[[str], tuple[Mapping[str, Any] | None, str | None]]
"""The job's strict reading of an output: the object, or why it fails."""

PROVENANCE = "teacher"  # the column that says where a reference comes from


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row without a reference, and what the model is asked about it."""

    row: Row
    name: str  # for messages; unique
    prompt: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True)
class Output:
    """The piece: what the job asks of the small model, asked of the teacher. Implements `Piece[Case]`.

    form: how the server is held to the schema.
    """

    spec: StructuredPart
    strict: Strict
    form: Literal["schema", "json", "text"] = "schema"
    column: str = field(default="output", init=False)

    @cached_property
    def digest(self) -> str:
        said = [self.spec.instructions, self.spec.input, self.spec.output_schema, self.form]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def body(self, case: Case, faults: Sequence[str]) -> Mapping[str, Any]:
        schema = json.dumps(self.spec.output_schema, ensure_ascii=False)
        rule = f"The whole answer is one JSON object that fits this JSON Schema, and nothing else:\n{schema}"
        if faults:
            rule += "\n\nAn earlier answer was refused: " + "; ".join(faults) + "."
        own = [message for message in case.prompt if message.role == "system"]
        system = "\n\n".join([*(message.content for message in own), rule])
        asked = [{"role": m.role, "content": m.content} for m in case.prompt if m.role != "system"]
        body: dict[str, Any] = {"messages": [{"role": "system", "content": system}, *asked]}
        if self.form == "schema":
            shape = {"name": "output", "schema": self.spec.output_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif self.form == "json":
            body["response_format"] = {"type": "json_object"}
        return body

    def read(self, case: Case, text: str) -> tuple[str | None, Sequence[str]]:
        value, why = self.strict(text)
        if value is None:
            return None, (f"not the output asked for: {why}",)
        return json.dumps(value, ensure_ascii=False), ()


def lacks_reference(spec: StructuredPart, row: Row) -> bool:
    """Raises UsageError when the job has no place for one."""
    if spec.reference:
        return _empty(row.get(spec.reference))
    if spec.reference_fields:
        return all(_empty(row.get(column)) for column in spec.reference_fields.values())
    raise UsageError(
        "files.teacher writes reference outputs: name their place, environment.structured.reference "
        "(a column) or reference_fields (a column for each field)"
    )


def with_reference(spec: StructuredPart, row: Row, output: str, provenance: Mapping[str, Any]) -> Row:
    """The row with the output in its place. output: JSON text of the object."""
    if spec.reference:
        filled: Row = {spec.reference: output}
    else:
        value = json.loads(output)
        filled = {column: value.get(name) for name, column in spec.reference_fields.items()}
    return {**row, **filled, PROVENANCE: json.dumps(provenance, ensure_ascii=False)}


def tell_output(
    writer: Writer, piece: Piece[Case], case: Case, *, spec: StructuredPart, attempts: int, seed: int
) -> Told:
    """The row with its reference, or without a row when no attempt passed, and how it went."""
    tried = try_until_good(writer, piece, case, name=f"{case.name} {seed}", most=attempts)
    row = None
    replies = [attempt.reply for attempt in tried.attempts if attempt.reply]
    if tried.value is not None:
        last = tried.attempts[-1]
        assert last.reply is not None
        told = {
            "model": writer.model,
            **cost_of(replies),
            "endpoint": last.reply.endpoint,
            "prompt": piece.digest,
            "attempt": last.number,
        }
        row = with_reference(spec, case.row, tried.value, told)
    seconds = sum(reply.seconds for reply in replies)
    return Told(row=row, draft=case.row, attempts=tried.attempts, seconds=seconds)


def _empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
