"""Labels as the audit set of another judge: rows as `fivestones.audit` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.score.people.reviews import HumanVerdict, Item, Reviews, merge_items

References = Mapping[str, Mapping[str, Any]]
"""Task id -> what is known of the task: `output`, `facts`."""


def audit_rows(reviews: Reviews, references: References, order: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row for each labelled output, all with the same fields. `human` holds 1 or 0 for each criterion, by
    the majority of its raters; null where they are divided. A task without a reference is judged by its
    source alone. order: of the fields."""
    items = [item for item in merge_items([r.item for r in reviews.rows]) if item.key in reviews.verdicts]
    judged = dict.fromkeys(f for item in items for f in _fields(item))
    fields = [f for f in dict.fromkeys((*order, *judged)) if f in judged]
    rows = []
    for item in items:
        human = {name: _majority(raters) for name, raters in reviews.verdicts[item.key].items()}
        row: dict[str, Any] = {
            "id": item.key,
            "dialogue_id": item.task_id,
            "dialogue": item.source,
            "output": {f: item.output.get(f) for f in fields},
            "human": human,
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
