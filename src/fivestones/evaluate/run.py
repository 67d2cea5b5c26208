"""Evaluation of one contestant: greedy outputs for all tasks, scored, recorded, resumable by task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivestones.evaluate.records import EvalRecord, append_records, read_records
from fivestones.protocols import Progress, Sampler, Scorer
from fivestones.types import Completion, Generation, Message, Rollout, Task

CHUNK = 128  # tasks between two writes: what a kill can cost


@dataclass(frozen=True)
class Dataset:
    """Held-out tasks and how their outputs are scored."""

    name: str
    tasks: Sequence[Task]
    scorer: Scorer
    lenient: Callable[[str], Mapping[str, Any] | None]
    criteria: tuple[str, ...] = ()  # names, in order


def evaluate_contestant(
    name: str,
    dataset: Dataset,
    sampler: Sampler,
    prompt_ids: Callable[[Sequence[Message]], tuple[int, ...]],
    prompt: Callable[[Task], tuple[Message, ...]],
    generation: Generation,
    path: Path,
    progress: Progress,
) -> list[EvalRecord]:
    """Appends to `path` what is missing there and returns all records of the dataset."""
    known = read_records(path) if path.exists() else []
    done = {(r.dataset, r.task_id) for r in known if r.total is not None}  # what was unscored is tried again
    missing = [t for t in dataset.tasks if (dataset.name, t.id) not in done]
    label = f"evaluate {name} on {dataset.name}"
    progress(len(dataset.tasks) - len(missing), len(dataset.tasks), label)
    for start in range(0, len(missing), CHUNK):
        tasks = missing[start : start + CHUNK]
        prompts = [prompt(t) for t in tasks]
        ids = [prompt_ids(p) for p in prompts]
        began = time.monotonic()
        completions = sampler.generate(ids, generation, [0] * len(ids))
        seconds = (time.monotonic() - began) / len(tasks)
        records = [
            _record(name, dataset, task, p, i, c, seconds)
            for task, p, i, c in zip(tasks, prompts, ids, completions, strict=True)
        ]
        append_records(path, records)
        known += records
        progress(len(dataset.tasks) - len(missing) + start + len(tasks), len(dataset.tasks), label)
    wanted = {t.id for t in dataset.tasks}
    return [r for r in known if r.dataset == dataset.name and r.task_id in wanted]


def _record(
    name: str,
    dataset: Dataset,
    task: Task,
    prompt: tuple[Message, ...],
    ids: tuple[int, ...],
    c: Completion,
    seconds: float,
) -> EvalRecord:
    rollout = Rollout(
        task_id=task.id,
        messages=(*prompt, Message("assistant", c.text)),
        prompt_ids=ids,
        completion_ids=c.token_ids,
        loss_mask=(True,) * len(c.token_ids),
        logprobs=c.logprobs,
        finish=c.finish,
        policy_version=0,
    )
    score = dataset.scorer(task, [rollout])[0]
    return EvalRecord(
        task_id=task.id,
        contestant=name,
        dataset=dataset.name,
        cluster=task.cluster,
        tags=task.tags,
        text=c.text,
        finish=c.finish,
        tokens=len(c.token_ids),
        strict=not score.failed,
        lenient=dataset.lenient(c.text) is not None,
        failed=score.failed,
        criteria=score.criteria,
        total=score.reward,
        unscored=score.unscored,
        seconds=seconds,
    )
