"""Judging as a share of a training step: a finished run's own rollouts, judged again.

    python benchmarks/judging.py RUN [--repeats 3] [--warmup 1] [--json]

`judge` is what the recipe's judge takes for the rollouts of a step, each repeat with a new judge that
remembers no task. `after` is what the run itself logged as `score`: the part that went on after generation,
which is all that a step waits for. Both as a share of the median step of the run's timings. An LLM judge
answers out of the run's cache of replies; the target, below 5%, is for the embedded one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import common


def step_seconds(timings: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """(seconds of each training step, of scoring after its generation)."""
    rows = [row for row in timings if row["phase"] == "train"]
    return [float(row["total"]) for row in rows], [float(row.get("score", 0.0)) for row in rows]


def groups_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """(task, the texts of its rollouts), in the order of the log."""
    return [
        (task, [str(row["text"]) for row in group]) for task, group in groupby(rows, lambda r: r["task_id"])
    ]


def judged_again(run: Path, steps: Sequence[Sequence[tuple[str, list[str]]]]) -> dict[str, Any]:
    """Seconds of each step's judging, by a judge that has seen none of the tasks."""
    from fivestones.build import Job
    from fivestones.build_data import load_data
    from fivestones.recipe_load import load_recipe

    recipe = load_recipe(run / "recipe.yaml")
    job = Job(recipe, load_data(recipe, run / "data"), run)
    tasks = {task.id: task for task in job.tasks("train")}
    judge = job.judges.make(recipe.judge, job.judged)
    spent = []
    for groups in steps:
        began = time.perf_counter()
        for task, texts in groups:
            outputs = [found for text in texts if (found := job.environment.parse(text)) is not None]
            judge(tasks[task], outputs)
        spent.append(time.perf_counter() - began)
    job.judges.close()
    return {"seconds": sum(spent), "step": statistics.median(spent)}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("run", type=Path, help="a run directory with logged rollouts (train.log_rollouts)")
    made.add_argument("--json", action="store_true", help="JSON instead of a table")
    common.add_repeats(made)
    args = made.parse_args()

    from fivestones.runlog import read_jsonl

    steps, after = step_seconds(read_jsonl(args.run / "timings.jsonl"))
    logged = sorted((args.run / "rollouts").glob("step-*.jsonl"))
    if not steps or not logged:
        raise SystemExit(f"{args.run}: no timings of training steps, or no logged rollouts")
    groups = [groups_of(read_jsonl(path)) for path in logged]
    kept = common.interleave(
        {"judge": lambda i: judged_again(args.run, groups)}, repeats=args.repeats, warmup=args.warmup
    )
    step = statistics.median(steps)
    seconds = {"judge": common.seconds(kept["judge"], "step"), "after": common.spread(after)}
    shares = {name: found["median"] / step for name, found in seconds.items()}
    result = {
        "machine": common.machine(),
        "note": "target: below 5% of a step with the embedded judge",
        "settings": {"run": str(args.run), "steps": len(steps), "step_seconds": step},
        "sides": {name: {"seconds": seconds[name], "share": shares[name]} for name in seconds},
    }
    rows = [[name, common.shown(found, 3), f"{100 * shares[name]:.2f}"] for name, found in seconds.items()]
    common.report(result, common.table(["part", "s a step", "% of a step"], rows), as_json=args.json)


if __name__ == "__main__":
    main()
