"""What a reviewer is asked next: the outputs of a run that passed its gates, and those that a paused run
waits for.

The order is random and the same for everybody (items sort by their digest), so that reviewers who stop early
have not seen the first steps alone. A share of the items is for everybody: what two people have labelled
tells how far people agree. What a judge said of an output is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivestones.errors import DataError
from fivestones.runlog import append_jsonl, read_jsonl
from fivestones.score.people.reviews import Item, Reviews, item_of, merge_items, question


def pending_path(labels: Path) -> Path:
    """Beside a file of labels: the items that a run could not score without them."""
    return labels.with_name(f"{labels.stem}.pending.jsonl")


def read_pending(labels: Path) -> list[Item]:
    """Raises DataError."""
    path = pending_path(labels)
    return [item_of(row, f"{path}: line {n}") for n, row in enumerate(read_jsonl(path), 1)]


def append_pending(labels: Path, items: Sequence[Item]) -> None:
    append_jsonl(pending_path(labels), map(question, items))


def run_items(run: Path, criteria: Sequence[str] = ()) -> list[Item]:
    """The rollouts of a run directory that passed its gates and are JSON objects, each output once.

    criteria: to be labelled; none are those of the run's own rubric which it rewards. Raises DataError when
    the run has logged no rollouts.
    """
    files = sorted((run / "rollouts").glob("step-*.jsonl"))
    if not files:
        raise DataError(
            f"{run} has no rollouts to label: it has made none yet, or train.log_rollouts was false"
        )
    found = [_item(row, criteria) for file in files for row in read_jsonl(file)]
    return merge_items([item for item in found if item is not None])


def queue(
    items: Sequence[Item],
    reviews: Reviews,
    rater: str,
    *,
    double: float = 0.2,
    first: Sequence[Item] = (),
) -> list[Item]:
    """What `rater` has still to label, in order; `first` comes before the rest.

    double: share of the items that are for everybody. Any other is left to those who have labelled all of it.
    """
    if not 0.0 <= double <= 1.0:
        raise ValueError(f"double {double}: must be from 0 to 1")
    waiting = {item.key for item in first}
    merged = merge_items([*first, *items])
    open_ones = [item for item in merged if not set(item.criteria) <= reviews.by(rater, item.key)]
    mine = [
        item
        for item in open_ones
        if _for_everybody(item.key, double) or not _done_by_others(reviews, item, rater)
    ]
    return sorted(mine, key=lambda item: (item.key not in waiting, item.key))


def _done_by_others(reviews: Reviews, item: Item, rater: str) -> bool:
    said = reviews.verdicts.get(item.key, {})
    return all(any(name != rater for name in said.get(criterion, ())) for criterion in item.criteria)


def _for_everybody(key: str, share: float) -> bool:
    """By the end of the digest: its beginning gives the order."""
    return int(key[-8:], 16) < share * 16**8


def _item(row: Mapping[str, Any], criteria: Sequence[str]) -> Item | None:
    """None for an output that is not to be judged: a failed gate is a real 0 whatever people think."""
    if row.get("failed"):
        return None
    try:
        output = json.loads(row["text"])
    except (ValueError, RecursionError):
        return None
    # a dotted name is reported and not rewarded
    rewarded = [n for part in ("criteria", "unscored") for n in row.get(part) or () if "." not in n]
    names = tuple(criteria) or tuple(n for n in dict.fromkeys(rewarded))
    if not isinstance(output, dict) or not output or not names:
        return None
    return Item(
        task_id=str(row["task_id"]), source=_source(row.get("prompt") or ()), output=output, criteria=names
    )


def _source(prompt: Sequence[Mapping[str, Any]]) -> str:
    """The last user message."""
    users = [str(m.get("content", "")) for m in prompt if m.get("role") == "user"]
    return users[-1] if users else ""
