"""One attempt at one OpenAI-compatible server, and which of several servers is asked.

A loopback server is asked without proxies of the environment, and redirects are never followed: a request
goes where the recipe says, or nowhere. Reference of the wire format: OpenAI API, "Create chat completion".
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import ipaddress
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from fivestones.chat.concurrency import AdaptiveLimit, Slots
from fivestones.errors import UsageError
from fivestones.recipe_chat import EndpointPart, LimitsPart

REFUSED_RATE = 429
_AGAIN = (408, 425, REFUSED_RATE)  # and 500 to 599
_DOWN_AFTER = 3  # failures in a row, then others are preferred for a while
_LONGEST_DOWN = 30.0  # seconds
_MOST_DOUBLINGS = 5  # of that time: more would be cut, and a thousand overflow
_MOST_TOKENS = 1 << 31  # no answer has more: a count beyond it is none
_TOLD = 300  # characters of a server's words in a message


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    finish: str | None  # the server's finish_reason
    input_tokens: int | None  # None: the server does not say
    output_tokens: int | None


class Failed(Exception):
    """An attempt without a reply.

    cause: a few words that are the same each time; detail: the server's own, for the log; again: another
    attempt may do better; wait: seconds that the server asks for; billed: the server may have worked, and may
    charge.
    """

    def __init__(
        self, cause: str, detail: str = "", *, again: bool, wait: float | None = None, billed: bool = False
    ) -> None:
        super().__init__(cause)
        self.cause, self.detail, self.again, self.wait, self.billed = cause, detail, again, wait, billed

    @property
    def refused(self) -> bool:
        """The server is well and has no time: not now."""
        return self.cause == _status(REFUSED_RATE)


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Endpoint:
    """A server: its key, its own limit, and whether it is well. To be used within one event loop.

    Raises UsageError when the environment has no key.
    """

    def __init__(self, part: EndpointPart, limits: LimitsPart, environ: Mapping[str, str]) -> None:
        self.url = part.url
        self.loopback = is_loopback(part.url)
        self.limit = AdaptiveLimit(limits.concurrency, limits.most)
        self.slots = Slots(self.limit)
        self.closed_until = 0.0  # monotonic seconds: the server asked for patience
        self._down_until = 0.0
        self._failures = 0  # in a row
        self._timeout = limits.timeout
        self._key = _key(part, environ)
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            httpx2.URL(part.url)
        except httpx2.InvalidURL as error:
            raise UsageError(f"endpoint {part.url}: {error}") from error
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=None,  # one attempt is timed as a whole, below
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=limits.most),
            trust_env=not self.loopback,
            follow_redirects=False,
        )

    async def send(self, body: bytes) -> Reply:
        """One attempt. body: the JSON of a request. Raises Failed."""
        sent = self.limit.sent()
        try:
            reply = await self._send(body)
        except Failed as failed:
            now = time.monotonic()
            if failed.wait is not None:
                self.closed_until = max(self.closed_until, now + failed.wait)
            if failed.refused:
                self.limit.refused(sent)
            elif failed.again:
                self._failures += 1
                if self._failures >= _DOWN_AFTER:
                    doublings = min(self._failures - _DOWN_AFTER, _MOST_DOUBLINGS)
                    self._down_until = now + min(2.0**doublings, _LONGEST_DOWN)
            raise
        self._failures = 0
        self.limit.succeeded()
        return reply

    def is_well(self) -> bool:
        return time.monotonic() >= max(self._down_until, self.closed_until)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, body: bytes) -> Reply:
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.post(f"{self.url}/chat/completions", content=body)
        except TimeoutError as error:
            raise Failed("timeout", f"no answer in {self._timeout:g} s", again=True, billed=True) from error
        except httpx2.ConnectError as error:
            raise Failed("no connection", str(error), again=True) from error
        except httpx2.HTTPError as error:  # cut off, reset, not HTTP, not decodable
            raise Failed("broken reply", repr(error), again=True, billed=True) from error
        if response.status_code != httpx2.codes.OK:
            status = response.status_code
            raise Failed(
                _status(status),
                self._told(response.text),
                again=status in _AGAIN or status >= 500,
                wait=_retry_after(response.headers.get("retry-after"), time.time()),
            )
        try:
            return _reply(response.json())
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError is one
            raise Failed("malformed reply", self._told(response.text), again=True, billed=True) from error
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise Failed(
                "not a chat completion", self._told(response.text), again=True, billed=True
            ) from error

    def _told(self, text: str) -> str:
        """What the server says, in one line, without the key, which some servers repeat."""
        hidden = text.replace(self._key, "***") if self._key else text
        return " ".join(hidden.split())[:_TOLD]


def ranked(endpoints: Sequence[Endpoint], affinity: str) -> list[Endpoint]:
    """Rendezvous hashing (Thaler and Ravishankar 1998): the same text prefers the same servers, each text a
    server of its own choice, and without one server only its texts move."""

    def weight(endpoint: Endpoint) -> bytes:
        # the length keeps two texts from reading as one
        return hashlib.sha256(f"{len(endpoint.url)} {endpoint.url} {affinity}".encode()).digest()

    return sorted(endpoints, key=weight, reverse=True)


def _key(part: EndpointPart, environ: Mapping[str, str]) -> str | None:
    if part.api_key_env is None:
        return None
    return usable_key(f"endpoint {part.url} (api_key_env)", part.api_key_env, environ)


def usable_key(where: str, name: str, environ: Mapping[str, str]) -> str:
    """The key in the variable `name`. Raises UsageError, without showing it, when it is none."""
    key = environ.get(name, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        found = "holds no usable key" if key else "is not set"
        raise UsageError(f"{where}: the environment variable {name} {found}")
    return key


def _status(status: int) -> str:
    return f"HTTP {status}"


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds, from seconds or an HTTP date (RFC 9110, 10.2.3). now: seconds since the epoch."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _reply(value: Any) -> Reply:
    """Raises KeyError, IndexError, TypeError or AttributeError for anything but a chat completion."""
    choice = value["choices"][0]
    message = choice["message"]
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}")
    finish = "refusal" if message.get("refusal") else choice.get("finish_reason")
    if finish is not None and not isinstance(finish, str):
        raise TypeError(f"finish_reason is {type(finish).__name__}")
    # null: all tokens went into hidden reasoning, or the model refused
    return Reply(text or "", finish, *_usage(value))


def _usage(value: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = value.get("usage")
    found = usage if isinstance(usage, Mapping) else {}
    counts = (found.get("prompt_tokens"), found.get("completion_tokens"))
    prompt, completion = (n if isinstance(n, int) and 0 <= n < _MOST_TOKENS else None for n in counts)
    return prompt, completion


def encoded(body: Mapping[str, Any]) -> bytes:
    """A request as it is sent: lone surrogates, which a model can write, as JSON escapes."""
    return json.dumps(body, separators=(",", ":")).encode()
