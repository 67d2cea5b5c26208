"""Both ways against the package `openenv`, in a Python of its own that FIVESTONES_OPENENV_PYTHON names.

`make test-openenv` makes one. Without it they are skipped: the package pins old versions of what it needs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sums_job import Sums, call, rollout

from fivestones.environments.openenv import RemoteEnvironment, ServedThread
from fivestones.errors import UsageError
from fivestones.types import Message

PYTHON = os.environ.get("FIVESTONES_OPENENV_PYTHON", "")
PEER = Path(__file__).with_name("openenv_peer.py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="FIVESTONES_OPENENV_PYTHON names no Python that has `openenv`"),
]


def test_their_client_plays_on_our_server() -> None:
    with ServedThread(Sums) as server:
        command = [PYTHON, str(PEER), "play", f"http://127.0.0.1:{server.port}", "sum-3", "22"]
        said = json.loads(
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        )
    observation, reward, done = said["first"]
    assert (observation["company"], observation["question"]) == ("c3", "What is n3 plus 1?")
    assert (reward, done) == (None, False)
    assert {tool["name"] for tool in said["tools"]} == {"look", "wait", "broken", "submit_answer"}
    assert said["look"]["result"] == "21"
    assert said["state"]["step_count"] == 1
    assert said["last"] == [1.0, True]


@pytest.fixture(scope="module")
def theirs() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([PYTHON, str(PEER), "serve", str(port)])
    try:
        for _ in range(300):
            assert process.poll() is None, "their server ended"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_our_client_trains_on_their_server(theirs: str) -> None:
    with pytest.raises(UsageError, match="how many seeds"):
        RemoteEnvironment(theirs)
    remote = RemoteEnvironment(theirs, count={"train": 4, "test": 2}, timeout_s=20)
    assert [task.cluster for task in remote.tasks("test")] == ["c4", "c5"]
    look = next(tool["function"] for tool in remote.tools if tool["function"]["name"] == "look")
    assert look["parameters"]["required"] == ["name"]
    task = list(remote.tasks("train"))[3]
    assert task.prompt[-1].content == "Company: c3\nQuestion: What is n3 plus 1?"
    chats = []
    for answer in ("22", "21"):
        chat: list[Message] = list(task.prompt)
        for turn in (
            call("look", name="n3"),
            call("look", name="nothing"),
            call("submit_answer", answer=answer),
        ):
            chat += [turn]
            chat += remote.reply(task, chat)
        chats.append(chat)
    assert chats[0][3].content == "21"
    assert chats[0][5].content.startswith("error: ") and "there are n0 to n9" in chats[0][5].content
    scores = remote.scorer(task, [rollout(task, chat) for chat in chats])
    assert [score.reward for score in scores] == [1.0, 0.0]


def test_a_session_of_theirs_is_replayed(theirs: str) -> None:
    first = RemoteEnvironment(theirs, count={"train": 2}, timeout_s=20)
    task = list(first.tasks("train"))[1]
    chat = [*task.prompt, call("look", name="n1")]
    chat += [*first.reply(task, chat), call("submit_answer", answer="8")]
    second = RemoteEnvironment(theirs, count={"train": 2}, timeout_s=20)
    assert second.reply(task, chat) == []
    assert second.scorer(task, [rollout(task, chat)])[0].reward == 1.0
