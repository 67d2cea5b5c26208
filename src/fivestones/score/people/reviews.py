"""What people said of outputs, and its file: one JSON object for each review, appended.

    {"item": "5f0c...", "task_id": ..., "source": ..., "output": {"S": ..., ...}, "rater": "ann",
     "labels": {"S": {"passed": true, "reason": ""}, "O": {"passed": false, "reason": "dose is wrong"}}}

The same form asks: without a rater, and with `passed: null` where an answer is wanted. `item` is a digest of
the task and the output, so that labels hold for whatever run makes that output again, and a text that was
changed on the way is noticed. A later label by the same rater takes the place of the earlier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fivestones.errors import DataError
from fivestones.runlog import append_jsonl, read_jsonl

KEYS = ("item", "task_id", "source", "output", "rater", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An output to be judged, and by what."""

    task_id: str
    source: str  # what the output was made from, as a reviewer sees it
    output: Mapping[str, Any]
    criteria: tuple[str, ...]

    @property
    def key(self) -> str:
        return item_key(self.task_id, self.output)


@dataclass(frozen=True, slots=True)
class HumanVerdict:
    passed: bool
    reason: str = ""  # a failed criterion needs one

    def __post_init__(self) -> None:
        if not self.passed and not self.reason.strip():
            raise ValueError("a failed criterion needs a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One person's labels of one item."""

    item: Item
    rater: str
    labels: Mapping[str, HumanVerdict]  # criterion -> verdict

    def __post_init__(self) -> None:
        if not self.rater.strip():
            raise ValueError("a review needs the name of its rater")
        if unknown := sorted(set(self.labels) - set(self.item.criteria)):
            raise ValueError(f"labels of {', '.join(unknown)}; the item has {', '.join(self.item.criteria)}")


def item_key(task_id: str, output: Mapping[str, Any]) -> str:
    """Equal for equal outputs of one task, whatever the order of their fields."""
    text = json.dumps([task_id, output], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Reviews:
    """All that was said, in order."""

    rows: tuple[Review, ...] = ()

    @cached_property
    def items(self) -> Mapping[str, Item]:
        """Key -> item."""
        return {r.item.key: r.item for r in self.rows}

    @cached_property
    def verdicts(self) -> Mapping[str, Mapping[str, Mapping[str, HumanVerdict]]]:
        """Item -> criterion -> rater -> verdict, the last one that counts."""
        out: dict[str, dict[str, dict[str, HumanVerdict]]] = {}
        for review in self.rows:
            for criterion, verdict in review.labels.items():
                out.setdefault(review.item.key, {}).setdefault(criterion, {})[review.rater] = verdict
        return out

    @cached_property
    def raters(self) -> tuple[str, ...]:
        return tuple(sorted({r.rater for r in self.rows if r.labels}))

    def by(self, rater: str, key: str) -> frozenset[str]:
        """The criteria of an item that a rater has labelled."""
        said = self.verdicts.get(key, {})
        return frozenset(criterion for criterion, raters in said.items() if rater in raters)


def read_reviews(path: Path) -> Reviews:
    """What a file holds; no file holds none. DataError names the line."""
    found = []
    for number, row in enumerate(read_jsonl(path), 1):
        review = review_of(row, f"{path}: line {number}")
        if review is not None:
            found.append(review)
    return Reviews(tuple(found))


def append_reviews(path: Path, reviews: Iterable[Review]) -> None:
    append_jsonl(path, map(row_of, reviews))


def row_of(review: Review) -> dict[str, Any]:
    labels = {name: {"passed": v.passed, "reason": v.reason} for name, v in review.labels.items()}
    return {**question(review.item), "rater": review.rater, "labels": {**asked(review.item), **labels}}


def question(item: Item) -> dict[str, Any]:
    """The row that asks about an item: fill in `rater`, and `passed` and `reason` of each label."""
    return {
        "item": item.key,
        "task_id": item.task_id,
        "source": item.source,
        "output": dict(item.output),
        "rater": "",
        "labels": asked(item),
    }


def asked(item: Item) -> dict[str, dict[str, Any]]:
    return {name: {"passed": None, "reason": ""} for name in item.criteria}


def item_of(row: Mapping[str, Any], where: str) -> Item:
    """Of a row that asks or answers. Raises DataError."""
    if unknown := sorted(set(row) - set(KEYS)):
        raise DataError(f"{where}: unknown keys {', '.join(unknown)}; allowed: {', '.join(KEYS)}")
    output, labels = row.get("output"), row.get("labels")
    if not isinstance(output, Mapping) or not output:
        raise DataError(f"{where}: `output` is {_told(output)}; allowed: an object with the fields judged")
    if not isinstance(labels, Mapping):
        raise DataError(f"{where}: `labels` is {_told(labels)}; allowed: an object, criterion -> label")
    for name in ("task_id", "source"):
        if not isinstance(row.get(name), str):
            raise DataError(f"{where}: `{name}` is {_told(row.get(name))}; allowed: a text")
    item = Item(task_id=row["task_id"], source=row["source"], output=output, criteria=tuple(labels))
    if row.get("item") not in (None, item.key):
        raise DataError(
            f"{where}: item {row['item']} is not that of its task and output ({item.key}): one of them was "
            "changed; label the output as it was"
        )
    return item


def review_of(row: Mapping[str, Any], where: str, rater: str = "") -> Review | None:
    """None where a row only asks. rater: of rows that name none. Raises DataError."""
    item = item_of(row, where)
    labels = {
        str(name): verdict
        for name, label in row["labels"].items()
        if (verdict := _verdict(label, f"{where}: label `{name}`")) is not None
    }
    if not labels:
        return None
    try:
        return Review(item=item, rater=str(row.get("rater") or "").strip() or rater, labels=labels)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _verdict(label: Any, where: str) -> HumanVerdict | None:
    if not isinstance(label, Mapping) or set(label) - {"passed", "reason"}:
        raise DataError(f"{where} is {_told(label)}; allowed: an object with `passed` and `reason`")
    passed, reason = label.get("passed"), label.get("reason") or ""
    if passed is None:
        return None
    if not isinstance(passed, bool) or not isinstance(reason, str):
        raise DataError(
            f"{where}: passed is {passed!r}, reason {reason!r}; allowed: true, false or null, a text"
        )
    try:
        return HumanVerdict(passed, reason)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, value)) or 'nothing in it'}"
    return "missing" if value is None else repr(value)[:40]


def merge_items(items: Sequence[Item]) -> list[Item]:
    """Each output once, with the criteria of all its copies, in order."""
    out: dict[str, Item] = {}
    for item in items:
        before = out.get(item.key)
        names = (*before.criteria, *item.criteria) if before else item.criteria
        out[item.key] = Item(
            task_id=item.task_id,
            source=item.source,
            output=item.output,
            criteria=tuple(dict.fromkeys(names)),
        )
    return list(out.values())
