"""Labels as worked examples of a rubric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from fivestones.score.people.reviews import HumanVerdict, Reviews


@dataclass(frozen=True, slots=True, kw_only=True)
class RubricExample:
    """A case that people judged, as it stands in a rubric: for a criterion that passes or fails."""

    source: str
    text: str  # the field that is judged, or the whole output where no field has the criterion's name
    reason: str
    verdict: Literal["pass", "fail"]


def rubric_examples(reviews: Reviews, criterion: str, each: int) -> list[RubricExample]:
    """Up to `each` passed and as many failed ones, in turn; all raters of an example agree, and one gave a
    reason. The shortest sources come first: examples are paid for in every prompt."""
    found: dict[bool, list[tuple[int, str, RubricExample]]] = {True: [], False: []}
    for key, by_criterion in reviews.verdicts.items():
        said = _agreed(list(by_criterion.get(criterion, {}).values()))
        if said is None:
            continue
        item = reviews.items[key]
        example = RubricExample(
            source=item.source,
            text=_text(item.output.get(criterion, dict(item.output))),
            reason=said.reason,
            verdict="pass" if said.passed else "fail",
        )
        found[said.passed].append((len(item.source), key, example))
    chosen = [[e for *_, e in sorted(rows, key=lambda row: row[:2])[:each]] for rows in found.values()]
    longest = max(map(len, chosen))
    return [part[i] for i in range(longest) for part in chosen if i < len(part)]


def _agreed(said: list[HumanVerdict]) -> HumanVerdict | None:
    """The verdict with the longest reason; None when raters differ or none gave a reason."""
    if len({v.passed for v in said}) != 1:
        return None
    best = max(said, key=lambda v: len(v.reason))
    return best if best.reason.strip() else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
