"""What the teacher needs of a chat model, and one reply of it. The client itself is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A reply as it came, one that was cut included."""

    text: str
    finish: str | None  # the server's finish_reason
    endpoint: str  # host and port that wrote it
    input_tokens: int
    output_tokens: int
    money: float  # in the currency of the recipe's prices
    seconds: float  # that the request took


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReply:
    """The client has given up."""

    cause: str  # a few words: timeout, HTTP 500 ...
    over_budget: bool = False  # then nothing else that is asked gets a reply


class Writer(Protocol):
    """A chat model that keeps every whole reply under its request, so that the same is never paid twice.

    To be called from many threads at once.
    """

    @property
    def model(self) -> str: ...

    def write(self, body: Mapping[str, Any], *, affinity: str, about: str) -> Written | NoReply:
        """One reply to a chat completion request. body: without the model and what the recipe adds; affinity:
        what should be asked of one server; about: what beside the body makes it another request."""
        ...
