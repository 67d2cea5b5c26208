"""How many requests may be under way at one endpoint: additive increase, multiplicative decrease."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

GROW_AFTER = 25  # successes
SHRINK = 0.75


class AdaptiveLimit:
    """One more per `GROW_AFTER` successes up to `most`; times `SHRINK` (rounded down, at least 1) when the
    server refuses for its rate.

    A burst of refusals is one signal: those of requests sent before the last cut do not cut again.
    """

    def __init__(self, start: int, most: int) -> None:
        self.value = start
        self.most = most
        self._successes = 0
        self._cuts = 0

    def sent(self) -> int:
        """To be taken when a request leaves, and given back with its refusal."""
        return self._cuts

    def succeeded(self) -> None:
        self._successes += 1
        if self._successes == GROW_AFTER:
            self._successes = 0
            self.value = min(self.value + 1, self.most)

    def refused(self, sent: int) -> None:
        if sent == self._cuts:
            self._cuts += 1
            self._successes = 0
            self.value = max(1, int(self.value * SHRINK))


class Slots:
    """Lets in as many at once as the limit says at the moment, in the order of asking. For one event loop."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self._used < self._limit.value and not self._waiting:
            self._used += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # passed over already
                    self._waiting.remove(turn)
            else:  # the slot was handed over in the same moment: hand it on
                self._leave()
            raise

    def _leave(self) -> None:
        self._used -= 1
        # a limit that fell lets nobody in; one that grew lets in several
        while self._used < self._limit.value and self._waiting:
            turn = self._waiting.popleft()
            if not turn.cancelled():
                self._used += 1
                turn.set_result(None)
