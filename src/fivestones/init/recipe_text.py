"""A plan as a recipe file: YAML with a comment on every guess."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from fivestones.init.columns import Output, Plan
from fivestones.recipe_yaml import Dumper

MAX_IMITATION_PASSES = 16
MAX_REFERENCES = 256  # rows of the warm-up: more take longer and teach less each

HEAD = """\
# Made by `fivestones init {name} --from {source}`. Every line is a guess that you may change. Then:
#     fivestones doctor {name}.yaml     checks it on this machine, with an estimate of time and memory
#     fivestones run {name}.yaml        trains, evaluates and reports
# Paths are relative to this file. All keys and their defaults: `fivestones schema`.
"""

CRITERIA = """\
# The rubric: gate_points for strict JSON (the whole output, exactly these keys; else 0 in all), then
# weight x [0, 1] for each criterion, a comparison with the reference:
#   exact    equal, case, spacing and the writing of numbers aside: labels, numbers
#   overlap  words shared (F1): short texts
#   facts    facts matched, and checked against the input: prose (numbers anywhere; its lexicon is medical)
#   rouge1, rougeL   F1 of words and of the longest common subsequence, to compare with papers
"""


def recipe_text(
    name: str,
    source: str,
    plan: Plan,
    *,
    train: Path,
    test: Path | None,
    rows: int,
    max_tokens: int,
    too_long: int,
) -> str:
    """The whole file. `train`, `test`: paths as they shall stand in it.

    too_long: how many of the `rows` reference outputs are estimated to be above max_tokens.
    """
    share = 0.0 if test is not None else round(min(0.25, max(0.1, 200 / rows)), 2)
    references = min(rows - ceil(rows * share), MAX_REFERENCES)
    # 40 steps of 32 rollouts take about the compute of 1,000 imitated references
    passes = min(MAX_IMITATION_PASSES, max(1, round(1000 / max(references, 1))))
    return "\n".join(
        [
            HEAD.format(name=name, source=source),
            _yaml({"name": name}),
            "environment:",
            "  kind: structured",
            "  structured:",
            _indented(_structured(plan), 4),
            "files:",
            _indented(_files(train, test, share), 2),
            "generation:",
            _indented(
                f"# Room for at least 95% of the reference outputs (estimated); {too_long} of {rows}\n"
                "# are longer, and an output cut off earns 0. More room costs time and memory.\n"
                f"max_tokens: {max_tokens}",
                2,
            ),
            "warmup:",
            _indented(
                "# Training rows whose reference is imitated before reinforcement learning starts.\n"
                f"references: {references}",
                2,
            ),
            "evaluate:",
            _indented(
                "# The contestant that goes on imitating: passes of about the compute of train.steps.\n"
                f"imitation_passes: {passes}",
                2,
            ),
            "",
        ]
    )


def instructions(plan: Plan) -> str:
    """The system message: what is read, and the object that is wanted."""
    what = " and the ".join(human(column) for column in plan.inputs)
    lines = [
        f"Read the {what}. Answer with one JSON object and nothing else. "
        + ("It has exactly these keys:" if len(plan.outputs) > 1 else "It has exactly this key:")
    ]
    for output in plan.outputs:
        optional = "" if output.field in plan.required else " (left out when it does not apply)"
        lines.append(f'- "{output.field}": {_wanted(output.schema)}{optional}')
    return "\n".join(lines)


def input_template(plan: Plan) -> str:
    """The user message: the one column, or each under its name."""
    if len(plan.inputs) == 1:
        return f"{{{plan.inputs[0]}}}"
    return "\n\n".join(f"{human(column).capitalize()}: {{{column}}}" for column in plan.inputs)


def output_schema(plan: Plan) -> dict[str, Any]:
    """JSON Schema of the output object."""
    return {
        "type": "object",
        "properties": {output.field: dict(output.schema) for output in plan.outputs},
        "required": [name for name in (o.field for o in plan.outputs) if name in plan.required],
        "additionalProperties": False,
    }


def human(column: str) -> str:
    return " ".join(column.replace("_", " ").split())


def _structured(plan: Plan) -> str:
    parts = [
        "# The system message. Say here what only a person knows: style, edge cases, what to leave out.",
        "instructions: |-",
        _indented(instructions(plan), 2),
        "# The user message; {column} is filled from the row.",
        _yaml({"input": input_template(plan)}),
        _yaml({"output_schema": output_schema(plan)}),
    ]
    if plan.reference:
        parts += ["# The column that holds the reference output.", _yaml({"reference": plan.reference})]
    else:
        fields = {output.field: output.field for output in plan.outputs}
        parts += ["# Output field: the column that holds its reference.", _yaml({"reference_fields": fields})]
    parts += [
        "# Column of what belongs together (customer, patient): never in two splits, one unit in intervals.",
        _yaml({"cluster": plan.cluster}),
        "# Columns by which the report is sliced.",
        _yaml({"tags": list(plan.tags)}),
        CRITERIA.rstrip(),
        "gate_points: 1.0",
        "criteria:",
        *(line for output in plan.outputs for line in _criteria(output)),
    ]
    return "\n".join(parts)


def _criteria(output: Output) -> list[str]:
    reported = {"rouge1": "reported, not rewarded", "rougeL": "the same"} if output.kind == "facts" else {}
    rows = [(output.kind, 1.0, output.why), *((kind, 0.0, why) for kind, why in reported.items())]
    return [
        f"  - {_dump({'field': output.field, 'kind': kind, 'weight': weight}, True, 10_000)}  # {why}"
        for kind, weight, why in rows
    ]


def _files(train: Path, test: Path | None, share: float) -> str:
    lines = [_yaml({"train": train.as_posix()})]
    if test is not None:
        return "\n".join([*lines, _yaml({"test": test.as_posix()})])
    return "\n".join([*lines, "# Held out for the evaluation.", f"test_share: {share}"])


def _wanted(schema: Mapping[str, Any]) -> str:
    types = schema.get("type")
    names = [types] if isinstance(types, str) else list(types or ["string"])
    null = " or null" if "null" in names else ""
    if "enum" in schema:
        return "one of " + ", ".join(str(label) for label in schema["enum"] if label is not None) + null
    plain = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    first = next((kind for kind in names if kind != "null"), "string")
    if first == "array":
        return f"a list; each item is {_wanted(schema.get('items') or {})}{null}"
    if first == "object":
        inner = "; ".join(f'"{key}": {_wanted(child)}' for key, child in schema["properties"].items())
        return f"an object with {inner}{null}"
    return plain[first] + null


def _yaml(value: Mapping[str, Any]) -> str:
    """Lines `key: value`; below that, collections of scalars stand in one line."""
    nested = any(isinstance(child, Mapping | list) for child in value.values())
    return _dump(value, None if nested else False, 100)


def _dump(value: Mapping[str, Any], flow: bool | None, width: int) -> str:
    text: str = yaml.dump(
        dict(value), Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width
    )
    return text.rstrip("\n")


def _indented(text: str, by: int) -> str:
    return textwrap.indent(text, " " * by)
