"""Real processes: nothing of a server outlives who started it, and its end is told in its own words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fivestones.errors import JudgePausedError, ResourceError
from fivestones.protocols import Judge
from fivestones.serve import Launch, ServedJudge, Server
from fivestones.serve.engines import _free_port
from fivestones.types import Message, Task, Verdict

FAKE = Path(__file__).with_name("fake_engine.py")


def fake(*words: str, name: str = "m") -> Launch:
    port = _free_port("127.0.0.1")
    command = (sys.executable, str(FAKE), str(port), name, *words)
    return Launch(
        command=command, environ=dict(os.environ), host="127.0.0.1", port=port, model="m", key="secret"
    )


def child_of(log: Path, word: str = "child") -> int:
    return int(log.read_text().split(f"{word} ")[1].split()[0])


def soon(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # dead, and not yet collected by whoever adopted it


def test_it_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    with Server(fake("child"), log) as server:
        server.check()
        server.start()  # once is enough
        child = child_of(log)
        assert not gone(child)
    assert soon(lambda: gone(child))
    assert log.read_text().count("loading") == 1


def test_a_deaf_server_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fivestones.serve.guard.GRACE", -3.9)  # this side waits 0.1 s, then kills the group
    log = tmp_path / "log"
    with Server(fake("deaf", "child"), log):
        deaf, child = child_of(log, "myself"), child_of(log)
    assert soon(lambda: gone(child) and gone(deaf))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    with pytest.raises(ResourceError, match=r"ended before it answered \(exit code 3\)") as raised:
        Server(fake("dies"), log).start()
    assert "no memory for this model" in str(raised.value) and "earlier" not in str(raised.value)


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ResourceError, match=r"did not answer in 3 s"):
        Server(fake("slow", "child"), log, ready=3.0).start()
    if "child " in (words := log.read_text()):  # or it was not even that far
        assert soon(lambda: gone(int(words.split("child ")[1].split()[0])))


def test_another_model_on_the_port_is_not_taken_for_it(tmp_path: Path) -> None:
    taken = fake()
    with Server(taken, tmp_path / "log"):
        assert Server(taken, tmp_path / "x")._answers()
        assert not Server(replace(taken, model="another"), tmp_path / "x")._answers()
        assert not Server(replace(taken, key="another"), tmp_path / "x")._answers()


def test_a_stopped_server_does_not_start_again_and_a_start_under_way_ends(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server(fake("slow", "child"), log)
    told: list[str] = []

    def start() -> None:
        with pytest.raises(ResourceError) as raised:
            server.start()
        told.append(str(raised.value))

    starting = threading.Thread(target=start)
    starting.start()
    assert soon(lambda: log.is_file() and "child " in log.read_text())
    server.stop()
    starting.join(20)
    assert not starting.is_alive() and "was stopped" in told[0]
    assert soon(lambda: gone(child_of(log)))
    with pytest.raises(ResourceError, match="was stopped"):
        server.start()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    bad = Launch(command=("/no/such",), environ={}, host="127.0.0.1", port=1, model="m", key="k")
    with pytest.raises(ResourceError, match="No such file"):
        Server(bad, tmp_path / "log").start()


def test_a_server_that_dies_pauses_the_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    task = Task(id="t", prompt=(Message("user", "x"),), reference={}, cluster="c")

    def silent(task: Task, outputs: object) -> list[Verdict]:
        return [Verdict(criteria={}, unscored={"S": "no connection"})]

    judge: Judge = silent
    with Server(fake("child"), log) as server:
        served = ServedJudge(judge, server)
        assert served(task, [{}])[0].unscored  # unanswered, but alive: it is asked again
        pid = server._process.pid  # type: ignore[union-attr]
        os.killpg(pid, signal.SIGKILL)
        assert soon(lambda: server._process.poll() is not None)  # type: ignore[union-attr]
        with pytest.raises(JudgePausedError, match=r"ended during the run \(by SIGKILL\)") as raised:
            served(task, [{}])
    assert "loading m" in str(raised.value)


def test_the_server_goes_when_its_owner_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        f"import sys, time; sys.path[:0] = [{str(FAKE.parent)!r}]; import test_server as t\n"
        f"from pathlib import Path\nt.Server(t.fake('child'), Path({str(log)!r})).start()\n"
        "print('up', flush=True); time.sleep(300)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
    child = child_of(log)
    owner.kill()
    owner.wait()
    assert soon(lambda: gone(child))
