"""Open sessions on a server of the OpenEnv protocol, found again by the chat that they belong to.

A trainer asks for a reply with the whole chat and holds no session, so a session is kept beside the chat so
far: the digest of the task and its messages up to the last assistant turn, and what the server replied to it.
Equal chats may hold several sessions; any of them serves, for they were asked the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from fivestones.environments.openenv.protocol import (
    PATH,
    Answer,
    AskState,
    CallTool,
    Close,
    Failure,
    ListTools,
    Observation,
    ProtocolError,
    Request,
    Reset,
    State,
    read_answer,
    result_text,
    write_request,
)
from fivestones.errors import DataError, EnvironmentFault, UsageError
from fivestones.types import Message

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MISSING = "a remote environment needs the package `websockets`: pip install 'fivestones[env]'"
_LARGEST = 16 << 20  # bytes of a server's message
_GOODBYES_S = 5.0  # that all of them may take
_CAPACITY_WAITS_S = (0.2, 0.5, 1.0, 2.0)  # a server frees the place of a closed session a moment later

Made = TypeVar("Made")


class SessionLost(EnvironmentFault):
    """The session cannot be used any more; another may do."""


class Silent(SessionLost):
    """The server gives no answer in time."""


class Full(SessionLost):
    """The server takes no further session."""


class Session:
    """One connection and its episode. Not for two threads at once. Every failure is SessionLost."""

    def __init__(self, tools: RemoteTools, socket: ClientConnection) -> None:
        self._tools = tools
        self._socket = socket
        self.done = False
        self.reward: float | None = None  # of the observation that ended the episode
        self.replies: tuple[str, ...] = ()  # to the last assistant turn
        self.since = 0.0  # when it began to wait for its chat's next turn

    def reset(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Begins an episode; its first observation."""
        answer = self._observed(Reset(data))
        self.done, self.reward, self.replies = answer.done, None, ()
        return answer.observation

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """A tool's result as text; `done` and `reward` where it ended the episode."""
        answer = self._observed(CallTool(name, arguments))
        if answer.done:
            self.done, self.reward = True, answer.reward
            return ""  # nobody reads on: the episode is over
        try:
            return result_text(answer.observation)
        except ProtocolError as error:
            raise SessionLost(f"{self._tools.url}: {error}") from error

    def list_tools(self) -> Sequence[Mapping[str, Any]]:
        tools = self._observed(ListTools()).observation.get("tools")
        if not isinstance(tools, list) or not all(
            isinstance(tool, dict) and "name" in tool for tool in tools
        ):
            raise SessionLost(f"{self._tools.url} lists no tools")
        return tools

    def state(self) -> Mapping[str, Any]:
        answer = self._ask(AskState())
        if not isinstance(answer, State):
            raise SessionLost(f"{self._tools.url}: no state, got {answer}")
        return answer.data

    def close(self) -> None:
        """Never fails, and does not wait for the server."""
        self._tools.spawn(_goodbye(self._socket))

    def _observed(self, request: Request) -> Observation:
        answer = self._ask(request)
        if not isinstance(answer, Observation):
            raise SessionLost(f"{self._tools.url}: no observation, got {answer}")
        return answer

    def _ask(self, request: Request) -> Answer:
        async def exchange() -> str | bytes:
            with suppress(ConnectionClosed):  # one that refuses says why before it closes: that is read next
                await self._socket.send(write_request(request))
            return await self._socket.recv()

        from websockets.exceptions import ConnectionClosed

        url, limit = self._tools.url, self._tools.timeout_s
        try:
            answer = read_answer(self._tools.wait(asyncio.wait_for(exchange(), limit)))
        except TimeoutError as error:
            raise Silent(f"{url} gave no answer within {limit:g} s") from error
        except (ConnectionClosed, OSError) as error:
            raise SessionLost(f"{url} closed the session: {error}") from error
        except ProtocolError as error:
            raise SessionLost(f"{url} said what is no answer: {error}") from error
        if isinstance(answer, Failure):
            kind = Full if answer.code == "CAPACITY_REACHED" else SessionLost
            raise kind(f"{url} failed: {answer.message} ({answer.code})")
        return answer


class RemoteTools:
    """A server's sessions; safe to use from several threads. At most `max_sessions` wait for their chat's
    next turn: beyond, the one that waited longest is closed, as is one that waited for more than `idle_s`
    when another is opened: its chat has ended, where nobody said so.

    url: ws://host:port, http://host:port or with the path /ws. headers: sent when connecting (authorization).
    Connections live in one background thread. Raises UsageError for a url that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 60.0,
        max_sessions: int = 512,
        headers: Mapping[str, str] | None = None,
        idle_s: float = 1800.0,
    ) -> None:
        try:
            import websockets.asyncio.client  # noqa: F401
        except ImportError as error:
            raise UsageError(MISSING) from error
        self.url = socket_url(url)
        self.timeout_s = timeout_s
        self._headers = dict(headers or {})
        self._max = max_sessions
        self._lock = threading.Lock()
        self._idle_s = idle_s
        self._waiting: OrderedDict[int, tuple[str, Session]] = OrderedDict()  # by age
        self._by_chat: dict[str, list[int]] = {}
        self._count = 0
        self._loop = _connections()
        self._tasks: set[asyncio.Task[Any]] = set()

    def connect(self) -> Session:
        """A new session without an episode. Raises SessionLost when the server cannot be reached."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        async def opened() -> ClientConnection:
            # a proxy of the environment variables is for what is outside
            proxy: dict[str, Any] = {"proxy": None} if _is_loopback(self.url) else {}
            return await connect(
                self.url,
                open_timeout=self.timeout_s,
                max_size=_LARGEST,
                close_timeout=2,
                additional_headers=self._headers,
                **proxy,
            )

        self._close_idle()
        try:
            return Session(self, self.wait(opened()))
        except TimeoutError as error:
            raise Silent(f"{self.url} cannot be reached within {self.timeout_s:g} s: {error}") from error
        except (OSError, WebSocketException) as error:
            raise SessionLost(f"{self.url} cannot be reached: {error}") from error

    def begin(self, data: Mapping[str, Any]) -> tuple[Session, Mapping[str, Any]]:
        """A new session with an episode, and the first observation. Waits a little for a full server."""
        for wait_s in (*_CAPACITY_WAITS_S, None):
            session = self.connect()
            try:
                return session, session.reset(data)
            except Full:
                session.close()
                if wait_s is None:
                    raise
                time.sleep(wait_s)
            except SessionLost:
                session.close()
                raise
        raise AssertionError("the last wait raises")

    def keep(self, task_id: str, messages: Sequence[Message], session: Session) -> None:
        """Keeps the session of a chat whose last message is the assistant's; `session.replies` came to it."""
        key = digest(task_id, messages)
        session.since = time.monotonic()
        with self._lock:
            self._count += 1
            self._waiting[self._count] = (key, session)
            self._by_chat.setdefault(key, []).append(self._count)
            oldest = self._pop(next(iter(self._waiting))) if len(self._waiting) > self._max else None
        if oldest:
            oldest.close()

    def take(self, task_id: str, messages: Sequence[Message]) -> Session | None:
        """A session that was kept for this chat: an assistant turn, then the replies to it (all of them, or
        none to take any)."""
        end = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=-1) + 1
        key, replies = digest(task_id, messages[:end]), tuple(message.content for message in messages[end:])
        with self._lock:
            for number in self._by_chat.get(key, ()):
                if not replies or self._waiting[number][1].replies == replies:
                    return self._pop(number)
        return None

    def close(self) -> None:
        """Closes every session that waits; the server is told before this returns, where it listens."""
        with self._lock:
            sessions = [self._pop(number) for number in list(self._waiting)]
        for session in sessions:
            session.close()
        self.wait(self._goodbyes())

    @property
    def waiting(self) -> int:
        """How many sessions wait for their chat's next turn."""
        return len(self._waiting)

    def wait(self, work: Coroutine[Any, Any, Made]) -> Made:
        """The result of work in the thread of the connections."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        def start() -> None:
            task = self._loop.create_task(work)
            self._tasks.add(task)  # the loop itself holds no reference that keeps it
            task.add_done_callback(self._tasks.discard)

        self._loop.call_soon_threadsafe(start)

    async def _goodbyes(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GOODBYES_S)

    def _close_idle(self) -> None:
        before = time.monotonic() - self._idle_s
        with self._lock:
            old = [n for n, (_, session) in self._waiting.items() if session.since < before]
            sessions = [self._pop(number) for number in old]
        for session in sessions:
            session.close()

    def _pop(self, number: int) -> Session:
        key, session = self._waiting.pop(number)
        numbers = self._by_chat[key]
        numbers.remove(number)
        if not numbers:
            del self._by_chat[key]
        return session


@cache
def _connections() -> asyncio.AbstractEventLoop:
    """One thread for the connections of all servers, as long as the process lives."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="openenv-client", daemon=True).start()
    return loop


def digest(task_id: str, messages: Sequence[Message]) -> str:
    """Names a chat of a task."""
    said = [task_id, *([message.role, message.content] for message in messages)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def socket_url(url: str) -> str:
    """The WebSocket address of a server's address."""
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{url!r} is no address of a server; write for example ws://127.0.0.1:8000")
    path = parts.path.rstrip("/")
    path = path if path.endswith(PATH) else path + PATH
    return parts._replace(scheme=schemes[parts.scheme], path=path, fragment="").geturl()


def changed(url: str, before: str, after: str) -> DataError:
    """The server's questions are not those that training began with."""
    return DataError(
        f"{url} gives another question for the same seed or task: first {before[:120]!r}, then "
        f"{after[:120]!r}; training needs a server whose reset keeps to its seed"
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _goodbye(socket: ClientConnection) -> None:
    from websockets.exceptions import WebSocketException

    try:
        await socket.send(write_request(Close()))
        await socket.close()
    except (WebSocketException, OSError):
        pass  # it is gone already
