"""A run directory of a job with tools: three contestants, behaviours, transcripts with hostile text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fivestones.evaluate.behaviours import behaviour_table
from fivestones.evaluate.records import EvalRecord, append_records, write_cases
from fivestones.evaluate.summary import summarize, write_summary

HOSTILE = '<script>alert("x")</script>'
DESCRIBED = {
    "no_tool_answer": "answered without calling a tool",
    "blind_repeat": "repeated a failed call unchanged",
    "recovered": "share of errors after which the tool worked",
    "unknown_tool": "called a tool that does not exist",
    "calls": "tool calls",
    "calls_over_fewest": "tool calls beyond the fewest possible, of right answers",
}
RECIPE = "name: finqa\nevaluate: {contestants: [imitation, base, trained]}\n"
CONTESTANTS = ("base", "imitation", "trained")
TASKS = 32


def records(contestants: tuple[str, ...] = CONTESTANTS) -> list[EvalRecord]:
    return [_record(name, i) for name in contestants for i in range(TASKS)]


def make_summary(found: list[EvalRecord]) -> dict[str, Any]:
    summary = summarize(
        found,
        margin=0.02,
        draws=200,
        seed=1,
        max_score=1.0,
        slice_by=("tables", "level", "wording"),
        held_out={"tables": "multi", "wording": "held out"},
    )
    table = behaviour_table(
        found, names=tuple(DESCRIBED), draws=200, seed=1, trained="trained", slice_by=("tables", "level")
    )
    return {**summary, "behaviours": {"described": DESCRIBED, **table}}


def make_run(run: Path) -> Path:
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    found = records()
    for name in CONTESTANTS:
        append_records(run / "eval" / f"{name}.jsonl", [r for r in found if r.contestant == name])
    cases = {f"q{i:02}": f"Company: acme\nQuestion: number {i}? {HOSTILE}" for i in range(TASKS)}
    write_cases(run / "eval" / "cases" / "test.jsonl", cases)
    write_summary(run / "summary.json", make_summary(found))
    step = {
        "task_id": "t0",
        "prompt": [
            {"role": "system", "content": "Use the tools."},
            {"role": "user", "content": "Question: in training?"},
            {"role": "assistant", "content": "a call of training"},
            {"role": "tool", "content": f"a reply of training {HOSTILE}"},
        ],
        "text": "FINAL ANSWER: of training",
        "reward": 1.0,
    }
    (run / "rollouts").mkdir()
    (run / "rollouts" / "step-000001.jsonl").write_text(json.dumps(step) + "\n")
    return run


def _record(name: str, i: int) -> EvalRecord:
    """base: every other task without tools and half of the rest repeated; imitation: right on every fourth
    task; trained: right but on level L5, where it repeats a call."""
    level = ("L0", "L1", "L2", "L5")[i % 4]
    hard = level == "L5"
    alone = name == "base" and i % 2 == 0
    repeats = (name == "base" and i % 4 == 1) or (name == "trained" and hard)
    right = (name == "trained" and not hard) or (name == "imitation" and i % 4 == 0)
    answer = f"FINAL ANSWER: {name} {i} {HOSTILE}"
    turns = (
        {"role": "assistant", "content": f"{name} asks for {i}\n<tool_call>{HOSTILE}</tool_call>"},
        {"role": "tool", "content": f"error: no such column {i}"},
        {"role": "assistant", "content": answer},
    )
    calls = 0.0 if alone else 5.0 if name == "base" else 3.0
    return EvalRecord(
        task_id=f"q{i:02}",
        contestant=name,
        cluster=f"company-{i // 4}",
        tags={
            "level": level,
            "tables": "multi" if hard else "single",
            "wording": "held out" if i % 8 == 0 else "seen",
        },
        text=answer,
        finish="stop",
        tokens=12,
        strict=True,
        lenient=True,
        total=float(right),
        transcript=() if alone else turns,
        behaviours={
            "no_tool_answer": float(alone),
            "blind_repeat": None if alone else float(repeats),
            "recovered": None if alone else float(right),
            "unknown_tool": 0.0,  # nobody does it
            "calls": calls,
            "calls_over_fewest": 1.0 if right else None,
        },
    )
