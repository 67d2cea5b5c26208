"""Checks of the knowledge base: each returns what it checked, or raises DataError naming file and field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.environments.soap.knowledge_model import DOSE_UNITS, Entry, Sex
from fivestones.errors import DataError, nearest

_DOSE = re.compile(r"(\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)?) ?(\S+)")


def refs(
    file: str,
    owner: str,
    field: str,
    keys: Sequence[str],
    vocabulary: Mapping[str, Entry],
    kinds: Sequence[str],
) -> None:
    """Every key is defined and of one of the kinds."""
    for key in keys:
        if key not in vocabulary or vocabulary[key].kind not in kinds:
            got = f"is a {vocabulary[key].kind}" if key in vocabulary else "is not defined"
            allowed = [k for k, e in vocabulary.items() if e.kind in kinds]
            wanted = " or ".join(kinds)
            raise DataError(
                f"{file}, {owner}, {field}: `{key}` {got}, expected {wanted}.{nearest(key, allowed)}"
            )


def who(file: str, owner: str, raw: Mapping[str, Any]) -> tuple[Sex | None, tuple[int, int]]:
    """Sex (None: any) and age, in years, of whom something applies to."""
    sex = raw.get("sex", "any")
    lo, hi = (int(x) for x in raw.get("age", (0, 120)))
    if sex not in ("any", "female", "male") or not 0 <= lo <= hi <= 120:
        raise DataError(
            f"{file}, `{owner}`: sex {sex!r}, age [{lo}, {hi}]: expected any|female|male, 0 to 120."
        )
    return (None if sex == "any" else sex), (lo, hi)


def known(where: str, raw: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """No field but the allowed ones."""
    for key in raw:
        if key not in allowed:
            raise DataError(
                f"{where}: unknown field `{key}`; allowed: {', '.join(allowed)}.{nearest(key, allowed)}"
            )


def one_of(where: str, field: str, value: Any, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise DataError(
            f"{where}: {field} is {value!r}; allowed: {', '.join(allowed)}.{nearest(str(value), allowed)}"
        )
    return str(value)


def strings(where: str, field: str, values: Any) -> tuple[str, ...]:
    # YAML reads a bare `no` or `5` as something else; that is always a mistake here.
    if isinstance(values, str) or not all(isinstance(v, str) for v in values):
        raise DataError(f"{where}: {field} is {values!r}, expected a list of strings.")
    return tuple(values)


def conditions(file: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions of a specialty's file, each with a name."""
    known(file, body, ("specialty", "defaults", "conditions"))
    if not isinstance(body.get("specialty"), str):
        raise DataError(f"{file}: specialty is {body.get('specialty')!r}, expected a name.")
    values = body.get("conditions")
    if not isinstance(values, list) or not all(isinstance(v, dict) and "name" in v for v in values):
        raise DataError(f"{file}: conditions must be a list of mappings that have a name.")
    return values


def range_of(where: str, field: str, values: Any) -> tuple[float, ...]:
    """[], [low, high], or the two such pairs of a blood pressure."""
    numbers = tuple(float(v) for v in values)
    if len(numbers) not in (0, 2, 4) or any(a > b for a, b in zip(numbers[::2], numbers[1::2], strict=True)):
        raise DataError(
            f"{where}: {field} is {values!r}, expected [low, high] (blood pressure: two such pairs)."
        )
    return numbers


def dose(where: str, dose: str) -> None:
    """A number and a unit."""
    match = _DOSE.fullmatch(dose)
    if not match or match[2] not in DOSE_UNITS:
        raise DataError(f"{where}: dose {dose!r}, expected a number and one of {', '.join(DOSE_UNITS)}.")
