"""A run that is killed anywhere and resumed ends with the same metrics and the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiny

PROGRAM = """
import sys, torch, fivestones
torch.set_num_threads(1)
fivestones.run(sys.argv[1], out=sys.argv[2], resume=True)
"""
LIMIT = 120  # seconds of one process
When = Callable[[Path], bool]


@dataclass(frozen=True)
class Outcome:
    metrics: bytes
    weights: bytes
    outputs: list[tuple[str, str, str]]  # contestant, task, text


def rows(n: int) -> list[dict[str, str]]:
    words = ["refund", "crash", "login", "invoice"]
    labels = {"refund": "pay", "crash": "bug", "login": "bug", "invoice": "pay"}
    return [
        {"id": f"t{i}", "text": f"{words[i % 4]} number {i}", "label": labels[words[i % 4]]} for i in range(n)
    ]


def recipe(folder: Path, **changes: Any) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows(24)))
    tiny.folder(folder / "model", spread=0.08)
    made: dict[str, Any] = {
        "name": "tiny",
        "threads": 1,
        "environment": {
            "kind": "structured",
            "structured": {
                "instructions": "JSON.",
                "input": "{text}",
                "output_schema": {
                    "type": "object",
                    "properties": {"c": {"type": "string"}},
                    "required": ["c"],
                    "additionalProperties": False,
                },
                "reference_fields": {"c": "label"},
                "criteria": [{"field": "c", "kind": "exact"}],
            },
        },
        "files": {"train": "rows.jsonl", "test_share": 0.25},
        "model": {"source": str(folder / "model"), "dtype": "float32"},
        "generation": {"max_tokens": 12},
        "warmup": {"references": 16, "passes": 20, "lr": 0.02},
        "rollout": {"group_size": 4, "slots": 8},
        "train": {"steps": 8, "tasks_per_step": 2, "lr": 0.003, "checkpoint_every": 3},
        "evaluate": {"imitation_passes": 1, "draws": 50, "slots": 4},
    }
    for key, value in changes.items():
        made[key] = {**made[key], **value}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(made))
    return path


def start(recipe_file: Path, out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(recipe_file), str(out)],
        cwd=recipe_file.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(recipe_file: Path, out: Path) -> None:
    process = start(recipe_file, out)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, said[-3000:]


def kill_when(recipe_file: Path, out: Path, when: When) -> None:
    """SIGKILL as soon as `when(out)`; the run must not have ended before."""
    process = start(recipe_file, out)
    end = time.monotonic() + LIMIT
    while not when(out):
        assert process.poll() is None, f"the run ended first: {process.communicate()[1][-3000:]}"
        assert time.monotonic() < end
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def outcome(out: Path) -> Outcome:
    assert (out / "summary.json").exists() and (out / "report.html").exists()
    (weights,) = (out / "checkpoints").glob("train-*/model.safetensors")
    records = [json.loads(line) for f in sorted((out / "eval").glob("*.jsonl")) for line in f.open()]
    return Outcome(
        metrics=(out / "metrics.jsonl").read_bytes(),
        weights=weights.read_bytes(),
        outputs=[(r["contestant"], r["task_id"], r["text"]) for r in records],
    )


def lines(phase: str, n: int) -> When:
    """n rows of the phase are in metrics.jsonl."""

    def reached(out: Path) -> bool:
        file = out / "metrics.jsonl"
        return file.exists() and file.read_text().count(f'"phase": "{phase}"') >= n

    return reached


def writing(phase: str, nth: int = 1) -> When:
    """The nth checkpoint of the phase is under way: its temporary folder holds something."""
    seen: set[str] = set()

    def reached(out: Path) -> bool:
        found = [p for p in (out / "checkpoints").glob(f".{phase}-*.tmp") if p.is_dir()]
        seen.update(p.name for p in found)
        return len(seen) >= nth and bool(found)

    return reached


def evaluating(name: str) -> When:
    return lambda out: (out / "eval" / f"{name}.jsonl").exists()


def killed(recipe_file: Path, out: Path, *points: When) -> Outcome:
    for when in points:
        kill_when(recipe_file, out, when)
    finish(recipe_file, out)
    return outcome(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A recipe, and the run of it that nothing interrupted."""
    folder = tmp_path_factory.mktemp("resume")
    file = recipe(folder)
    finish(file, folder / "whole")
    return file, outcome(folder / "whole")


def test_the_whole_run_is_worth_comparing(whole: tuple[Path, Outcome]) -> None:
    """It warms up, rewards differ, weights move, four contestants are evaluated."""
    _, got = whole
    rows = [json.loads(line) for line in got.metrics.decode().splitlines()]
    phases = [r["phase"] for r in rows]
    assert [phases.count(p) for p in ("warmup", "imitation", "train")] == [40, 2, 8]
    train = [r for r in rows if r["phase"] == "train"]
    assert any(r["reward_std"] > 0 and r["grad_norm"] > 0 for r in train)
    assert max(r["mismatch_k3"] for r in train) < 1e-6
    assert len(got.outputs) == 4 * 6


@pytest.mark.parametrize(
    "points",
    [
        pytest.param([lines("warmup", 5), writing("train", 2), evaluating("base")], id="three-kills"),
        pytest.param([lines("train", 5)], id="training"),
        pytest.param([writing("warmup"), lines("train", 1)], id="first-checkpoint", marks=pytest.mark.slow),
        pytest.param([lines("imitation", 1)], id="imitation", marks=pytest.mark.slow),
        pytest.param([writing("train", 3)], id="last-checkpoint", marks=pytest.mark.slow),
        pytest.param(
            [evaluating("imitation"), evaluating("trained")], id="evaluation", marks=pytest.mark.slow
        ),
    ],
)
def test_a_killed_run_ends_the_same(whole: tuple[Path, Outcome], tmp_path: Path, points: list[When]) -> None:
    file, expected = whole
    got = killed(file, tmp_path / "run", *points)
    assert got.metrics == expected.metrics
    assert got.weights == expected.weights
    assert got.outputs == expected.outputs
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


@pytest.mark.parametrize("phase", ["warmup", "train"])
def test_an_interrupted_run_loses_no_step_and_ends_the_same(
    whole: tuple[Path, Outcome], tmp_path: Path, phase: str
) -> None:
    file, expected = whole
    run = tmp_path / "run"
    process = start(file, run)
    while not lines(phase, 4)(run):
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.0005)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == -signal.SIGINT
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    done = max(row["step"] for row in rows if row["phase"] == phase)
    saved = sorted(path.name for path in (run / "checkpoints").glob(f"{phase}-*"))
    assert saved[-1] == f"{phase}-{done:06d}"
    finish(file, run)
    assert outcome(run) == expected


@pytest.mark.slow
def test_a_torn_last_line_is_repeated(whole: tuple[Path, Outcome], tmp_path: Path) -> None:
    file, expected = whole
    run = tmp_path / "run"
    kill_when(file, run, lines("train", 4))
    metrics = run / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-20])
    finish(file, run)
    assert outcome(run) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"lora": {"rank": 4, "alpha": 8}}, "warmup": {"lr": 0.1}},
        {"model": {"dtype": "bfloat16"}, "train": {"kl": 0.1, "keep_checkpoints": 2}},
        {"warmup": {"kind": "self", "passes": 3}, "rollout": {"temperature": 0.8}},
    ],
    ids=["lora", "bfloat16-kl", "self-warmup"],
)
def test_other_recipes_resume_too(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = recipe(tmp_path, **changes)
    finish(file, tmp_path / "whole")

    def weights(run: Path) -> bytes:
        return max((run / "checkpoints").glob("train-*/model.safetensors")).read_bytes()

    run = tmp_path / "run"
    kill_when(file, run, lines("warmup", 1))
    kill_when(file, run, lines("train", 2))  # before its first checkpoint
    kill_when(file, run, lines("train", 5))
    finish(file, run)
    assert (run / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert weights(run) == weights(tmp_path / "whole")
