"""The verdict in a judge's reply, or why there is none.

The last JSON object with a verdict counts, with prose around it or without. It never counts when it might be
somebody else's: when it stands inside something broken, when the judged texts hold the same object, or when
they speak of a verdict at all and the reply is more than one bare object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.chat.client import Unreadable
from fivestones.score.llm.rubric import Criterion, Said

MALFORMED = "malformed JSON"
NO_VERDICT = "no verdict in the reply"
QUOTED = "a verdict quoted from the judged text"
SCHEMA = "wrong schema"
UNCLEAR = "unclear verdict"
UNFINISHED = "unfinished reasoning"

_KEY = "verdict"
_KEYS = ["reason", _KEY]
_BEGINS = re.compile(r'\{\s*["}]')  # an object; other braces are prose
_STATES = re.compile(r"verdict\W{0,4}[:=]", re.IGNORECASE)  # after the last object: half of another one


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge said of one field."""

    value: float  # in [0, 1]
    reason: str
    said: Said


@dataclass(frozen=True, slots=True)
class Quotable:
    """What a reply may have out of the judged texts."""

    verdicts: tuple[Any, ...] = ()  # objects in them that look like a verdict
    speaks: bool = False  # they speak of a verdict

    @staticmethod
    def of(texts: Sequence[str]) -> Quotable:
        found = [v for text in texts for v in _anywhere(text) if _KEY in v]
        return Quotable(tuple(found), any(_KEY in text.casefold() for text in texts))


def read_verdict(text: str, criterion: Criterion, quotable: Quotable) -> Opinion:
    """Raises Unreadable with one of the causes above."""
    reply = _spoken(text)
    verdict, inside, end = _last(reply)
    if _same(verdict, quotable.verdicts):
        raise Unreadable(QUOTED)
    if inside or _STATES.search(reply, end):
        raise Unreadable(MALFORMED)
    if quotable.speaks and not _bare(reply):
        raise Unreadable(UNCLEAR)
    value = criterion.value(verdict[_KEY])
    reason = verdict.get("reason")
    if list(verdict) != _KEYS or value is None or not isinstance(reason, str) or not reason.strip():
        raise Unreadable(SCHEMA)
    return Opinion(value, reason, verdict[_KEY])


def _spoken(text: str) -> str:
    """The reply after a model's thoughts, in which it may weigh any verdict."""
    spoken = text.rpartition("</think>")[2]
    if "<think>" in spoken:
        raise Unreadable(UNFINISHED)
    return spoken


def _last(reply: str) -> tuple[dict[str, Any], bool, int]:
    """The last outermost object with a verdict, whether it stands inside other braces, and its end."""
    last, position, depth = None, 0, 0
    while begin := _BEGINS.search(reply, position):
        prose = reply[position : begin.start()]
        depth += prose.count("{") - prose.count("}")
        try:
            value, position = _decoder().raw_decode(reply, begin.start())
        except (ValueError, RecursionError) as error:  # what stands inside it might be a quotation
            raise Unreadable(MALFORMED) from error
        if _KEY in value:
            last = (value, depth > 0, position)
    if last is None:
        raise Unreadable(NO_VERDICT)
    return last


def _anywhere(text: str) -> Iterator[dict[str, Any]]:
    """Every object that can be read out of a text, those inside others too."""
    for begin in _BEGINS.finditer(text):
        try:
            value, _ = _decoder().raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            continue
        yield value


def _bare(reply: str) -> bool:
    """The reply is one object and nothing else."""
    try:
        _, end = _decoder().raw_decode(reply.strip())
    except (ValueError, RecursionError):
        return False
    return end == len(reply.strip())


def _same(value: Any, others: Sequence[Any]) -> bool:
    return any(json.dumps(value) == json.dumps(other) for other in others)


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refused)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key given twice")
    return value


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
