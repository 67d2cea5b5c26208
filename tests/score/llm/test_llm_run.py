"""A whole run whose reward comes from an LLM judge over HTTP, through an outage."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

import fivestones
import tiny
from fivestones.errors import JudgePausedError
from scripted_server import Body, ScriptedServer, section

WORDS = {"refund": "pay", "crash": "bug", "login": "bug", "invoice": "pay"}

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
    tiny.folder(folder / "model", spread=0.08)
    rows = [{"id": f"t{i}", "text": f"{w} number {i}", "label": WORDS[w]} for i, w in enumerate([*WORDS] * 6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    schema = {
        "type": "object",
        "properties": {"c": {"type": "string"}},
        "required": ["c"],
        "additionalProperties": False,
    }
    structured = {
        "instructions": "JSON.",
        "input": "{text}",
        "output_schema": schema,
        "reference_fields": {"c": "label"},
        "criteria": [{"field": "c", "kind": "facts"}],
    }
    made: dict[str, Any] = {
        "name": "judged",
        "threads": 1,
        "environment": {"kind": "structured", "structured": structured},
        "files": {"train": "rows.jsonl", "test_share": 0.25},
        "model": {"source": str(folder / "model"), "dtype": "float32"},
        "judge": {"kind": "llm", "model": "m", "rubric": "rubric.yaml", "retries": 1, "wait": 0.01},
        "watch": {"judge": {"kind": "facts"}, "every": 2, "sample": 4},
        "generation": {"max_tokens": 12},
        "warmup": {"references": 16, "passes": 16, "lr": 0.02},
        "rollout": {"group_size": 4, "slots": 8},
        "train": {"steps": 4, "tasks_per_step": 2, "lr": 0.003, "checkpoint_every": 3},
        "evaluate": {"contestants": ["trained"], "draws": 50, "slots": 4},
    }
    (folder / "rubric.yaml").write_text(RUBRIC)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(made))
    return path


def outcome(run: fivestones.Run) -> tuple[bytes, list[float]]:
    """Metrics and the totals of the evaluation."""
    records = (run.path / "eval" / "trained.jsonl").read_text().splitlines()
    return (run.path / "metrics.jsonl").read_bytes(), [json.loads(line)["total"] for line in records]


def all_closed() -> bool:
    """Whether no client of a run is left."""
    clients = [thread for thread in threading.enumerate() if thread.name == "chat-client"]
    for thread in clients:
        thread.join(10)
    return not any(thread.is_alive() for thread in clients)


def test_a_run_survives_an_outage_of_its_judge(tmp_path: Path) -> None:
    file = recipe(tmp_path)

    def run(server: ScriptedServer, name: str, *, resume: bool = False) -> fivestones.Run:
        asked = {"judge.endpoints": [{"url": server.url}], "judge.limits": {"attempts": 2, "backoff": 0.001}}
        return fivestones.run(file, asked, out=tmp_path / name, resume=resume)

    with ScriptedServer(grade) as calm, ScriptedServer(grade) as rough:
        expected = outcome(run(calm, "calm"))
        assert all_closed()
        down_from = len(calm.requests) // 3
        rough.script = lambda body, before: "503" if len(rough.requests) > down_from else None
        with pytest.raises(JudgePausedError, match=r"paused: .* causes: HTTP 503"):
            run(rough, "rough")
        assert all_closed()
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
