"""Real servers: a process that is spoken to over its standard input and output, and one over HTTP."""

from __future__ import annotations

import builtins
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fivestones.environments.tool_use import McpTools, Tool, ToolError, ToolUse
from fivestones.errors import EnvironmentFault, UsageError
from fivestones.hermes import write
from fivestones.types import Call, Message, Task

SERVER = '''
import asyncio, os, sys, time
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("test", log_level="ERROR")

@server.tool()
def add(a: int, b: int = 1) -> str:
    """Adds two numbers."""
    return str(a + b)

@server.tool()
def table() -> dict[str, int]:
    """A value with structure."""
    return {"rows": 3}

@server.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ToolError(f"no: {why}")

@server.tool()
async def hang() -> str:
    """Never ends, and lets others work."""
    await asyncio.sleep(60)
    return "never"

@server.tool()
async def freeze() -> str:
    """Stops the whole server."""
    time.sleep(60)
    return "never"

@server.tool()
def who() -> str:
    """The process, and a variable of it."""
    return f"{os.getpid()} {os.environ.get('FLAVOUR')}"

@server.tool()
def die() -> str:
    """Ends the process."""
    print("I die", file=sys.stderr, flush=True)
    os._exit(3)

if sys.argv[1:]:
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
'''
TASK = Task(id="1", prompt=(Message("user", "x"),), reference={}, cluster="1")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("mcp") / "server.py"
    path.write_text(SERVER, "utf-8")
    return [sys.executable, str(path)]


@pytest.fixture(scope="module")
def server(program: list[str]) -> Iterator[McpTools]:
    with McpTools(program, env={"FLAVOUR": "salt"}, time_limit=10) as started:
        yield started


@pytest.fixture
def mortal(program: list[str]) -> Iterator[McpTools]:
    """One of its own, for a test that ends it."""
    with McpTools(program, time_limit=2.0) as started:
        yield started


@pytest.fixture
def served(program: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server over HTTP, and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*program, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                with socket.socket() as knock:
                    if knock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield process, f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def tool(server: McpTools, name: str) -> Tool:
    return next(tool for tool in server.tools if tool.name == name)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_tools_are_listed_and_called(server: McpTools) -> None:
    add = tool(server, "add")
    assert add.description == "Adds two numbers."
    assert add.parameters["required"] == ["a"] and add.parameters["properties"]["b"]["type"] == "integer"
    assert add.call({"a": 2, "b": 3}) == "5"
    assert json.loads(tool(server, "table").call({})) == {"rows": 3}
    assert tool(server, "who").call({}).endswith(" salt")


def test_the_tools_of_a_server_are_those_of_an_environment(server: McpTools) -> None:
    environment = ToolUse(server.tools)
    calls = [Call("add", '{"a": 2}'), Call("add", '{"a": "2"}'), Call("fail", '{"why": "rain"}')]
    replies = environment.reply(TASK, [*TASK.prompt, Message("assistant", write(calls))])
    assert [reply.content for reply in replies][:2] == [
        "3",
        'error: add: argument `a` must be integer; got "2"',
    ]
    assert replies[2].content.startswith("error: ") and "no: rain" in replies[2].content


def test_an_error_of_a_tool_is_for_the_model(server: McpTools) -> None:
    with pytest.raises(ToolError, match="no: snow"):
        tool(server, "fail").call({"why": "snow"})


def test_a_tool_that_hangs_is_given_up_and_others_go_on(program: list[str]) -> None:
    with McpTools(program, time_limit=0.5) as server:
        with pytest.raises(ToolError, match=r"hang gave no result in 0.5 s"):
            tool(server, "hang").call({})
        assert tool(server, "add").call({"a": 1}) == "2"


def test_threads_share_a_server(server: McpTools) -> None:
    add, found = tool(server, "add"), [""] * 8

    def ask(i: int) -> None:
        found[i] = add.call({"a": i})

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [str(i + 1) for i in range(8)]


def test_a_server_that_dies_in_a_call_is_a_fault_now_and_later(mortal: McpTools) -> None:
    with pytest.raises(EnvironmentFault, match=r"MCP server `.*server.py`: (?s:.)*I die"):
        tool(mortal, "die").call({})
    began = time.monotonic()
    with pytest.raises(EnvironmentFault):
        tool(mortal, "add").call({"a": 1})
    assert time.monotonic() - began < 1


def test_a_server_that_is_killed_is_a_fault(mortal: McpTools) -> None:
    os.kill(int(tool(mortal, "who").call({}).split()[0]), signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(EnvironmentFault):
        tool(mortal, "add").call({"a": 1})


@pytest.mark.slow
def test_a_server_that_is_stuck_is_a_fault(program: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fivestones.environments.tool_use.mcp.PROBE", 0.3)
    with McpTools(program, time_limit=0.3) as server:
        pid = int(pid_of(server))
        with pytest.raises(EnvironmentFault, match=r"no result in 0.3 s, and the server answers no more"):
            tool(server, "freeze").call({})
    assert not alive(pid)


def pid_of(server: McpTools) -> str:
    return tool(server, "who").call({}).split()[0]


def test_closing_ends_the_server(program: list[str]) -> None:
    with McpTools(program) as server:
        pid, add = int(pid_of(server)), tool(server, "add")
        with pytest.raises(UsageError, match="already started"):
            server.start()
    assert not alive(pid)
    server.close()
    with pytest.raises(EnvironmentFault, match="not started, or closed"):
        add.call({"a": 1})


def test_a_server_whose_tool_cannot_be_one_is_ended(program: list[str], tmp_path: Path) -> None:
    path, told = tmp_path / "odd.py", tmp_path / "pid"
    odd = SERVER.replace("@server.tool()", '@server.tool(name="search:web")', 1)
    path.write_text(f"import os\nopen({str(told)!r}, 'w').write(str(os.getpid()))\n{odd}", "utf-8")
    server = McpTools([sys.executable, str(path)])
    with pytest.raises(UsageError, match=r"MCP server `.*odd\.py`: tool name 'search:web'; allowed"):
        server.start()
    assert not alive(int(told.read_text()))
    assert server.tools == ()


def test_a_server_over_http(served: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = served
    with McpTools(url=url, time_limit=2.0) as server:
        assert tool(server, "add").call({"a": 2, "b": 3}) == "5"
        with pytest.raises(ToolError, match="no: rain"):
            tool(server, "fail").call({"why": "rain"})
        process.kill()
        process.wait()
        with pytest.raises(EnvironmentFault):
            tool(server, "add").call({"a": 2})
        with pytest.raises(EnvironmentFault):
            tool(server, "add").call({"a": 2})


def test_a_process_that_never_closes_its_server_ends_all_the_same(program: list[str]) -> None:
    code = f"""
        from fivestones.environments.tool_use import McpTools
        server = McpTools({program!r})
        server.start()
        print(next(t for t in server.tools if t.name == "who").call({{}}), flush=True)
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 20
    assert not alive(int(done.stdout.split()[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give `command` or `url`, one of them"),
        ({"command": ["a"], "url": "http://x"}, "one of them"),
        ({"command": "python server.py"}, "command: got 'python server.py'; allowed: a list of words"),
        ({"command": []}, "allowed: a list of words"),
        ({"url": "http://x", "env": {"A": "1"}}, "env: only a server that is started"),
        ({"command": ["a"], "time_limit": 0}, "time limits: got 0"),
    ],
)
def test_bad_options_are_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        McpTools(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": ["no-such-program-at-all"]}, "cannot be reached: FileNotFoundError"),
        (
            {"command": [sys.executable, "-c", "raise SystemExit('no licence')"]},
            "(?s)cannot be reached.*no licence",
        ),
        (
            {"command": [sys.executable, "-c", "import time; time.sleep(60)"], "start_limit": 0.3},
            "no answer in 0.3 s",
        ),
        ({"url": "http://127.0.0.1:9/mcp"}, "cannot be reached"),
    ],
)
def test_a_server_that_cannot_be_reached_is_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        McpTools(**{"start_limit": 20.0, **options}).start()


def test_without_the_package_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "mcp":
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"`mcp` is missing; pip install 'fivestones\[mcp\]'"):
        McpTools(["server"]).start()
