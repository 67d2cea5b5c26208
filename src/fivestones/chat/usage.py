"""What a client has done so far: one frozen value for logs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fivestones.chat.cache import Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Since the client was made. A difference of two is what lies between them."""

    questions: int = 0  # asked by the caller, cached ones included
    cache_hits: int = 0  # answered without a request of their own
    requests: int = 0  # attempts that left for an endpoint
    retries: int = 0  # of them, those that were not the first of their question
    answers: int = 0  # requests that brought a readable answer
    input_tokens: int = 0  # estimated where an endpoint did not say
    output_tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0  # of all requests together; they overlap
    longest: float = 0.0  # seconds of the slowest request so far
    unscored: Mapping[str, int] = field(default_factory=dict)  # cause -> questions left without an answer

    def __sub__(self, earlier: Usage) -> Usage:
        unscored = {cause: n - earlier.unscored.get(cause, 0) for cause, n in self.unscored.items()}
        return Usage(
            questions=self.questions - earlier.questions,
            cache_hits=self.cache_hits - earlier.cache_hits,
            requests=self.requests - earlier.requests,
            retries=self.retries - earlier.retries,
            answers=self.answers - earlier.answers,
            input_tokens=self.input_tokens - earlier.input_tokens,
            output_tokens=self.output_tokens - earlier.output_tokens,
            money=self.money - earlier.money,
            seconds=self.seconds - earlier.seconds,
            longest=self.longest,
            unscored={cause: n for cause, n in unscored.items() if n},
        )


class Tally:
    """Counts; `usage` is the count at that moment. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage = Usage()
        self._unscored: Counter[str] = Counter()

    @property
    def usage(self) -> Usage:
        with self._lock:
            return replace(self._usage, unscored=dict(self._unscored))

    def asked(self, count: int) -> None:
        with self._lock:
            self._usage = replace(self._usage, questions=self._usage.questions + count)

    def hit(self) -> None:
        with self._lock:
            self._usage = replace(self._usage, cache_hits=self._usage.cache_hits + 1)

    def request(self, seconds: float, cost: Spent, *, retry: bool, answered: bool) -> None:
        """One attempt has ended."""
        with self._lock:
            u = self._usage
            self._usage = replace(
                u,
                requests=u.requests + 1,
                retries=u.retries + retry,
                answers=u.answers + answered,
                input_tokens=u.input_tokens + cost.input_tokens,
                output_tokens=u.output_tokens + cost.output_tokens,
                money=u.money + cost.money,
                seconds=u.seconds + seconds,
                longest=max(u.longest, seconds),
            )

    def unanswered(self, cause: str) -> None:
        with self._lock:
            self._unscored[cause] += 1
