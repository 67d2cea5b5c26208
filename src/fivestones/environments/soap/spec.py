"""The clinical-notes job as an instance of "JSON Schema + rubric"."""

from __future__ import annotations

from typing import Any

from fivestones.recipe import CriterionPart, StructuredPart

SECTIONS = ("S", "O", "A", "P")
INSTRUCTIONS = (
    "Write the clinical note of this visit as one JSON object with exactly the keys S, O, A, P, all strings. "
    "S: symptoms, denials, history, family, current drugs. O: vital signs, exam, results. A: diagnosis. "
    "P: drugs with dose, tests, advice, follow-up. Use only facts from the dialogue. Output only the JSON."
)
OUTPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {key: {"type": "string", "minLength": 1, "pattern": r"\S"} for key in SECTIONS},
    "required": list(SECTIONS),
    "additionalProperties": False,
}


def spec() -> StructuredPart:
    """One point for the JSON, one for each section."""
    return StructuredPart(
        instructions=INSTRUCTIONS,
        input="{dialogue}",
        output_schema=OUTPUT_SCHEMA,
        reference="note",
        cluster="condition",
        tags=("specialty", "style"),
        gate_points=1.0,
        criteria=tuple(CriterionPart(field=key, kind="facts", weight=1.0) for key in SECTIONS),
    )
