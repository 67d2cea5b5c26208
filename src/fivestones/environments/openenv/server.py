"""A server of the OpenEnv protocol: WebSocket `/ws`, one episode at a time per connection, and `/health`.

Hands out questions, tool results and, with the observation that ends an episode, the reward of the
environment's scorer. A reset may name a `task_id`, or a `seed` and a `split`; `state` tells how many tasks
each split has. References never leave the server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fivestones.environments.openenv.episode import (
    SPLITS,
    Catalogue,
    Episode,
    Observe,
    ServedEnvironment,
    question_of,
)
from fivestones.environments.openenv.protocol import (
    HEALTH,
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
    read_request,
    write_answer,
)
from fivestones.environments.openenv.workers import Workers
from fivestones.errors import UsageError
from fivestones.types import Split

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request as HttpRequest
    from websockets.http11 import Response

MISSING = "the OpenEnv protocol needs the package `websockets`: pip install 'fivestones[env]'"
_GRACE_S = 5.0  # for sessions under way when the server ends
_log = logging.getLogger("fivestones.openenv")
_log.addHandler(logging.NullHandler())  # a port scan is no news for the terminal


@dataclass(frozen=True)
class Limits:
    message_bytes: int = 1 << 20
    sessions: int = 1024  # at once
    idle_s: float = 1800.0  # a session without a message; a step of training may lie between two
    call_s: float = 60.0  # from a call's arrival to its answer
    calls: int = 100  # an episode's; then it ends and is scored as it is


@dataclass
class _Session:
    id: str
    episode: Episode | None = None


class Server:
    """Answers connections; `run` is its life. make: an environment of the thread that calls it."""

    def __init__(
        self,
        make: Callable[[], ServedEnvironment],
        *,
        splits: Sequence[Split] = SPLITS,
        limits: Limits | None = None,
        workers: int = 2,
        observe: Observe = question_of,
    ) -> None:
        try:
            import websockets.asyncio.server  # noqa: F401
        except ImportError as error:
            raise UsageError(MISSING) from error
        self.limits = limits or Limits()
        self._workers = Workers(make, workers)
        self._open: set[asyncio.Task[Any]] = set()
        self.catalogue = self._workers.run(lambda env: Catalogue(env, splits, observe)).result()

    async def run(self, host: str, port: int, stop: asyncio.Event, started: Callable[[int], None]) -> None:
        """Serves until `stop`; tells the port (of its own choice for port 0) when it listens. Raises
        UsageError when the address cannot be had."""
        from websockets.asyncio.server import serve as listen

        try:
            server = await listen(
                self._session,
                host,
                port,
                process_request=_admit,
                max_size=self.limits.message_bytes,
                close_timeout=2,
                logger=_log,
            )
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen at {host}:{port}: {error}; choose another port") from error
        try:
            started(next(iter(server.sockets)).getsockname()[1])
            await stop.wait()
        finally:
            server.close()  # tells every client that the server goes away
            try:
                await asyncio.wait_for(server.wait_closed(), _GRACE_S)
            except TimeoutError:
                for task in self._open:
                    task.cancel()
            self._workers.close()

    async def _session(self, socket: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._open) >= self.limits.sessions:
                full = Failure(f"all {self.limits.sessions} sessions are taken", "CAPACITY_REACHED")
                await socket.send(write_answer(full))
                await socket.close(1013, "all sessions are taken")
                return
            self._open.add(task)
            await self._talk(socket)
        except ConnectionClosed:
            pass  # a client may leave at any time
        finally:
            self._open.discard(task)

    async def _talk(self, socket: ServerConnection) -> None:
        session = _Session(uuid.uuid4().hex)
        while True:
            try:
                text = await asyncio.wait_for(socket.recv(), self.limits.idle_s)
            except TimeoutError:
                idle = f"the session was idle for {self.limits.idle_s:g} s"
                await socket.send(write_answer(Failure(idle, "SESSION_ERROR")))
                return
            goes_on = True
            try:
                request = read_request(text)
                if isinstance(request, Close):
                    return
                said = write_answer(await self._answer(session, request))
            except ProtocolError as error:
                said = write_answer(Failure(str(error), error.code))
            except TimeoutError:
                goes_on = False  # what the call did is unknown
                late = f"the call took longer than {self.limits.call_s:g} s; the session is closed"
                said = write_answer(Failure(late, "EXECUTION_ERROR"))
            except Exception as error:  # the environment's: this session's client is told, the others go on
                _log.exception("the environment failed")
                said = write_answer(Failure(f"{type(error).__name__}: {error}", "EXECUTION_ERROR"))
            await socket.send(said)
            if not goes_on:
                return

    async def _answer(self, session: _Session, request: Request) -> Answer:
        match request:
            case Reset(data):
                task = self.catalogue.choose(data)
                session.id = str(data.get("episode_id") or session.id)
                session.episode = Episode(self.catalogue, task, self.limits.calls)
                return self.catalogue.first(task)
            case ListTools():
                return Observation({"tools": self.catalogue.tools})
            case CallTool(name, arguments):
                episode = session.episode
                if episode is None:
                    raise ProtocolError("SESSION_ERROR", "there is no episode; reset before the first call")
                return await self._call(episode, name, arguments)
            case AskState():
                episode = session.episode
                state: dict[str, Any] = {
                    "episode_id": session.id,
                    "step_count": episode.steps if episode else 0,
                }
                state["task_id"] = episode.task.id if episode else None
                return State({**state, "tasks": self.catalogue.counts()})
            case Close():
                raise AssertionError("a close has no answer")

    async def _call(self, episode: Episode, name: str, arguments: Any) -> Observation:
        future = self._workers.run(lambda environment: episode.call(environment, name, arguments))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.call_s)
        except (TimeoutError, asyncio.CancelledError):
            self._workers.give_up(future)
            raise


def serve(
    make: Callable[[], ServedEnvironment],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    splits: Sequence[Split] = SPLITS,
    limits: Limits | None = None,
    workers: int = 2,
    observe: Observe = question_of,
    started: Callable[[int], None] = lambda port: None,
) -> None:
    """Serves an environment until SIGTERM or SIGINT, then returns. For the main thread.

    make: makes the environment; called once in each of the `workers` threads. observe: what of a task a
    client is shown at reset. started: told the port when the server listens.
    Raises UsageError when the address cannot be had, or `websockets` is not installed.
    """
    server = Server(make, splits=splits, limits=limits, workers=workers, observe=observe)

    async def life() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        await server.run(host, port, stop, started)

    asyncio.run(life())


class ServedThread:
    """The same in a thread of this process, on loopback, for the length of a `with`. `url` tells where."""

    def __init__(self, make: Callable[[], ServedEnvironment], *, port: int = 0, **options: Any) -> None:
        self._server = Server(make, **options)
        self._wanted = port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def __enter__(self) -> ServedThread:
        self._thread.start()
        self._ready.wait()
        if self._failed:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server and every session, and waits for that."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        def started(port: int) -> None:
            self.port = port
            self._ready.set()

        try:
            self._loop.run_until_complete(self._server.run("127.0.0.1", self._wanted, self._stop, started))
        except BaseException as error:
            self._failed = error
        finally:
            self._loop.close()
            self._ready.set()


def _admit(socket: ServerConnection, request: HttpRequest) -> Response | None:
    """None lets the WebSocket handshake go on."""
    path = request.path.partition("?")[0]
    if path == HEALTH:
        response = socket.respond(200, json.dumps({"status": "healthy"}))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response
    if path != PATH:
        return socket.respond(404, f"there is {PATH} (WebSocket) and {HEALTH}\n")
    # a browser names the page that connects; a page of another site must not reach this machine's server
    origins = request.headers.get_all("Origin")
    if origins and not all(_same_loopback(origin, request.headers.get("Host", "")) for origin in origins):
        return socket.respond(403, "connections of browsers are for pages of the same loopback host only\n")
    return None


def _same_loopback(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
        return parts.netloc == host and (name == "localhost" or ipaddress.ip_address(name).is_loopback)
    except ValueError:
        return False
