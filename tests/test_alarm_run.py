"""Whole runs with a second judge: an alarm where it does not see what the training judge rewards."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import fivestones
import label_job
from fivestones.score.alarm import TRAINING, fired

STEPS = {"steps": 40, "tasks_per_step": 6, "lr": 0.0004, "checkpoint_every": 40, "warmup_steps": 1}


@pytest.mark.slow
@pytest.mark.parametrize(("second", "hacked"), [("own_parts:Truth", True), ("own_parts:Pays", False)])
def test_an_alarm_is_raised_in_a_run_that_hacks_its_judge_and_in_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, second: str, hacked: bool
) -> None:
    file = label_job.recipe(
        tmp_path,
        judge={"kind": "own_parts:Pays"},
        watch={"judge": {"kind": second}, "every": 2, "sample": 32},
        train=STEPS,
    )
    with caplog.at_level(logging.WARNING):
        run = fivestones.run(file, out=tmp_path / "run")
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    looks = [row for row in rows if TRAINING in row]
    first, last = (sum(row[TRAINING] for row in part) / 5 for part in (looks[:5], looks[-5:]))
    assert last > first + 0.1  # it did learn what it was rewarded for
    assert bool(fired(rows)) == hacked
    told = "the second judge does not see what the training judge rewards"
    assert (told in caplog.text) == hacked
    assert ("**Hacking alarm** at steps" in (run.path / "report.md").read_text()) == hacked
