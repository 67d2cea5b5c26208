"""The OpenEnv protocol: a real server on loopback, real clients, and how either fails."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sums_job import Sums, call, rollout
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fivestones.environments.openenv import Limits, RemoteEnvironment, ServedThread
from fivestones.environments.openenv.protocol import (
    CallTool,
    Observation,
    ProtocolError,
    read_answer,
    read_request,
    result_text,
    write_answer,
    write_request,
)
from fivestones.errors import DataError, EnvironmentFault, UsageError
from fivestones.types import Message, Task

HERE = Path(__file__).parent


@pytest.fixture
def server() -> Iterator[ServedThread]:
    with ServedThread(Sums, limits=Limits(call_s=10, calls=6)) as served:
        yield served


@pytest.fixture
def impatient() -> Iterator[ServedThread]:
    with ServedThread(Sums, limits=Limits(call_s=0.5, calls=6)) as served:
        yield served


def ask(session: ClientConnection, kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    session.send(json.dumps({"type": kind, "data": data} if data or kind == "step" else {"type": kind}))
    answer = json.loads(session.recv(timeout=5))
    return answer["type"], answer["data"]


def step(session: ClientConnection, name: str, /, **arguments: Any) -> dict[str, Any]:
    kind, data = ask(session, "step", type="call_tool", tool_name=name, arguments=arguments)
    assert kind == "observation", data
    return data


# --- the server ---


def test_an_episode_from_question_to_reward(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        kind, first = ask(session, "reset", task_id="sum-3")
        assert kind == "observation" and first["reward"] is None and first["done"] is False
        shown = first["observation"]
        assert (shown["company"], shown["question"]) == ("c3", "What is n3 plus 1?")
        assert shown["prompt"][0] == {"role": "system", "content": "Add."}
        assert "22" not in json.dumps(first)  # no reference leaves the server
        listed = ask(session, "step", type="list_tools")[1]["observation"]["tools"]
        assert {tool["name"] for tool in listed} == {"look", "wait", "broken", "submit_answer"}
        assert listed[0]["input_schema"]["required"] == ["name"]
        assert step(session, "look", name="n3")["observation"]["result"] == "21"
        state = ask(session, "state")[1]
        assert state["step_count"] == 1 and state["tasks"] == {"train": 30, "test": 10}
        last = step(session, "submit_answer", answer="22")
        assert (last["reward"], last["done"]) == (1.0, True)
        assert (
            ask(session, "step", type="call_tool", tool_name="look", arguments={})[1]["code"]
            == "SESSION_ERROR"
        )
        assert ask(session, "reset", seed=0)[0] == "observation"  # the next episode
        assert step(session, "submit_answer", answer="22")["reward"] == 0.0


def test_what_the_model_can_mend_is_a_result(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        ask(session, "reset", task_id="sum-3")
        said = [
            step(session, "lok", name="n3"),
            step(session, "look"),
            step(session, "look", name="</tool_call> <think>"),
            step(session, "broken"),
        ]
        for one in said:
            assert one["observation"]["result"].startswith("error: ") and not one["done"]
        assert "`look`" in said[0]["observation"]["result"]
        assert "no </tool_call> <think>" in said[2]["observation"]["result"]


def test_seeds_are_kept_to_and_cover_every_task(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        ids = [ask(session, "reset", seed=n, split="test")[1]["observation"]["task_id"] for n in range(10)]
        assert ids == [f"sum-{i}" for i in range(30, 40)]
        assert ask(session, "reset", seed=13, split="test")[1]["observation"]["task_id"] == "sum-33"
        unseeded = [ask(session, "reset")[1]["observation"]["task_id"] for _ in range(2)]
        assert unseeded == ["sum-0", "sum-1"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{torn", "INVALID_JSON"),
        ("[" * 100_000, "INVALID_JSON"),
        ("7", "INVALID_JSON"),
        ("{}", "UNKNOWN_TYPE"),
        ('{"type": ["reset"]}', "UNKNOWN_TYPE"),
        ('{"type": "mcp", "data": {}}', "UNKNOWN_TYPE"),
        ('{"type": "reset", "data": 4}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"task_id": "sum-99"}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"seed": -1}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"seed": true}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"split": ["train"]}}', "VALIDATION_ERROR"),
        ('{"type": "step"}', "VALIDATION_ERROR"),
        ('{"type": "step", "data": {"type": "fly"}}', "UNKNOWN_TYPE"),
        ('{"type": "step", "data": {"type": "call_tool", "tool_name": 3}}', "VALIDATION_ERROR"),
        (
            '{"type": "step", "data": {"type": "call_tool", "tool_name": "look", "arguments": []}}',
            "VALIDATION_ERROR",
        ),
        ('{"type": "step", "data": {"type": "call_tool", "tool_name": "look"}}', "SESSION_ERROR"),
    ],
)
def test_a_malformed_message_is_told_and_the_session_goes_on(
    server: ServedThread, text: str, code: str
) -> None:
    with connect(server.url + "/ws") as session:
        session.send(text)
        answer = json.loads(session.recv(timeout=5))
        assert (answer["type"], answer["data"]["code"]) == ("error", code)
        assert ask(session, "reset", seed=0)[0] == "observation"


def test_an_unknown_task_names_the_nearest(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        assert "`sum-1" in ask(session, "reset", task_id="sum-1x")[1]["message"]


def test_a_call_that_takes_too_long_ends_only_its_session(impatient: ServedThread) -> None:
    url = impatient.url + "/ws"
    with connect(url) as slow, connect(url) as other:
        ask(slow, "reset", seed=0)
        ask(other, "reset", task_id="sum-2")
        kind, data = ask(slow, "step", type="call_tool", tool_name="wait", arguments={"seconds": 1.5})
        assert kind == "error" and "longer than 0.5 s" in data["message"]
        with pytest.raises(ConnectionClosed):
            slow.recv(timeout=5)
        for _ in range(3):  # more than there are workers: the stuck one was replaced
            assert step(other, "look", name="n2")["observation"]["result"] == "14"


def test_an_episode_has_so_many_calls_and_is_scored_then(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        ask(session, "reset", seed=0)
        said = [step(session, "look", name="n1") for _ in range(6)]
    assert [one["done"] for one in said] == [False] * 5 + [True]
    assert said[-1]["reward"] == 0.0


def test_an_unknown_score_stays_unknown(server: ServedThread) -> None:
    with connect(server.url + "/ws") as session:
        ask(session, "reset", seed=0)
        last = step(session, "submit_answer", answer="unknown")
    assert last["done"] and last["reward"] is None
    assert last["observation"]["unscored"] == {"answer": "nobody knows"}


def test_a_job_without_a_submit_tool_gets_one() -> None:
    with ServedThread(lambda: Sums(submit=False)) as server, connect(server.url + "/ws") as session:
        assert "submit_answer" in ask(session, "reset", task_id="sum-3")[1]["observation"]["tools"]
        assert "error" in step(session, "submit_answer", wrong="22")["observation"]["result"]
        assert step(session, "submit_answer", answer="22")["reward"] == 1.0


def test_limits_of_messages_sessions_and_idleness() -> None:
    limits = Limits(message_bytes=1000, sessions=2, idle_s=1.5)
    with ServedThread(Sums, limits=limits) as server:
        with connect(server.url + "/ws") as session:
            session.send("x" * 2000)
            with pytest.raises(ConnectionClosed) as big:
                session.recv(timeout=5)
            assert big.value.rcvd is not None and big.value.rcvd.code == 1009
        with connect(server.url + "/ws") as one, connect(server.url + "/ws") as two:
            ask(one, "reset", seed=0), ask(two, "reset", seed=0)
            with connect(server.url + "/ws") as third:
                assert json.loads(third.recv(timeout=5))["data"]["code"] == "CAPACITY_REACHED"
            idle = json.loads(one.recv(timeout=5))
            assert idle["data"]["code"] == "SESSION_ERROR" and "idle" in idle["data"]["message"]


def _status(server: ServedThread, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_health_and_other_paths(server: ServedThread) -> None:
    assert _status(server, "/health") == (200, b'{"status": "healthy"}')
    assert _status(server, "/elsewhere")[0] == 404
    assert _status(server, "/ws")[0] == 426  # no WebSocket handshake


@pytest.mark.parametrize(
    "origin", ["https://example.com", "null", "http://localhost:1", "http://127.0.0.1:1"]
)
def test_a_page_of_another_site_is_refused(server: ServedThread, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(server.url + "/ws", origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_a_page_of_the_same_loopback_host_may_connect(server: ServedThread) -> None:
    own = f"http://127.0.0.1:{server.port}"
    with connect(server.url + "/ws", origin=own) as session:
        assert ask(session, "reset", seed=0)[0] == "observation"


def test_an_address_in_use_is_a_usage_error(server: ServedThread) -> None:
    with pytest.raises(UsageError, match=f"127.0.0.1:{server.port}"), ServedThread(Sums, port=server.port):
        pass


def test_a_job_that_cannot_be_made_says_so() -> None:
    def make() -> Sums:
        raise DataError("no tables")

    with pytest.raises(DataError, match="no tables"):
        ServedThread(make)


SERVE = """
    import sys
    sys.path.insert(0, {here!r})
    from sums_job import Sums
    from fivestones.environments.openenv import serve
    serve(Sums, port=int(sys.argv[1]), started=lambda port: print(port, flush=True))
"""


def served_process(port: int = 0) -> tuple[subprocess.Popen[str], int]:
    script = textwrap.dedent(SERVE).format(here=str(HERE))
    command = [sys.executable, "-c", script, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout
    with process.stdout:
        return process, int(process.stdout.readline())


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_served_process_ends_clean_at_a_signal(name: signal.Signals) -> None:
    process, port = served_process()
    with connect(f"ws://127.0.0.1:{port}/ws") as session:
        ask(session, "reset", seed=0)
        process.send_signal(name)
        with pytest.raises(ConnectionClosed) as closed:
            session.recv(timeout=5)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001  # going away
    assert process.wait(10) == 0


# --- the client ---


@pytest.fixture
def remote(server: ServedThread) -> Iterator[RemoteEnvironment]:
    environment = RemoteEnvironment(server.url, timeout_s=5)
    yield environment
    environment.remote.close()


def task_of(environment: RemoteEnvironment, name: str) -> Task:
    return next(task for task in environment.tasks("train") if task.id == name)


def test_tasks_and_tools_are_those_of_the_server(remote: RemoteEnvironment) -> None:
    assert [task.id for task in remote.tasks("test")] == [f"sum-{i}" for i in range(30, 40)]
    assert len(list(remote.tasks("train"))) == 30 and remote.told == []
    task = task_of(remote, "sum-3")
    assert task.prompt == tuple(Sums().tasks("train"))[3].prompt
    assert task.cluster == "c3" and "answer" not in task.reference
    look = next(tool["function"] for tool in remote.tools if tool["function"]["name"] == "look")
    assert look["description"] == "What a name stands for."
    with pytest.raises(DataError, match="no reference answer"):
        remote.reference_text(task)


def play(environment: RemoteEnvironment, task: Task, *turns: Message) -> list[Message]:
    messages = list(task.prompt)
    for turn in turns:
        messages += [turn]
        messages += environment.reply(task, messages)
    return messages


def test_an_episode_is_scored_by_the_server(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    right = play(remote, task, call("look", name="n3"), call("submit_answer", answer="22"))
    wrong = play(remote, task, call("look", name="n3"), call("submit_answer", answer="5"))
    unknown = play(remote, task, call("submit_answer", answer="unknown"))
    assert right[3] == Message("tool", "21") and right[-1].role == "assistant"
    scores = remote.scorer(task, [rollout(task, chat) for chat in (right, wrong, unknown)])
    assert [score.reward for score in scores] == [1.0, 0.0, None]
    assert "without a reward" in scores[2].unscored["remote"]
    assert remote.remote.waiting == 0


def test_an_episode_that_ends_otherwise_is_worth_nothing_and_closed(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    prose = play(remote, task, call("look", name="n3"), Message("assistant", "It is 22."))
    turns = play(remote, task, call("look", name="n3"))[:-1]
    assert remote.remote.waiting == 1
    ended = [rollout(task, prose), rollout(task, turns, "turns"), rollout(task, task.prompt, "length")]
    for score in remote.scorer(task, ended):
        assert score.reward == 0.0 and "submit_answer" in score.failed["submit"]
    assert remote.remote.waiting == 0


def test_faults_of_a_call_never_reach_the_server_or_come_back_as_text(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    chat = play(remote, task, call("lok"), call("look", name=3), call("look", name="n99"), call("broken"))
    said = [message.content for message in chat if message.role == "tool"]
    assert len(said) == 4 and all(text.startswith("error: ") for text in said)
    assert "there are n0 to n39" in said[2] and "out of order" in said[3]


def test_several_calls_of_a_turn_are_answered_in_order(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    both = Message("assistant", call("look", name="n1").content + call("look", name="n2").content)
    chat = play(remote, task, both, call("submit_answer", answer="22"))
    assert [message.content for message in chat if message.role == "tool"] == ["7", "14"]
    assert remote.scorer(task, [rollout(task, chat)])[0].reward == 1.0


def test_equal_chats_hold_a_session_each(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    chats = [play(remote, task, call("look", name="n3")) for _ in range(3)]
    assert chats[0] == chats[1] and remote.remote.waiting == 3
    for place, answer in enumerate(["22", "21", "20"]):
        chats[place] += [call("submit_answer", answer=answer)]
        assert remote.reply(task, chats[place]) == []
    assert remote.remote.waiting == 0
    scores = remote.scorer(task, [rollout(task, chat) for chat in chats])
    assert [score.reward for score in scores] == [1.0, 0.0, 0.0]


def test_the_server_may_end_an_episode(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    chat = play(remote, task, *[call("look", name="n3")] * 6)
    assert chat[-1].role == "assistant"  # the sixth call was the last that the server takes
    assert remote.scorer(task, [rollout(task, chat)])[0].reward == 0.0


def test_a_resumed_run_replays_its_sessions(server: ServedThread, remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    chat = play(remote, task, call("look", name="n3"), call("look", name="n4"))
    resumed = RemoteEnvironment(server.url, timeout_s=5)
    ended = [*chat, call("submit_answer", answer="22")]
    assert resumed.reply(task, ended) == []
    assert resumed.scorer(task, [rollout(task, ended)])[0].reward == 1.0
    # and one that has only to score what another process collected
    assert RemoteEnvironment(server.url).scorer(task, [rollout(task, ended)])[0].reward == 1.0


def test_sessions_beyond_the_limit_are_closed_and_replayed(server: ServedThread) -> None:
    remote = RemoteEnvironment(server.url, timeout_s=5, max_sessions=2)
    tasks = list(remote.tasks("train"))[:4]
    chats = [play(remote, task, call("look", name=f"n{i}")) for i, task in enumerate(tasks)]
    assert remote.remote.waiting == 2
    for i, (task, chat) in enumerate(zip(tasks, chats, strict=True)):
        chat += [call("submit_answer", answer=str(7 * i + 1))]
        assert remote.reply(task, chat) == []
        assert remote.scorer(task, [rollout(task, chat)])[0].reward == 1.0


def test_a_chat_that_the_server_does_not_repeat_is_a_fault(remote: RemoteEnvironment) -> None:
    task = task_of(remote, "sum-3")
    chat = [*play(remote, task, call("look", name="n3"))[:-1], Message("tool", "23")]
    with pytest.raises(EnvironmentFault, match="does not repeat"):
        remote.reply(task, [*chat, call("look", name="n4")])


def test_fifty_sessions_at_once(server: ServedThread, remote: RemoteEnvironment) -> None:
    tasks = list(remote.tasks("train"))
    ready = threading.Barrier(50)

    def episode(i: int) -> float | None:
        task, name = tasks[i % 30], f"n{i % 30}"
        chat = play(remote, task, call("look", name=name))
        ready.wait(20)  # all sessions are open
        chat += [call("submit_answer", answer=str(int(chat[-1].content) + 1))]
        assert remote.reply(task, chat) == []
        return remote.scorer(task, [rollout(task, chat)])[0].reward

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(episode, range(50))) == [1.0] * 50
    assert remote.remote.waiting == 0


def test_a_killed_server_is_a_fault_and_a_new_one_goes_on() -> None:
    process, port = served_process()
    remote = RemoteEnvironment(f"http://127.0.0.1:{port}", timeout_s=5)
    task = task_of(remote, "sum-3")
    chat = play(remote, task, call("look", name="n3"))
    process.kill()
    process.wait(10)
    more = [*chat, call("submit_answer", answer="22")]
    with pytest.raises(EnvironmentFault, match="cannot be reached"):
        remote.reply(task, more)
    assert remote.scorer(task, [rollout(task, more)])[0].reward is None
    process, _ = served_process(port)
    try:
        assert remote.reply(task, more) == []
        assert remote.scorer(task, [rollout(task, more)])[0].reward == 1.0
    finally:
        process.kill()
        process.wait(10)


def test_a_slow_call_is_a_fault(impatient: ServedThread) -> None:
    remote = RemoteEnvironment(impatient.url, timeout_s=5)
    task = task_of(remote, "sum-3")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match="longer than"):
        play(remote, task, call("wait", seconds=1.5))
    assert time.monotonic() - began < 5


def test_a_silent_server_is_a_fault() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(UsageError, match="cannot be reached"),
    ):
        RemoteEnvironment(f"ws://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3)


def test_a_server_that_falls_silent_is_waited_for_once() -> None:
    with ServedThread(Sums) as server, Forwarded(server.port) as between:
        remote = RemoteEnvironment(f"ws://127.0.0.1:{between.port}", timeout_s=1.5)
        task = task_of(remote, "sum-3")
        chats = [play(remote, task, call("look", name="n3"), call("look", name=f"n{i}")) for i in range(20)]
        between.silent.set()
        began = time.monotonic()
        for chat in chats:
            with pytest.raises(EnvironmentFault, match=r"no answer|cannot be reached within"):
                remote.reply(task, [*chat, call("look", name="n1")])
        assert time.monotonic() - began < 3 * 1.5  # 20 chats
        between.silent.clear()
        time.sleep(1.6)
        more = [*chats[-1], call("submit_answer", answer="22")]
        assert remote.reply(task, more) == []
        assert remote.scorer(task, [rollout(task, more)])[0].reward == 1.0


class Forwarded:
    """A port before a server's; while `silent` is set, what is said there is kept, and nothing comes back."""

    def __init__(self, port: int) -> None:
        self._to, self.silent = port, threading.Event()
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port = self._listens.getsockname()[1]

    def __enter__(self) -> Forwarded:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listens.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listens.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            for a, b in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                while self.silent.is_set():
                    time.sleep(0.01)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_sessions_of_chats_that_ended_with_a_fault_are_closed(server: ServedThread) -> None:
    remote = RemoteEnvironment(server.url, timeout_s=5, idle_s=1.5)
    task = task_of(remote, "sum-3")
    for _ in range(3):  # such a rollout is scored by nobody
        play(remote, task, call("look", name="n3"))
    assert remote.remote.waiting == 3
    time.sleep(1.6)
    chat = play(remote, task, call("look", name="n4"))  # opens a session, and closes those that are too old
    assert remote.remote.waiting == 1
    remote.close()
    assert remote.remote.waiting == 0
    more = [*chat, call("submit_answer", answer="22")]
    assert remote.reply(task, more) == []  # what goes on after all is made anew
    assert remote.scorer(task, [rollout(task, more)])[0].reward == 1.0


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "ws://", "http://a:99999", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        RemoteEnvironment(url)


def test_a_submit_tool_that_is_not_there(server: ServedThread) -> None:
    with pytest.raises(UsageError, match="Did you mean `submit_answer`"):
        RemoteEnvironment(server.url, submit="submit_answers")


# --- a server of somebody else ---


class Foreign:
    """Speaks the protocol as other servers do: no `tasks` in its state, no `task_id`, the question in the
    metadata. draw: the question's number for (seed, how many resets came before)."""

    def __init__(self, draw: Callable[[int, int], int]) -> None:
        from websockets.sync.server import serve as listen

        self._draw, self._resets = draw, 0
        self._server = listen(self._session, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def _session(self, session: Any) -> None:
        number = 0
        for text in session:
            message = json.loads(text)
            if message["type"] == "close":
                return
            if message["type"] == "state":
                session.send(json.dumps({"type": "state", "data": {"episode_id": "e", "step_count": 0}}))
                continue
            data = message["data"]
            answer: dict[str, Any] = {"reward": 0.0, "done": False}
            if message["type"] == "reset":
                number = self._draw(data["seed"], self._resets)
                self._resets += 1
                answer |= {"observation": {}, "metadata": {"question": f"n{number}?", "company": "c"}}
            elif data["type"] == "list_tools":
                tool = {"name": "submit_answer", "description": "", "input_schema": {}}
                answer["observation"] = {"tools": [tool, {**tool, "name": "look"}]}
            elif data["tool_name"] == "look":
                result = {"content": [{"type": "text", "text": "hm"}], "data": "hm", "is_error": False}
                answer["observation"] = {"tool_name": "look", "result": result, "error": None}
            else:
                right = data["arguments"] == {"answer": str(number)}
                answer = {"observation": {}, "reward": float(right), "done": True}
            session.send(json.dumps({"type": "observation", "data": answer}))


def test_a_server_of_somebody_else_is_tried_by_seeds() -> None:
    foreign = Foreign(lambda seed, before: seed % 6)
    with pytest.raises(UsageError, match="how many seeds"):
        RemoteEnvironment(foreign.url)
    remote = RemoteEnvironment(foreign.url, count={"train": 8, "test": 2}, timeout_s=5)
    # seeds 8 and 9 are the questions 2 and 3, which leave training
    assert [task.prompt[-1].content for task in remote.tasks("test")] == [
        "Company: c\nQuestion: n2?",
        "Company: c\nQuestion: n3?",
    ]
    assert [task.id for task in remote.tasks("train")] == ["seed-0", "seed-1", "seed-4", "seed-5"]
    assert remote.told == ["train: 4 of 8 questions came before and are left out"]
    task = next(iter(remote.tasks("test")))
    assert "submit_answer" in task.prompt[0].content
    chat = play(remote, task, call("look"), call("submit_answer", answer="2"))
    assert chat[3].content == "hm"
    assert remote.scorer(task, [rollout(task, chat)])[0].reward == 1.0
    foreign.close()


def test_a_server_that_ignores_seeds_is_refused() -> None:
    foreign = Foreign(lambda seed, before: before)
    with pytest.raises(DataError, match="another question for the same seed"):
        RemoteEnvironment(foreign.url, count={"train": 4}, timeout_s=5)
    foreign.close()


def test_a_server_whose_questions_change_later_is_refused() -> None:
    foreign = Foreign(lambda seed, before: seed if before < 6 else 99)
    remote = RemoteEnvironment(foreign.url, count={"train": 3}, timeout_s=5)
    task = next(iter(remote.tasks("train")))
    with pytest.raises(DataError, match="another question"):
        play(remote, task, call("look"))
    foreign.close()


# --- messages ---


def test_messages_are_read_as_they_are_written() -> None:
    asked = CallTool("look", {"name": "é\ud800"})
    assert read_request(write_request(asked)) == asked
    said = Observation({"a": [1, None]}, 0.5, True)
    assert read_answer(write_answer(said)) == said
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_answer(Observation({}, float("nan")))


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "observation", "data": {"observation": {}, "reward": "1"}}',
        '{"type": "observation", "data": {"observation": {}, "reward": NaN}}',
        '{"type": "observation", "data": {"observation": {}, "reward": 1' + "0" * 400 + "}}",
        '{"type": "observation", "data": {"observation": {}, "done": 1}}',
        '{"type": "observation", "data": {"observation": []}}',
        '{"type": "observation"}',
        '{"type": "surprise", "data": {}}',
        "",
    ],
)
def test_an_answer_that_is_none(text: str) -> None:
    with pytest.raises(ProtocolError):
        read_answer(text)


@pytest.mark.parametrize(
    ("observation", "text"),
    [
        ({"result": "plain"}, "plain"),
        ({"result": {"rows": [1]}}, '{"rows": [1]}'),
        ({"result": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}, "a\nb"),
        ({"result": {"content": [], "data": 3}}, "3"),
        ({"result": {"content": [{"text": "no such table"}], "is_error": True}}, "error: no such table"),
        ({"result": None, "error": {"error_type": "invalid_args", "message": "x"}}, "error: x"),
        ({"metadata": {"tool_result": "t"}}, '{"tool_result": "t"}'),
    ],
)
def test_the_text_of_a_result(observation: dict[str, Any], text: str) -> None:
    assert result_text(observation) == text


def test_a_failed_transport_is_no_result() -> None:
    with pytest.raises(ProtocolError):
        result_text({"error": {"error_type": "transport_error", "message": "gone"}})
