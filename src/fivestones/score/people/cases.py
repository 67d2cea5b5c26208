"""Labels as the audit set of another judge: rows as `fivestones.audit` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fivestones.score.people.reviews import HumanVerdict, Item, Reviews

References = Mapping[str, Mapping[str, Any]]
"""Task id -> what is known of the task: `output`, `facts`."""


def audit_rows(reviews: Reviews, references: References) -> list[dict[str, Any]]:
    """One row for each labelled output. `human` holds 1 or 0 for each criterion, by the majority of its
    raters; null where they are divided. A task without a reference is judged by its source alone."""
    rows = []
    for key, by_criterion in reviews.verdicts.items():
        item = reviews.items[key]
        fields = _fields(item)
        row: dict[str, Any] = {
            "id": key,
            "dialogue_id": item.task_id,
            "dialogue": item.source,
            "output": {f: item.output[f] for f in fields},
            "human": {name: _majority(raters) for name, raters in by_criterion.items()},
        }
        known = references.get(item.task_id, {})
        if known.get("output") and set(fields) <= set(known["output"]):
            row["reference"] = {f: known["output"][f] for f in fields}
        if known.get("facts"):
            row["facts"] = known["facts"]
        rows.append(row)
    return rows


def _fields(item: Item) -> list[str]:
    """Those that are judged; all of them when the criteria are about the output as a whole."""
    return [name for name in item.criteria if name in item.output] or list(item.output)


def _majority(raters: Mapping[str, HumanVerdict]) -> int | None:
    passed = sum(v.passed for v in raters.values())
    return None if 2 * passed == len(raters) else int(2 * passed > len(raters))
