"""Evaluation of one contestant: greedy outputs for all tasks, scored, recorded, resumable by task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fivestones.evaluate.identity import record_key
from fivestones.evaluate.records import EvalRecord, append_records, read_records
from fivestones.protocols import Diagnose, Progress, Scorer
from fivestones.rollout.overlap import Scoring
from fivestones.types import Generation, Group, Rollout, Task

CHUNK = 128  # tasks between two writes: what a kill can cost


@dataclass(frozen=True)
class Dataset:
    """Held-out tasks and how their outputs are scored."""

    name: str
    tasks: Sequence[Task]
    scorer: Scorer
    lenient: Callable[[str], Mapping[str, Any] | None]
    criteria: tuple[str, ...] = ()  # names, in order
    diagnose: Diagnose | None = None  # behaviours in an episode
    at_once: int = 1  # outputs that the scorer may be asked about at the same time


@dataclass(frozen=True)
class Contestant:
    """A model under one way of prompting it."""

    name: str
    model: str  # digest of its folder
    generation: Generation
    prompt_ids: Callable[[Task], tuple[int, ...]]
    roll: Callable[[Sequence[Task], Callable[[int, Rollout], None]], None]
    """(tasks, ended): makes a greedy rollout of each task and calls ended(place of the task, rollout)."""


def evaluate_contestant(
    contestant: Contestant,
    dataset: Dataset,
    scorer: str,
    path: Path,
    progress: Progress,
    after_chunk: Callable[[int], None],
) -> list[EvalRecord]:
    """Appends to `path` what is missing there and returns the records of the dataset, in the order of its
    tasks.

    A record of `path` is used again when it is the task's last, scored, and made under the same conditions.
    scorer: digest of what scores; after_chunk: called with the number of tasks just recorded.
    """
    name, tasks = contestant.name, dataset.tasks
    label = f"evaluate {name} on {dataset.name}"
    progress(0, len(tasks), label)  # before the prompts are tokenized
    prompts = {task.id: contestant.prompt_ids(task) for task in tasks}
    keys = {
        task.id: record_key(
            task, prompts[task.id], contestant.generation, model=contestant.model, scorer=scorer
        )
        for task in tasks
    }
    last = {r.task_id: r for r in read_records(path) if r.dataset == dataset.name}
    have = {i: r for i, r in last.items() if r.total is not None and keys.get(i) == r.key}
    # The longest prompts first: a chunk of like lengths decodes faster, and memory is at its peak at once.
    # Always in this order and whole chunks, so that a resumed evaluation batches as an uninterrupted one: in
    # bfloat16 a greedy output can turn on what is decoded beside it.
    ordered = sorted(tasks, key=lambda task: -len(prompts[task.id]))
    missing = [task for task in ordered if task.id not in have]
    done = len(tasks) - len(missing)
    progress(done, len(tasks), label)
    for start in range(0, len(missing), CHUNK):
        chunk = missing[start : start + CHUNK]
        began = time.monotonic()
        tell = partial(_tell, progress, done, len(tasks), label)
        with Scoring(dataset.scorer, chunk, 1, tell, dataset.at_once) as scoring:
            contestant.roll(chunk, scoring)
            seconds = (time.monotonic() - began) / len(chunk)
            records = [_record(name, dataset, g, keys[g.task.id], seconds) for g in scoring.groups()]
        append_records(path, records)
        have |= {record.task_id: record for record in records}
        done += len(chunk)
        after_chunk(len(chunk))
    return [have[task.id] for task in tasks]


def _tell(progress: Progress, before: int, total: int, label: str, ended: int) -> None:
    progress(before + ended, total, label)


def _record(name: str, dataset: Dataset, group: Group, key: str, seconds: float) -> EvalRecord:
    task, (rollout,), (score,) = group.task, group.rollouts, group.scores
    turns = rollout.turns
    return EvalRecord(
        task_id=task.id,
        contestant=name,
        dataset=dataset.name,
        key=key,
        cluster=task.cluster,
        tags=task.tags,
        text=rollout.answer,
        finish=rollout.finish,
        tokens=sum(rollout.loss_mask),
        strict=not score.failed,
        lenient=dataset.lenient(rollout.answer) is not None,
        failed=score.failed,
        criteria=score.criteria,
        total=score.reward,
        unscored=score.unscored,
        seconds=seconds,
        transcript=[{"role": m.role, "content": m.content} for m in turns] if len(turns) > 1 else (),
        behaviours=dataset.diagnose(task, rollout, score) if dataset.diagnose else {},
    )
