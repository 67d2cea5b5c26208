"""A run directory as a finished run leaves it, with made-up numbers and some hostile text."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fivestones.evaluate.records import EvalRecord, append_records, write_cases
from fivestones.evaluate.summary import summarize, write_summary

SECTIONS = ("S", "O", "A", "P")
HOSTILE = '<script>alert("x")</script><img src="http://evil.example/a.png">'
RECIPE = """name: soap
seed: 7
synth: {train: 400, test: 240, held_out_style: rambling}
train: {steps: 40}
evaluate: {contestants: [base, base_examples, imitation, trained], margin: 0.1}
"""
LEVELS = {"base": 0.18, "base_examples": 0.38, "imitation": 0.7, "trained": 0.79}
VALID = {"base": 0.45, "base_examples": 0.8, "imitation": 0.97, "trained": 0.996}


def make_run(run: Path, *, tasks: int = 240, steps: int = 40, seed: int = 0) -> Path:
    rng = random.Random(seed)
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(RECIPE)
    _json(run / "manifest.json", MANIFEST)
    _json(run / "data" / "certificate.json", CERTIFICATE)
    _lines(run / "metrics.jsonl", _metrics(rng, steps))
    _lines(run / "timings.jsonl", _timings(rng, steps))
    for step in range(steps):
        _lines(run / "rollouts" / f"step-{step:05}.jsonl", [_rollout(rng, step, g) for g in range(6)])
    records = []
    for dataset, n, drop in (("test", tasks, 0.0), ("mts_dialog", tasks // 4, 0.35)):
        write_cases(run / "eval" / "cases" / f"{dataset}.jsonl", {f"t{i}": _dialogue(i) for i in range(n)})
        hardness = [rng.gauss(0, 0.08) - drop for _ in range(n)]
        records += [
            _record(rng, dataset, name, i, hardness[i], unscored=name == "imitation" and i == 3)
            for name in LEVELS
            for i in range(n)
        ]
    for name in LEVELS:
        append_records(run / "eval" / f"{name}.jsonl", [r for r in records if r.contestant == name])
    summary = summarize(
        records,
        margin=0.1,
        draws=500,
        seed=seed,
        max_score=5.0,
        sections=SECTIONS,
        held_out={"style": "rambling"},
    )
    contract = {"decoding": "greedy", "overrides": {}, "inputs": {"model": "5cd2"}}
    write_summary(run / "summary.json", {**summary, "contract": contract})
    return run


MANIFEST: dict[str, Any] = {
    "started": "2026-03-01T10:00:00+00:00",
    "finished": "2026-03-02T10:17:32+00:00",  # killed and resumed a day later
    "versions": {"fivestones": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "transformers": "5.19.0"},
    "machine": {"cpu": "x86_64", "cores": 2, "memory_gib": 15.6},
    "hashes": {
        "train.parquet": "9f2c1ab0",
        "test.parquet": "77d01c3e",
        "generation": "a31b",
        "model": "5cd2",
    },
}
CERTIFICATE: dict[str, Any] = {
    "rows": {"train": 400, "test": 240},
    "embedder": "hashed",
    "threshold": 0.93,
    "removed": {"exact": 0, "signature": 3, "near": 11},
    "nearest_cosine": {"p50": 0.61, "p99": 0.88, "max": 0.9299},
    "verified": True,
}


def _metrics(rng: random.Random, steps: int) -> list[dict[str, Any]]:
    warmup = [
        {"phase": "warmup", "step": i, "loss": 2.4 * 0.86**i + 0.3, "lr": 1e-4, "gate_rate": min(1, 0.04 * i)}
        for i in range(24)
    ]
    out = []
    for step in range(steps):
        share = 1 - 0.95 ** (step + 1)
        mean = 3.2 + 1.1 * share + rng.gauss(0, 0.15)
        criteria = {f"criteria/{s}": 0.55 + 0.25 * share + rng.gauss(0, 0.04) for s in SECTIONS}
        line = {"phase": "train", "step": step, "reward_mean": mean}
        line |= {**criteria, "gate_rate": min(1.0, 0.93 + 0.07 * share)}
        line |= {
            "completion_tokens": 110 + 12 * share + rng.gauss(0, 3),
            "truncated": max(0, 0.05 - share / 15),
        }
        line |= {"zero_contrast": rng.randrange(3), "entropy": 0.6 - 0.2 * share, "kl": 0.03 * share}
        line |= {"grad_norm": 0.8 + rng.random() * 0.4, "lr": 1e-5 * min(1, (step + 1) / 3), "loss": -0.01}
        line |= {"novel_metric": rng.random(), "entropy_text": "not a number"}
        out.append(line)
    return warmup + out


def _timings(rng: random.Random, steps: int) -> list[dict[str, Any]]:
    """20 s of synthesis, 60 of warm-up, 17 a step, 50 of evaluation a contestant."""
    out: list[dict[str, Any]] = [{"phase": "synth", "total": 20.0}]
    out.append({"phase": "warmup", "step": 1, "update": 59.0, "total": 60.0, "peak_memory_bytes": 3 << 30})
    for step in range(steps):
        parts = {"rollout": 9 + rng.random(), "score": 0.3 + rng.random() / 5, "update": 6 + rng.random()}
        peak = (3 << 30) + (step << 20)
        out.append({"phase": "train", "step": step, **parts, "total": 17.0, "peak_memory_bytes": peak})
    for name in LEVELS:
        out.append({"phase": "evaluate", "contestant": name, "dataset": "test", "tasks": 240, "total": 50.0})
    return out


def _rollout(rng: random.Random, step: int, g: int) -> dict[str, Any]:
    text = _note(rng, 0.5) if g else HOSTILE
    return {
        "task_id": f"train-{step}-{g // 3}",
        "prompt": [
            {"role": "system", "content": "Write the note."},
            {"role": "user", "content": _dialogue(step)},
        ],
        "text": text,
        "reward": rng.uniform(2, 5) if g else 0.0,
        "criteria": dict.fromkeys(SECTIONS, 0.6) if g else {},
        "failed": {} if g else {"json": f"not an object {HOSTILE}"},
    }


def _record(
    rng: random.Random, dataset: str, name: str, i: int, hardness: float, *, unscored: bool
) -> EvalRecord:
    valid = rng.random() < VALID[name]
    criteria = {
        s: min(1.0, max(0.0, LEVELS[name] + hardness + b + rng.gauss(0, 0.1)))
        for s, b in zip(SECTIONS, (0.04, -0.02, 0.05, -0.05), strict=True)
    }
    known = valid and not unscored
    style = ("terse", "chatty", "triage", "rambling")[i % 4]
    return EvalRecord(
        task_id=f"t{i}",
        contestant=name,
        dataset=dataset,
        cluster=f"condition-{i % 60}",
        tags={"style": style} if dataset == "test" else {},
        text=_note(rng, LEVELS[name]) if valid else f"Sure! Here is the note: {HOSTILE}",
        finish="stop" if valid or rng.random() < 0.5 else "length",
        tokens=rng.randrange(80, 140),
        strict=valid,
        lenient=valid or rng.random() < 0.3,
        failed={} if valid else {"json": "not one JSON object"},
        criteria=criteria if known else {},
        total=(1 + sum(criteria.values()) if valid else 0.0) if known or not valid else None,
        unscored={} if known or not valid else {"S": "timeout"},
        seconds=0.5 + rng.random() / 5,
    )


def _note(rng: random.Random, level: float) -> str:
    words = ["productive cough for 3 days", "no fever", "denies chest pain", f"quality {level:.2f}", HOSTILE]
    return json.dumps({s: "; ".join(rng.sample(words, 3)) + "." for s in SECTIONS})


def _dialogue(i: int) -> str:
    return (
        f"Doctor: What brings you in?\nPatient: A cough, three, no, four days. {HOSTILE}\nDoctor: Case {i}."
    )


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))


def _lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
