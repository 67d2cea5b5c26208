"""One text of one row: written, checked, and written again with another seed until it has no fault.

Nothing but a text without faults leaves here as a value. Every reply is kept by the client, also one that is
cut or faulty: a resumed run takes the same way through them and pays only for what is new.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fivestones.chat import OVER_BUDGET, Ask, ChatClient, Said, Unanswered, flaw
from fivestones.errors import ResourceError

D_contra = TypeVar("D_contra", contravariant=True)
D = TypeVar("D")

SILENT = 2  # times that the endpoint may fail for one text before it is taken to be down


class Piece(Protocol[D_contra]):
    """A text that the teacher writes of a draft. Faults are "cause: what"."""

    @property
    def column(self) -> str:
        """Of the row, that the text fills."""
        ...

    @property
    def digest(self) -> str:
        """Of its prompt."""
        ...

    def body(self, draft: D_contra, faults: Sequence[str]) -> Mapping[str, Any]:
        """The request; faults: of the attempt before."""
        ...

    def read(self, draft: D_contra, text: str) -> tuple[str | None, Sequence[str]]:
        """The value of a reply and no fault, or None and at least one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    column: str
    number: int  # from 1
    faults: tuple[str, ...]  # none: it passed
    reply: Said

    @property
    def causes(self) -> tuple[str, ...]:
        """The kinds of its faults, each once."""
        return tuple(dict.fromkeys(cause_of(fault) for fault in self.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """value: None when no attempt passed."""

    value: str | None
    attempts: tuple[Attempt, ...]


def cause_of(fault: str) -> str:
    """The part that is the same each time."""
    return fault.partition(":")[0]


def tally(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Cause -> attempts that failed of it, most frequent first; an attempt may count for several."""
    counted = Counter(cause for attempt in attempts for cause in attempt.causes)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def try_until_good(client: ChatClient, piece: Piece[D], draft: D, *, name: str, most: int) -> Tried:
    """At most `most` attempts.

    name: of the draft; with the column and the number it is the seed of an attempt. Raises ResourceError when
    the budget is spent, and when the endpoint, after all that the client does about it, gives no reply.
    """
    attempts: list[Attempt] = []
    silent: Counter[str] = Counter()
    faults: Sequence[str] = ()
    while len(attempts) < most:
        number = len(attempts) + 1
        about = f"{piece.column} {name} {number}"
        body = {**piece.body(draft, faults), "seed": _seed(about)}
        ask = Ask(body, affinity=name, about=about, read=_as_it_came, whole=False)
        reply = client.complete([ask])[0]
        if isinstance(reply, Unanswered):
            if reply.cause == OVER_BUDGET:
                raise ResourceError(
                    "the teacher's budget is spent: what was written is kept; raise synth.teacher.budget and "
                    "give the command again"
                )
            silent[reply.cause] += 1
            if silent.total() == SILENT:
                causes = ", ".join(f"{cause} ({n})" for cause, n in silent.most_common())
                raise ResourceError(
                    f"the teacher {client.model} does not answer (row {name}): {causes}; what was written is "
                    "kept: when it is well again, give the command again"
                )
            continue  # no attempt: a resumed run must come to the same requests
        value, faults = _read(piece, draft, reply)
        attempts.append(Attempt(column=piece.column, number=number, faults=tuple(faults), reply=reply))
        if value is not None:
            return Tried(value=value, attempts=tuple(attempts))
    return Tried(value=None, attempts=tuple(attempts))


def _as_it_came(said: Said) -> Said:
    return said


def _read(piece: Piece[D], draft: D, reply: Said) -> tuple[str | None, Sequence[str]]:
    if cause := flaw(reply):
        return None, (f"{cause}: finish_reason {reply.finish}",)
    return piece.read(draft, reply.text)


def _seed(about: str) -> int:
    """31 bits: some servers take no more."""
    return int.from_bytes(hashlib.sha256(about.encode()).digest()[:4], "big") >> 1
