"""What an audit reads: outputs that people scored, one JSON object a line.

    {"dialogue": ..., "reference": ..., "summary": ..., "human": {"FactualF1": 0.5, "HallucinationRate": 0.0}}

`dialogue_id` names the cluster (else the dialogue's own text does); `reference` may be absent. An output of
several fields stands in `output`, an object, instead of `summary`; its reference is such an object too,
`facts` may say what is true (a list of objects, or its JSON), and a human score named like a field is about
that field. A human score is a number of at least 0, or true or false; -1 and null are unknown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fivestones.data.store import read_rows
from fivestones.errors import DataError
from fivestones.types import Message, Task

Half = Literal["tune", "report", "all"]
HALVES: tuple[Half, ...] = get_args(Half)
TEXT = "note"  # the one field of an output that is a text
NOT_APPLICABLE = -1
_OF_A_FACT = ("id", "section", "concept")  # at least, and texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scored output. `task.cluster` is its dialogue, `task.id` the same for all outputs judged alike."""

    task: Task
    output: Mapping[str, Any]
    human: Mapping[str, float]  # what is known


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, in order. Raises DataError, which names the row."""
    cases = []
    for number, row in enumerate(read_rows(path, ("dialogue", "human")), 1):
        try:
            cases.append(_case(row))
        except _Unfit as unfit:
            raise DataError(f"{path}: row {number}: {unfit}") from unfit
    if len(named := {tuple(case.output) for case in cases}) > 1:
        told = " and ".join(", ".join(fields) for fields in sorted(named)[:2])
        raise DataError(f"{path}: the outputs have different fields ({told}); allowed: the same in each row")
    return cases


def fields_of(cases: Sequence[Case]) -> tuple[str, ...]:
    """What a judge is asked about."""
    return tuple(cases[0].output)


def in_half(cluster: str, half: Half) -> bool:
    """Whether a dialogue is in the half: by a hash of its name, so that it stays when rows are added."""
    if half == "all":
        return True
    even = hashlib.sha256(cluster.encode()).digest()[0] % 2 == 0
    return even == (half == "tune")


class _Unfit(Exception):
    """One row's fault."""


def _case(row: Mapping[str, Any]) -> Case:
    dialogue = _text(row, "dialogue")
    output = _output(row)
    reference: dict[str, Any] = {"source": dialogue}
    if (given := _reference(row.get("reference"), output)) is not None:
        reference["output"] = given
    if row.get("facts") is not None:
        reference["facts"] = _facts(row["facts"])
    named = row.get("dialogue_id")
    cluster = _digest(dialogue) if named is None else str(named)
    task = Task(
        id=f"{cluster}-{_digest(json.dumps(reference, sort_keys=True, default=str))}",
        prompt=(Message("user", dialogue),),
        reference=reference,
        cluster=cluster,
    )
    return Case(task=task, output=output, human=_human(row["human"]))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise _Unfit(f"`{name}` is {_told(value)}; allowed: a text")
    return value


def _output(row: Mapping[str, Any]) -> Mapping[str, Any]:
    given, text = row.get("output"), row.get("summary")
    if (given is None) == (text is None):
        raise _Unfit("give exactly one of `summary` (a text) and `output` (an object)")
    if text is not None:
        return {TEXT: _text(row, "summary")}
    if not isinstance(given, Mapping) or not given:
        raise _Unfit(f"`output` is {_told(given)}; allowed: an object with the fields that are judged")
    return dict(given)


def _reference(given: Any, output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if given is None:
        return None
    if isinstance(given, str) and tuple(output) == (TEXT,):
        return {TEXT: given}
    if isinstance(given, Mapping) and set(given) == set(output):
        return dict(given)
    fields = ", ".join(output)
    raise _Unfit(f"`reference` is {_told(given)}; allowed: like the output, with the fields {fields}")


def _facts(given: Any) -> list[Any]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise _Unfit(f"`facts` is not JSON: {error}") from error
    if not isinstance(given, list) or not all(map(_is_fact, given)):
        raise _Unfit(f"`facts`: allowed: a list of objects with the texts {', '.join(_OF_A_FACT)} at least")
    return given


def _is_fact(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(key), str) for key in _OF_A_FACT)


def _human(given: Any) -> Mapping[str, float]:
    if not isinstance(given, Mapping):
        raise _Unfit(f"`human` is {_told(given)}; allowed: an object of scores by name")
    scores: dict[str, float] = {}
    for name, value in given.items():
        if value is None or value == NOT_APPLICABLE:
            continue
        if not isinstance(value, bool | int | float) or not 0 <= value < float("inf"):
            raise _Unfit(
                f"`human.{name}` is {value!r}; allowed: a number of at least 0, -1 or null (unknown)"
            )
        scores[str(name)] = float(value)
    return scores


def _told(value: Any) -> str:
    if isinstance(value, str):
        return "empty" if not value.strip() else "a text"
    if isinstance(value, Mapping):
        return f"an object with the fields {', '.join(map(str, value)) or 'none'}"
    return "missing" if value is None else type(value).__name__


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
