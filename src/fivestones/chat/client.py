"""Many questions to a chat model at once: from the cache, or from an endpoint, with retries, within a budget.

Asynchronous inside, in a thread of its own; `complete` is an ordinary call, from any thread. Nothing here
knows what the questions are about.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, TypeVar

from fivestones.chat.budget import Budget
from fivestones.chat.cache import ReplyCache, Spent
from fivestones.chat.egress import Egress
from fivestones.chat.endpoint import Endpoint, Failed, Reply, encoded, ranked
from fivestones.chat.usage import Tally, Usage
from fivestones.errors import ResourceError, UsageError
from fivestones.recipe_chat import ChatPart

log = logging.getLogger(__name__)
T = TypeVar("T")
Answer = TypeVar("Answer", covariant=True)

OVER_BUDGET = "over budget"
DEADLINE = "deadline"
TOO_LONG = "asked to wait beyond the deadline"
_LONGEST_BACKOFF = 20.0  # seconds
_MOST_DOUBLINGS = 30  # of a backoff
_SOON = 5.0  # seconds
_CUT = {"length": "truncated", "content_filter": "refused", "refusal": "refused"}  # finish_reason -> cause


class Unreadable(Exception):
    """An answer that does not say what was asked for; the text is the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A reply, and what it took: what the cache keeps."""

    text: str
    finish: str | None  # the server's finish_reason
    endpoint: str  # its URL
    input_tokens: int  # estimated where the endpoint did not say
    output_tokens: int
    money: float  # in the currency of the recipe's prices
    seconds: float  # that the request took


@dataclass(frozen=True, slots=True)
class Ask(Generic[Answer]):
    """One question.

    body: the request, without what the recipe adds; affinity: questions of one text go to one server; about:
    what beside the request decides the answer's meaning, hashed into its key; read: the answer out of the
    reply, raises Unreadable. Only replies that can be read are kept. whole: a reply that is empty or was cut
    is another attempt's to mend; False: `read` sees it too.
    """

    body: Mapping[str, Any]
    affinity: str
    about: str
    read: Callable[[Said], Answer]
    whole: bool = True


_KEPT = {field.name for field in fields(Said)}


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a question has no answer."""

    cause: str


class ChatClient:
    """A chat model behind one or several endpoints.

    remember: False asks everything anew and keeps no reply; what it costs counts all the same. tally: several
    clients may share one. environ: where the keys are. before: called once, in another thread, before the
    first request that leaves; what it takes is not part of any deadline, and what it raises is raised by
    `complete`. rng: of the jitter, which changes no answer. Raises UsageError for a part without endpoint or
    model, or a key that is not there.
    """

    def __init__(
        self,
        part: ChatPart,
        cache: ReplyCache,
        *,
        egress: Egress | None = None,
        remember: bool = True,
        tally: Tally | None = None,
        environ: Mapping[str, str] = os.environ,
        before: Callable[[], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if not part.endpoints or part.model is None:
            raise UsageError("a chat model needs `endpoints` (at least one) and `model` (its name there)")
        self._part = part
        self._cache = cache
        self._account = part.model
        self._budget = Budget(part.budget, cache, part.model)
        self._egress = egress or Egress(None)
        self._remember = remember
        self._rng = rng or random.Random()
        self._tally = tally or Tally()
        self._endpoints = [Endpoint(e, part.limits, environ) for e in part.endpoints]
        self._asking: dict[str, asyncio.Task[Any]] = {}  # key -> the question under way
        self._told: set[tuple[str, str]] = set()  # (endpoint, cause) of failures that were logged
        self._before = before
        self._getting_ready = asyncio.Lock()
        self._start = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def model(self) -> str:
        """Its name at the endpoints."""
        return self._account

    @property
    def usage(self) -> Usage:
        return self._tally.usage

    def complete(self, asks: Sequence[Ask[T]]) -> list[T | Unanswered]:
        """An answer for each question, in order, all asked at once; equal questions are asked once.

        Takes at most the deadline. Raises only what is no failure of the model: ResourceError and DataError
        of the cache, ResourceError after `close`.
        """
        if not asks:
            return []
        with self._start:
            loop = self._running()
            future = asyncio.run_coroutine_threadsafe(self._complete(asks), loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: leave now; answers that still come are kept for the next time
            future.cancel()
            raise

    def close(self, wait: float = 0.0) -> None:
        """Ends the connections; nothing can be asked any more. wait: seconds that what is under way may still
        take; then it is lost."""
        with self._start:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._shut(wait), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(_SOON)

    # the loop's thread

    def _running(self) -> asyncio.AbstractEventLoop:
        """Under the lock `_start`."""
        if self._closed:
            raise ResourceError(f"the client of {self._account} was closed: nothing can be asked any more")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # a daemon: a question that hangs does not keep the program from ending
            self._thread = threading.Thread(
                target=_forever, args=(self._loop,), name="chat-client", daemon=True
            )
            self._thread.start()
        return self._loop

    async def _shut(self, wait: float) -> None:
        """What is under way are requests, and those who wait for them."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if wait and left:
            _, left = await asyncio.wait(left, timeout=wait)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for endpoint in self._endpoints:
            await endpoint.close()

    # questions

    async def _complete(self, asks: Sequence[Ask[T]]) -> list[T | Unanswered]:
        self._tally.asked(len(asks))
        end = asyncio.get_running_loop().time() + self._part.limits.deadline
        waiting = [self._answer(ask, end) for ask in asks]
        return list(await asyncio.gather(*waiting))

    async def _answer(self, ask: Ask[T], end: float) -> T | Unanswered:
        key, body = self._keyed(ask)
        kept = self._kept(key, ask)
        if kept is not None:
            self._tally.hit()
            return kept
        shared = key in self._asking
        under_way = self._asking[key] if shared else self._started(ask, key, body, end)
        # shielded: several may wait for it, and it goes on when one of them leaves
        answer: T | Unanswered = await asyncio.shield(under_way)
        if isinstance(answer, Unanswered):
            self._tally.unanswered(answer.cause)
        elif shared:
            self._tally.hit()
        return answer

    def _keyed(self, ask: Ask[Any]) -> tuple[str, bytes]:
        """The key of its content, and the body to send."""
        body = encoded(self._request(ask))
        return hashlib.sha256(ask.about.encode() + b"\0" + body).hexdigest(), body

    def _started(self, ask: Ask[T], key: str, body: bytes, end: float) -> asyncio.Task[T | Unanswered]:
        task = self._asking[key] = asyncio.create_task(self._ask(ask, key, body, end))
        task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    def _kept(self, key: str, ask: Ask[T]) -> T | None:
        value = self._cache.get(key) if self._remember else None
        if value is None or value.keys() != _KEPT:
            return None
        try:
            return ask.read(Said(**value))
        except Unreadable:  # kept by a version that read it otherwise
            return None

    async def _ask(self, ask: Ask[T], key: str, body: bytes, end: float) -> T | Unanswered:
        """All attempts of one question. end: in seconds of the loop's clock."""
        order = ranked(self._endpoints, ask.affinity)
        cause = DEADLINE
        end += await self._made_ready()
        try:
            async with asyncio.timeout_at(end):
                tried = failures = 0
                while failures < self._part.limits.attempts:
                    if tried:
                        await asyncio.sleep(self._backoff(tried))
                    try:
                        return await self._attempt(order, ask, key, body, end, retry=tried > 0)
                    except Failed as failed:
                        cause = failed.cause
                        if not failed.again:
                            break
                        tried += 1
                        failures += not failed.refused  # a limit of rate is waited out, until the deadline
        except TimeoutError:
            pass  # with the cause of the last attempt, if there was one
        return Unanswered(cause)

    async def _made_ready(self) -> float:
        """The seconds that it took."""
        began = time.monotonic()
        async with self._getting_ready:
            if self._before is not None:
                await asyncio.to_thread(self._before)
                self._before = None
        return time.monotonic() - began

    async def _attempt(
        self, order: Sequence[Endpoint], ask: Ask[T], key: str, body: bytes, end: float, *, retry: bool
    ) -> T:
        """One request, to the first endpoint that is well when its turn comes. Raises Failed, also for a
        reply that cannot be read."""
        while True:
            endpoint = _first(order)
            async with endpoint.slots.slot():
                if _first(order) is not endpoint:  # it went down while this waited for its turn
                    continue
                # again after the sleep: the server may have asked others for more patience meanwhile
                while (wait := endpoint.closed_until - time.monotonic()) > 0:
                    if asyncio.get_running_loop().time() + wait > end:
                        raise Failed(TOO_LONG, again=False)
                    await asyncio.sleep(wait)
                return await self._paid(endpoint, ask, key, body, retry=retry)

    async def _paid(self, endpoint: Endpoint, ask: Ask[T], key: str, body: bytes, *, retry: bool) -> T:
        most = self._budget.estimate(len(body), self._longest)
        if not self._budget.reserve(most):
            raise Failed(OVER_BUDGET, again=False)
        began = time.monotonic()
        cost, kept = Spent(), None
        try:
            if not endpoint.loopback:
                self._egress.record(endpoint.url, body)
            cost = most  # what breaks off without a word is taken to have cost the most
            reply = await endpoint.send(body)
            cost = self._cost(reply, most)
            said = Said(
                text=reply.text,
                finish=reply.finish,
                endpoint=endpoint.url,
                input_tokens=cost.input_tokens,
                output_tokens=cost.output_tokens,
                money=cost.money,
                seconds=time.monotonic() - began,
            )
            answer = _read(said, ask)
            kept = asdict(said)
            return answer
        except Failed as failed:
            if not failed.billed:
                cost = Spent()
            self._tell(endpoint, failed)
            raise
        finally:
            self._budget.settle(most)
            self._cache.paid(self._account, cost, key if kept and self._remember else None, kept)
            self._tally.request(time.monotonic() - began, cost, retry=retry, answered=kept is not None)

    def _request(self, ask: Ask[Any]) -> dict[str, Any]:
        part = self._part.request
        sampling = {"model": self._part.model, "temperature": part.temperature, "max_tokens": part.max_tokens}
        merged = {**sampling, **ask.body, **part.extra}
        return {name: value for name, value in merged.items() if value is not None}

    @property
    def _longest(self) -> int:
        """Tokens that an answer may have; some servers know the limit by its newer name."""
        said = self._part.request.extra.get("max_completion_tokens")
        return said if isinstance(said, int) else self._part.request.max_tokens

    def _cost(self, reply: Reply, most: Spent) -> Spent:
        prompt = most.input_tokens if reply.input_tokens is None else reply.input_tokens
        answer = most.output_tokens if reply.output_tokens is None else reply.output_tokens
        return self._budget.cost(prompt, answer)

    def _backoff(self, attempt: int) -> float:
        """Seconds; jittered, so that what failed together does not come back together."""
        wait = self._part.limits.backoff * math.pow(2.0, min(attempt - 1, _MOST_DOUBLINGS))
        return min(wait, _LONGEST_BACKOFF) * self._rng.uniform(0.5, 1.0)

    def _tell(self, endpoint: Endpoint, failed: Failed) -> None:
        if (endpoint.url, failed.cause) not in self._told:
            self._told.add((endpoint.url, failed.cause))
            log.warning("%s: %s%s", endpoint.url, failed.cause, f": {failed.detail}" if failed.detail else "")


def _first(order: Sequence[Endpoint]) -> Endpoint:
    """That is well; without any, the one to wait for."""
    now = time.monotonic()
    # the first of equals: down counts for nothing here, since nothing but asking shows that it is up again
    return next((e for e in order if e.is_well()), min(order, key=lambda e: max(e.closed_until, now)))


def flaw(said: Said) -> str | None:
    """What no reader need look at: the reply was cut, refused or is empty."""
    if cut := _CUT.get(said.finish or ""):
        return cut
    return None if said.text.strip() else "empty reply"


def _read(said: Said, ask: Ask[T]) -> T:
    """The answer in a reply. Raises Failed: another attempt may be readable."""
    if ask.whole and (cause := flaw(said)):
        raise Failed(cause, f"finish_reason {said.finish}", again=True, billed=True)
    try:
        return ask.read(said)
    except Unreadable as error:
        raise Failed(str(error), again=True, billed=True) from error


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
