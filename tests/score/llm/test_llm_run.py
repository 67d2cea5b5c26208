"""A whole run whose reward comes from an LLM judge over HTTP, through an outage."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

import fivestones
import fivestones.judges
import label_job
from fivestones.errors import JudgePausedError
from fivestones.recipe_serve import ServePart
from fivestones.serve import Launch
from fivestones.serve.engines import _free_port
from scripted_server import Body, ScriptedServer, section

FAKE = Path(__file__).parents[2] / "serve" / "fake_engine.py"
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "judging.py"
RUBRIC = """
name: label
role: You check labels.
source: ticket
part: section
fields:
  c: {kind: graded, question: "How well does the label fit?", levels: [no, hardly, perhaps, nearly, yes]}
"""


def grade(body: Body) -> str:
    """0 to 4, by the letters of the label."""
    return json.dumps({"reason": "r", "verdict": hashlib.sha256(section(body).encode()).digest()[0] % 5})


def recipe(folder: Path) -> Path:
    (folder / "rubric.yaml").write_text(RUBRIC)
    judge = {"kind": "llm", "model": "m", "rubric": "rubric.yaml", "retries": 1, "wait": 0.01}
    watch = {"judge": {"kind": "facts"}, "every": 2, "sample": 4}
    return label_job.recipe(folder, judge=judge, watch=watch)


def outcome(run: fivestones.Run) -> tuple[bytes, list[float]]:
    """Metrics and the totals of the evaluation."""
    records = (run.path / "eval" / "trained.jsonl").read_text().splitlines()
    return (run.path / "metrics.jsonl").read_bytes(), [json.loads(line)["total"] for line in records]


def clients() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "chat-client"}


def test_a_run_survives_an_outage_of_its_judge(tmp_path: Path) -> None:
    file, before = recipe(tmp_path), clients()

    def run(server: ScriptedServer, name: str, *, resume: bool = False) -> fivestones.Run:
        asked = {"judge.endpoints": [{"url": server.url}], "judge.limits": {"attempts": 2, "backoff": 0.001}}
        return fivestones.run(file, asked, out=tmp_path / name, resume=resume)

    with ScriptedServer(grade) as calm, ScriptedServer(grade) as rough:
        expected = outcome(run(calm, "calm"))
        assert clients() <= before
        down_from = len(calm.requests) // 3
        rough.script = lambda body, before: "503" if len(rough.requests) > down_from else None
        with pytest.raises(JudgePausedError, match=r"paused: .* causes: HTTP 503"):
            run(rough, "rough")
        assert clients() <= before
        told = [json.loads(line) for line in (tmp_path / "rough" / "judge.jsonl").read_text().splitlines()]
        assert told[-1]["unscored"]["HTTP 503"] > 0 and told[-1]["retries"] > 0  # the outage is counted
        assert sum(r["requests"] for r in told) == len(rough.requests)
        rough.script = lambda body, before: None
        got = outcome(run(rough, "rough", resume=True))
        assert got == expected
        assert rough.answered == calm.answered  # each question once, before and after the outage
    rows = [json.loads(line) for line in (tmp_path / "calm" / "judge.jsonl").read_text().splitlines()]
    assert [r["phase"] for r in rows] == ["train"] * 4 + ["evaluate"]
    assert sum(r["requests"] for r in rows) == len(calm.requests)
    assert "What was asked of judges" in (tmp_path / "calm" / "report.html").read_text()
    looked = [json.loads(line) for line in expected[0].splitlines() if b"second/rollouts" in line]
    assert [row["step"] for row in looked] == [2, 4]  # the second judge's looks, the same after the outage
    rewards = [json.loads(line).get("reward_mean") for line in expected[0].splitlines()]
    assert len({r for r in rewards if r is not None}) > 1
    measured = subprocess.run(
        [sys.executable, str(BENCHMARK), str(tmp_path / "calm"), "--repeats", "1"],
        capture_output=True,
        text=True,
    )  # out of the cache: the server is gone
    assert measured.returncode == 0 and "% of a step" in measured.stdout, measured.stderr


def test_a_server_of_the_run_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started for the first question, ended with the run; one that dies pauses it, and a new one goes on."""
    words: list[str] = []

    def launch(part: ServePart) -> Launch:
        port = _free_port("127.0.0.1")
        return Launch(
            command=(sys.executable, str(FAKE), str(port), "fake", *words),
            environ=dict(os.environ),
            host="127.0.0.1",
            port=port,
            model="fake",
            key="secret",
        )

    def run(name: str, *, resume: bool = False) -> fivestones.Run:
        served = {"kind": "llm", "rubric": "rubric.yaml", "retries": 1, "wait": 0.01, "serve": {}}
        served["limits"] = {"attempts": 2, "backoff": 0.001}
        tree = {**yaml.safe_load(file.read_text()), "judge": served}
        (tmp_path / "served.yaml").write_text(yaml.safe_dump(tree))
        return fivestones.run(tmp_path / "served.yaml", out=tmp_path / name, resume=resume)

    monkeypatch.setattr(fivestones.judges, "launch", launch)
    file, before = recipe(tmp_path), clients()
    whole = run("whole")
    log = (whole.path / "server-1.log").read_text()
    assert log.count("loading") == 1 and gone(int(log.split("myself ")[1].split()[0]))
    words.append("mortal")
    with pytest.raises(JudgePausedError, match=r"ended during the run|paused"):
        run("cut")
    words.clear()
    assert outcome(run("cut", resume=True)) == outcome(whole)
    assert clients() <= before
    loaded = (tmp_path / "cut" / "server-1.log").read_text().split("myself ")[1:]
    assert len(loaded) == 2 and all(gone(int(text.split()[0])) for text in loaded)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
