"""The teacher as a realiser: the built-in generator's row with its texts written by a chat model.

The draft decides what is true: facts, condition, style and group are the generator's. Only the texts are the
teacher's, and only when their checks find the facts in them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fivestones.chat import ChatClient
from fivestones.data.store import Row
from fivestones.data.teacher.account import KEY, cost_of
from fivestones.data.teacher.attempts import Attempt, Piece, tally, try_until_good
from fivestones.errors import DataError
from fivestones.recipe_chat import MOST_SCENARIOS


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
    are written; seed: the recipe's; attempts: at each text of a scenario; scenarios: of a row.
    """

    draft: Callable[[Any, int], D]
    pieces: Sequence[Piece[D]]
    client: ChatClient
    seed: int
    attempts: int
    scenarios: int

    def __call__(self, item: Any, retry: int) -> Row:
        """Raises DataError for a row whose scenarios all failed, and ResourceError as `try_until_good`."""
        told = self.tell(item, retry)
        if told.row is None:
            causes = ", ".join(f"{cause} ({n})" for cause, n in tally(told.attempts).items())
            raise DataError(
                f"teacher: row {told.draft['id']} ({told.draft['condition']}): in {self.scenarios} scenarios "
                f"none of {len(told.attempts)} texts was without fault: {causes}; the last: "
                f"{told.attempts[-1].faults[0]}. What was written is kept: give the command again with more "
                "synth.teacher.scenarios, or look at a preview and start other data with another model"
            )
        return told.row

    def tell(self, item: Any, retry: int = 0) -> Told:
        """The row, or None when all scenarios failed, and how it went."""
        began = time.monotonic()
        tried: list[Attempt] = []
        first = retry * MOST_SCENARIOS  # whatever their count, so that more of them change no row's
        for number in range(first, first + self.scenarios):
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
            found = try_until_good(self.client, piece, draft, name=name, most=self.attempts)
            tried += found.attempts
            if found.value is None:
                return None
            texts[piece.column] = found.value
        return texts

    def _provenance(self, row: Mapping[str, Any], tried: Sequence[Attempt]) -> str:
        replies = [attempt.reply for attempt in tried]
        prompts = {piece.column: piece.digest for piece in self.pieces}
        texts = {}  # of an abandoned scenario's texts the last one's stay
        for attempt in tried:
            if not attempt.faults:
                texts[attempt.column] = {
                    "endpoint": attempt.reply.endpoint,
                    "prompt": prompts[attempt.column],
                    "attempt": attempt.number,
                }
        told = {
            "model": self.client.model,
            **cost_of(replies),
            "texts": texts,
            "rejected": tally(tried),
        }
        return json.dumps({**json.loads(row["provenance"]), KEY: told}, ensure_ascii=False)
