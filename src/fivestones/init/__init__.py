"""`fivestones init NAME --from FILE`: a job without code, guessed from a table, as a recipe to edit."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.init.columns import Output, Plan, decoded_objects, guess
from fivestones.init.length import estimated_tokens, room
from fivestones.init.recipe_text import input_template, instructions, output_schema, recipe_text
from fivestones.init.table import is_csv, read_table, write_table
from fivestones.recipe import CriterionPart, StructuredPart
from fivestones.runlog import write_atomic
from fivestones.types import Task

__all__ = ["init_job"]

DEFAULT_TOKENS = 150  # of an output, where no row has a reference
LONG_PROMPT = 1500  # tokens from which prompts are worth a warning
PREVIEW_CHARS = 600

Row = Mapping[str, Any]
Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    path: Path  # what the recipe names
    rows: Sequence[Row]
    written: bool  # a usable copy was made


def init_job(
    name: str,
    source: str | Path,
    out: str | Path = ".",
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    test: str | Path | None = None,
    echo: Echo = print,
) -> list[Path]:
    """Writes `out/NAME.yaml` and tells through `echo` what was guessed, with two tasks as a preview.

    source, test: JSONL, CSV, TSV or Parquet. A CSV, and a file with rows that cannot be tasks, is copied to
    `out/NAME.train.jsonl` (`NAME.test.jsonl`) without those rows, and their number is told.
    inputs, outputs: columns, when the guess is not wanted.
    Returns the files written, the recipe first. Raises UsageError for a bad name, column or existing recipe,
    DataError for a file that cannot be read or used.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UsageError(f"job name: got {name!r}; allowed: letters, digits, `_`, `.` and `-`")
    source, out, test = Path(source), Path(out), None if test is None else Path(test)
    target = out / f"{name}.yaml"
    if target.exists():
        raise UsageError(f"{target} exists; choose another name or remove it")
    rows = read_table(source)
    test_rows = None if test is None else read_table(test)
    _check_ids(source, rows)
    plan = _with_test_labels(guess(rows, inputs, outputs), test_rows or (), echo)
    spec = structured_part(plan)
    _explain(plan, len(rows), source, echo)
    out.mkdir(parents=True, exist_ok=True)
    train_table = _usable(spec, source, rows, out / f"{name}.train.jsonl", echo)
    tables = [train_table]
    if test is not None and test_rows is not None:
        tables.append(_usable(spec, test, test_rows, out / f"{name}.test.jsonl", echo))
    environment = StructuredEnvironment(spec, {"train": train_table.rows})
    tasks = list(environment.tasks("train"))
    lengths = [
        estimated_tokens(environment.reference_text(task)) for task in tasks if "output" in task.reference
    ]
    max_tokens = room(lengths or [DEFAULT_TOKENS])
    too_long = sum(length > max_tokens for length in lengths)
    _warn(spec, tasks, max_tokens, too_long, echo)
    _preview(environment, tasks[:2], echo)
    text = recipe_text(
        name,
        source.name,
        plan,
        train=_relative(train_table.path, out),
        test=_relative(tables[1].path, out) if len(tables) > 1 else None,
        rows=len(tasks),
        max_tokens=max_tokens,
        too_long=too_long,
    )
    write_atomic(target, text)
    written = [target, *(table.path for table in tables if table.written)]
    echo(f"wrote {', '.join(map(str, written))}")
    return written


def structured_part(plan: Plan) -> StructuredPart:
    """The plan as the part of a recipe that the environment reads."""
    return StructuredPart(
        instructions=instructions(plan),
        input=input_template(plan),
        output_schema=output_schema(plan),
        reference=plan.reference,
        reference_fields={} if plan.reference else {o.field: o.field for o in plan.outputs},
        cluster=plan.cluster,
        tags=plan.tags,
        criteria=tuple(
            CriterionPart.model_validate({"field": o.field, "kind": o.kind}) for o in plan.outputs
        ),
    )


def _check_ids(source: Path, rows: Sequence[Row]) -> None:
    ids = Counter(str(row["id"]) for row in rows if row.get("id") is not None)
    if ids and max(ids.values()) > 1:
        first, times = ids.most_common(1)[0]
        raise DataError(
            f"{source}: column `id` must tell rows apart: {first!r} occurs {times} times, with {len(ids)} "
            f"different ids in {len(rows)} rows; rename the column (named `case_id` it becomes the cluster)"
        )


def _with_test_labels(plan: Plan, rows: Sequence[Row], echo: Echo) -> Plan:
    """Labels that occur only in the test file belong to the task too."""

    def extended(output: Output) -> Output:
        labels = output.schema.get("enum")
        if not labels:
            return output
        if plan.reference:
            items = decoded_objects([row.get(plan.reference) for row in rows]) or []
            seen = [item.get(output.field) for item in items]
        else:
            seen = [row.get(output.field) for row in rows]
        new = sorted({value for value in seen if isinstance(value, str) and value.strip()} - set(labels))
        if not new:
            return output
        echo(f"  note: {output.field}: only the test file has {', '.join(new)}")
        return replace(output, schema={**output.schema, "enum": [*labels, *new]})

    return replace(plan, outputs=tuple(extended(output) for output in plan.outputs))


def _usable(spec: StructuredPart, path: Path, rows: Sequence[Row], copy: Path, echo: Echo) -> _Table:
    faults = StructuredEnvironment(spec, {}).faults(rows)
    bad = {index for index, _ in faults}
    kept = [row for index, row in enumerate(rows) if index not in bad]
    if not kept:
        raise DataError(f"{path}: no row can be used; row {faults[0][0] + 1}: {faults[0][1]}")
    if faults:
        echo(
            f"  warning: {len(faults)} of {len(rows)} rows of {path.name} cannot be used and are left out of "
            f"{copy.name}; the first is row {faults[0][0] + 1}: {faults[0][1]}"
        )
    if not faults and not is_csv(path):
        return _Table(path=path, rows=rows, written=False)
    write_table(copy, kept)
    return _Table(path=copy, rows=kept, written=True)


def _explain(plan: Plan, rows: int, source: Path, echo: Echo) -> None:
    echo(f"{source.name}: {rows} rows")
    echo(f"  in:  {', '.join(plan.inputs)}")
    for output in plan.outputs:
        echo(f"  out: {output.field}, judged by `{output.kind}` ({output.why})")
    if plan.cluster:
        echo(f"  rows of one {plan.cluster} stay together")
    for column, why in plan.left_out.items():
        echo(f"  without part: {column} ({why})")


def _warn(spec: StructuredPart, tasks: Sequence[Task], max_tokens: int, too_long: int, echo: Echo) -> None:
    if too_long:
        echo(
            f"  warning: {too_long} of {len(tasks)} reference outputs are probably longer than "
            f"generation.max_tokens = {max_tokens}"
        )
    prompts = sorted(estimated_tokens(spec.instructions + task.reference["source"]) for task in tasks)
    echo(f"  prompts: about {prompts[len(prompts) // 2]} tokens in the middle, {prompts[-1]} the longest")
    long = sum(length > LONG_PROMPT for length in prompts)
    if long:
        echo(
            f"  warning: {long} prompts are probably longer than {LONG_PROMPT} tokens: slow, and much memory"
        )
    times = Counter(task.reference["source"] for task in tasks)
    shared = sum(count for count in times.values() if count > 1)
    if shared:
        echo(f"  warning: {shared} rows share their input with another row; a `cluster` keeps those together")


def _preview(environment: StructuredEnvironment, tasks: Sequence[Task], echo: Echo) -> None:
    for task in tasks:
        echo(f"\n--- task {task.id}")
        for message in task.prompt:
            echo(f"{message.role}: {_clipped(message.content)}")
        if "output" in task.reference:
            echo(f"reference: {_clipped(environment.reference_text(task))}")
    echo("")


def _clipped(text: str) -> str:
    more = len(text) - PREVIEW_CHARS
    return f"{text[:PREVIEW_CHARS]} [... {more} more characters]" if more > 0 else text


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path.resolve(), folder.resolve()))
