"""The teacher as a realiser: the built-in generator's row with its texts written by a chat model.

The draft decides what is true: facts, condition, style and group are the generator's. Only the texts are the
teacher's, and only when their checks find the facts in them.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from fivestones.data.store import Row
from fivestones.data.teacher.attempts import Attempt, Piece, tally, try_until_good
from fivestones.data.teacher.writer import Writer, Written
from fivestones.errors import DataError

SCENARIOS = 5  # drawn for one row before it is given up
HOPELESS_AFTER = 60  # attempts at a text of which hardly any pass: the teacher cannot do it
HOPELESS_SHARE = 0.05


class Drafted(Protocol):
    """A row of the generator; pieces may know more of a draft."""

    @property
    def row(self) -> Row: ...


D = TypeVar("D", bound=Drafted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the teacher made of an item."""

    row: Row | None  # None: given up
    draft: Row  # the last that was tried
    attempts: tuple[Attempt, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Teacher(Generic[D]):
    """Implements `parts.Make`. To be called from many threads at once.

    draft: (item, number) -> draft, another scenario for another number; pieces: in the order in which they
    are written; seed: the recipe's; attempts: at each text of a scenario.
    """

    draft: Callable[[Any, int], D]
    pieces: Sequence[Piece[D]]
    writer: Writer
    seed: int
    attempts: int
    _passed: Counter[str] = field(default_factory=Counter, repr=False)  # column -> attempts
    _failed: dict[str, Counter[str]] = field(default_factory=dict, repr=False)  # column -> cause -> attempts
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, item: Any, retry: int) -> Row:
        """Raises DataError for a row whose scenarios all failed, and ResourceError as `try_until_good`."""
        told = self.tell(item, retry)
        if told.row is None:
            causes = ", ".join(f"{cause} ({n})" for cause, n in tally(told.attempts).items())
            raise DataError(
                f"teacher: row {told.draft['id']} ({told.draft['condition']}): in {SCENARIOS} scenarios none "
                f"of {len(told.attempts)} texts was without fault: {causes}; the last: "
                f"{told.attempts[-1].faults[0]}. What was written is kept: give the command again with more "
                "attempts or another model"
            )
        return told.row

    def tell(self, item: Any, retry: int = 0) -> Told:
        """The row, or None when all scenarios failed, and how it went."""
        began = time.monotonic()
        tried: list[Attempt] = []
        for number in range(retry * SCENARIOS, (retry + 1) * SCENARIOS):
            draft = self.draft(item, number)
            texts = self._texts(draft, number, tried)
            if texts is not None:
                row = {**draft.row, **texts, "provenance": self._provenance(draft.row, tried)}
                break
        else:
            row = None
        return Told(row=row, draft=draft.row, attempts=tuple(tried), seconds=time.monotonic() - began)

    def _texts(self, draft: D, number: int, tried: list[Attempt]) -> dict[str, str] | None:
        """Column -> text; None when one of them failed."""
        texts: dict[str, str] = {}
        name = f"{draft.row['id']} {self.seed} {number}"
        for piece in self.pieces:
            found = try_until_good(self.writer, piece, draft, name=name, most=self.attempts)
            tried += found.attempts
            self._count(piece.column, found.attempts)
            if found.value is None:
                return None
            texts[piece.column] = found.value
        return texts

    def _count(self, column: str, attempts: Iterable[Attempt]) -> None:
        """Raises DataError when hardly anything passes: each further row would only cost."""
        with self._lock:
            failed = self._failed.setdefault(column, Counter())
            for attempt in attempts:
                if attempt.faults:
                    failed.update(attempt.causes[:1])
                else:
                    self._passed[column] += 1
            passed, total = self._passed[column], self._passed[column] + failed.total()
            causes = failed.most_common(4)
        if total >= HOPELESS_AFTER and passed < HOPELESS_SHARE * total:
            raise DataError(
                f"teacher: {passed} of {total} attempts at a {column} had no fault; the others: "
                + ", ".join(f"{cause} ({n})" for cause, n in causes)
                + f". What was written is kept; look at a preview: {self.writer.model} may be too weak for it"
            )

    def _provenance(self, row: Mapping[str, Any], tried: Sequence[Attempt]) -> str:
        replies = [attempt.reply for attempt in tried if attempt.reply]
        told: dict[str, Any] = {"model": self.writer.model, **cost_of(replies)}
        prompts = {piece.column: piece.digest for piece in self.pieces}
        for attempt in tried:
            if attempt.reply and not attempt.faults:  # of an abandoned scenario's texts the last one's stay
                told[attempt.column] = {
                    "endpoint": attempt.reply.endpoint,
                    "prompt": prompts[attempt.column],
                    "attempt": attempt.number,
                }
        told["rejected"] = tally(tried)
        made = json.loads(row["provenance"])
        return json.dumps({**made, "realiser": "teacher", "teacher": told}, ensure_ascii=False)


def cost_of(replies: Sequence[Written]) -> dict[str, Any]:
    """What replies cost together, rejected ones included."""
    return {
        "replies": len(replies),
        "input_tokens": sum(reply.input_tokens for reply in replies),
        "output_tokens": sum(reply.output_tokens for reply in replies),
        "money": round(sum(reply.money for reply in replies), 9),
    }


def account(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the rows cost, by their provenance: for the certificate."""
    total: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    money = 0.0
    models, endpoints = set(), set()
    for row in rows:
        told = json.loads(row["provenance"])["teacher"]
        models.add(told["model"])
        total.update({key: told[key] for key in ("replies", "input_tokens", "output_tokens")})
        money += told["money"]
        rejected.update(told["rejected"])
        endpoints |= {
            part["endpoint"] for part in told.values() if isinstance(part, dict) and "endpoint" in part
        }
    return {
        "models": sorted(models),
        "endpoints": sorted(endpoints),
        **total,
        "money": round(money, 6),
        "rejected": dict(sorted(rejected.items())),
    }
