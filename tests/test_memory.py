"""The peak of memory that `doctor` predicts is that of the run: real processes, the embedded model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tiny_job

pytestmark = pytest.mark.slow
GIB = 1 << 30
# the rows, answers and updates of the laptop profile, fewer of them
FEWER = ("synth.train=60", "synth.test=20", "warmup.references=16", "train.steps=5", "evaluate.draws=200")


def fivestones(folder: Path, *args: str) -> str:
    done = tiny_job.fivestones(*args, cwd=folder, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_doctor_predicts_the_peak_of_the_run_within_a_fifth(tmp_path: Path) -> None:
    told = fivestones(tmp_path, "doctor", "soap", *FEWER)
    found = re.search(r"about ([\d.]+) GiB in a whole run", told)
    assert found, told
    fivestones(tmp_path, "run", "soap", "--out", "runs/soap", *FEWER)
    rows = map(json.loads, (tmp_path / "runs/soap/timings.jsonl").read_text().splitlines())
    measured = max(row["peak_memory_bytes"] for row in rows if row.get("peak_memory_bytes")) / GIB
    assert measured == pytest.approx(float(found[1]), rel=0.2)
