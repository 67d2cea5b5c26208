from __future__ import annotations

from pathlib import Path

from fivestones.runlog import RunDir, read_jsonl


def test_rewinding_one_phase_keeps_the_others(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for phase in ("warmup", "train", "imitation"):
        for step in (1, 2, 3):
            run.append(run.metrics_path, {"phase": phase, "step": step})
    run.rewind("imitation", 2)
    run.rewind("warmup", 4)
    left = [(r["phase"], r["step"]) for r in read_jsonl(run.metrics_path)]
    assert left == [*(("warmup", i) for i in (1, 2, 3)), *(("train", i) for i in (1, 2, 3)), ("imitation", 1)]
