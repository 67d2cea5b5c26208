"""Tools of a server that speaks the Model Context Protocol: a program of its own, or a URL.

The server is talked to in a background thread with an event loop of its own, so that tools are plain
functions and may be called from any thread. The thread is a daemon, every wait for it is bounded, and a
server that was started here is stopped when the process ends.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, cast

from fivestones.environments.tool_use.tools import Tool, ToolError
from fivestones.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from mcp import Client

STOPPING = 8.0  # seconds; the protocol's own steps to end a server take up to 6
PROBE = 5.0  # seconds in which a server that still works lists its tools
SPARE = 5.0  # seconds beyond a time limit, after which the loop itself is stuck
TAIL = 1000  # characters of a dead server's own words


class McpTools:
    """The tools of one server.

        with McpTools(["python", "server.py"]) as server:
            environment = ToolUse(server.tools)

    command: of a server over standard input and output, started here. url: of one over streamable HTTP.
    env: further variables of the started server; of this process's it gets only PATH, HOME and their like.
    time_limit: seconds of one call. start_limit: seconds until the server has listed its tools.

    What a tool says is wrong, and a tool that takes too long, is a ToolError. A server that is gone or
    answers nothing any more raises EnvironmentFault, at every later call too.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        url: str | None = None,
        env: Mapping[str, str] | None = None,
        *,
        time_limit: float = 30.0,
        start_limit: float = 60.0,
    ) -> None:
        if (command is None) == (url is None):
            raise UsageError("an MCP server: give `command` or `url`, one of them")
        if isinstance(command, str) or (command is not None and not command):
            raise UsageError(
                f"command: got {command!r}; allowed: a list of words such as ['python', 'server.py']"
            )
        if env and command is None:
            raise UsageError("env: only a server that is started by `command` takes it")
        if not time_limit > 0 or not start_limit > 0:
            raise UsageError(f"time limits: got {time_limit} and {start_limit} seconds; allowed: above 0")
        self.name = url or " ".join(command or ())
        self._command, self._url, self._env = tuple(command or ()), url, dict(env or {})
        self._time_limit, self._start_limit = time_limit, start_limit
        self._tools: tuple[Tool, ...] = ()
        self._connection: _Connection | None = None

    @property
    def tools(self) -> tuple[Tool, ...]:
        """As the server listed them when it was started."""
        return self._tools

    def start(self) -> None:
        """Raises UsageError when the server cannot be reached or lists what is no Tool. `with` calls this and
        `close`."""
        if self._connection is not None:
            raise UsageError(f"MCP server `{self.name}`: already started")
        connection = _Connection(self.name, self._target)
        self._connection = connection
        atexit.register(self.close)  # who never leaves the `with` leaves no server behind
        try:
            self._tools = tuple(self._tool(listed) for listed in connection.open(self._start_limit))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection, and the server that was started. Does nothing the second time."""
        atexit.unregister(self.close)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> McpTools:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _target(self, log: TextIO) -> Any:
        """What `mcp.Client` connects to. log: what a started server says on its standard error."""
        if self._url is not None:
            return self._url
        from mcp import StdioServerParameters, stdio_client

        program, *words = self._command
        return stdio_client(StdioServerParameters(command=program, args=words, env=self._env), errlog=log)

    def _tool(self, listed: Any) -> Tool:
        """Of what `mcp` lists."""
        name = listed.name
        try:
            return Tool(name, listed.description or "", listed.input_schema, partial(self._call, name))
        except UsageError as error:
            raise UsageError(f"MCP server `{self.name}`: {error}") from error

    def _call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        if self._connection is None:
            raise EnvironmentFault(f"MCP server `{self.name}`: not started, or closed")
        result = self._connection.call(tool, dict(arguments), self._time_limit)
        text = _text(result)
        if result.is_error:
            raise ToolError(text or f"{tool} failed and does not say why")
        return text


class _Connection:
    """A client of `mcp` in a thread of its own."""

    def __init__(self, name: str, target: Callable[[TextIO], Any]) -> None:
        self._name, self._target = name, target
        self._log = cast(TextIO, tempfile.TemporaryFile("a+", errors="replace"))  # noqa: SIM115 (`close`)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Client | None = None
        self._end: asyncio.Event | None = None
        self._listed: concurrent.futures.Future[list[Any]] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._work, name=f"mcp {name}", daemon=True)

    def open(self, limit: float) -> list[Any]:
        """The server's tools, as `mcp` has them."""
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"MCP server `{self._name}`: the package `mcp` is missing; pip install 'fivestones[mcp]'"
            ) from error
        self._thread.start()
        try:
            return self._listed.result(limit)
        except concurrent.futures.TimeoutError:
            raise UsageError(f"MCP server `{self._name}`: no answer in {limit:g} s{self._said()}") from None
        except Exception as error:
            raise UsageError(
                f"MCP server `{self._name}`: cannot be reached: {_told(error)}{self._said()}"
            ) from error

    def call(self, tool: str, arguments: dict[str, Any], limit: float) -> Any:
        """The server's result. Raises ToolError or EnvironmentFault."""
        coroutine = self._answer(tool, arguments, limit)
        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise self._fault("the connection has ended")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop was closed since
            coroutine.close()
            raise self._fault("the connection has ended") from None
        try:
            return future.result(limit + PROBE + SPARE)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            raise self._fault(f"{tool} ended with neither a result nor an error") from None

    def close(self) -> None:
        if self._thread.is_alive() and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed since
                self._loop.call_soon_threadsafe(self._stop)
            self._thread.join(STOPPING)
        self._log.close()

    def _stop(self) -> None:
        if self._end is not None:
            self._end.set()

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # told to who waits; a daemon's traceback helps nobody
            if not self._listed.done():
                self._listed.set_exception(
                    error if isinstance(error, Exception) else RuntimeError(repr(error))
                )

    async def _serve(self) -> None:
        from mcp import Client

        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        listing = asyncio.ensure_future(self._connected(Client(self._target(self._log), cache=None)))
        ended = asyncio.ensure_future(self._end.wait())
        await asyncio.wait((listing, ended), return_when=asyncio.FIRST_COMPLETED)
        listing.cancel()  # `close`, also while still connecting
        with contextlib.suppress(asyncio.CancelledError):
            await listing

    async def _connected(self, client: Client) -> None:
        async with client:
            tools, cursor = [], None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
            self._client = client
            self._listed.set_result(tools)
            await asyncio.Event().wait()  # until cancelled

    async def _answer(self, tool: str, arguments: dict[str, Any], limit: float) -> Any:
        from mcp import MCPError

        client = self._client
        if client is None:
            raise self._fault("the connection has ended")
        try:
            # a server may extend its own limit by telling of progress, hence this one around it
            return await asyncio.wait_for(client.call_tool(tool, arguments), limit)
        except TimeoutError:
            refused: ToolError = ToolError(f"{tool} gave no result in {limit:g} s")
        except MCPError as error:
            refused = ToolError(f"{tool}: {error.message}")
        except Exception as error:  # a result that is against the protocol, or a transport that failed
            raise self._fault(_told(error)) from error
        try:
            await asyncio.wait_for(client.list_tools(), PROBE)
        except Exception as error:
            raise self._fault(f"{refused}, and the server answers no more") from error
        raise refused  # it still answers: what was wrong is this call

    def _fault(self, why: str) -> EnvironmentFault:
        return EnvironmentFault(f"MCP server `{self._name}`: {why}{self._said()}")

    def _said(self) -> str:
        """The last words of a server that was started here."""
        if self._log.closed:
            return ""
        with contextlib.suppress(OSError, ValueError):
            self._log.seek(max(0, os.fstat(self._log.fileno()).st_size - TAIL))
            if said := self._log.read(TAIL).strip():
                return f"; it said:\n{said}"
        return ""


def _text(result: Any) -> str:
    """What a result says in words; of an image and the like only that it is there."""
    parts = [
        block.text
        if block.type == "text"
        else f"[{block.type}: {getattr(block, 'mime_type', None) or 'no text'}]"
        for block in result.content
    ]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _told(error: BaseException) -> str:
    """The first cause of what a group of tasks raised."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
