"""Evaluation: every contestant on every dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fivestones.evaluate.identity import judge_digest, model_digest
from fivestones.evaluate.records import EvalRecord, write_cases
from fivestones.evaluate.run import Contestant, Dataset, evaluate_contestant
from fivestones.models.attention import install
from fivestones.models.load import cast, compute_dtype, device_of, load
from fivestones.stages.interrupt import WholeSteps
from fivestones.stages.shared import Shared
from fivestones.train.warmup import with_examples
from fivestones.types import Rollout, Task


def evaluate(shared: Shared, folders: Mapping[str, Path]) -> list[EvalRecord]:
    """folders: contestant -> model folder. All contestants on the test split and the extra datasets."""
    scorer = judge_digest(shared.recipe)
    digests: dict[Path, str] = {}  # contestants may share a folder
    records: list[EvalRecord] = []
    for name in shared.recipe.evaluate.contestants:
        folder = folders[name]
        if folder not in digests:
            digests[folder] = model_digest(folder)
        records += _answered(shared, name, folder, digests[folder], scorer)
    for dataset in shared.datasets:
        cases = {t.id: t.prompt[-1].content for t in dataset.tasks}
        write_cases(shared.run.path / "eval" / "cases" / f"{dataset.name}.jsonl", cases)
    return records


def _answered(shared: Shared, name: str, folder: Path, digest: str, scorer: str) -> list[EvalRecord]:
    """All datasets. On return nothing holds the model any more: the next one is loaded beside none."""
    contestant = _contestant(shared, name, folder, digest)
    return [r for dataset in shared.datasets for r in _evaluated(shared, contestant, dataset, scorer)]


def _evaluated(shared: Shared, contestant: Contestant, dataset: Dataset, scorer: str) -> list[EvalRecord]:
    whole = WholeSteps(lambda: None)  # a part that is recorded is kept

    def after_chunk(tasks: int) -> None:
        shared.log_time("evaluate", contestant=contestant.name, dataset=dataset.name, tasks=tasks)
        whole.pause()

    path = shared.run.path / "eval" / f"{contestant.name}.jsonl"
    with whole:
        return evaluate_contestant(contestant, dataset, scorer, path, shared.progress, after_chunk)


def _contestant(shared: Shared, name: str, folder: Path, digest: str) -> Contestant:
    part = shared.recipe.model
    shared.forget()
    model = load(folder).model
    device = device_of(part)
    model.to(device)
    cast(model, compute_dtype(part, device))
    install(model)
    chat = shared.chat(model)
    sampler = shared.sampler(model, shared.recipe.evaluate.slots, chat)
    shown = shared.examples(shared.train_tasks) if name == "base_examples" else []

    def asked(task: Task) -> Task:
        return replace(task, prompt=with_examples(task.prompt, shown))

    def roll(tasks: Sequence[Task], ended: Callable[[int, Rollout], None]) -> None:
        shared.answer([asked(task) for task in tasks], sampler, chat, ended)

    return Contestant(name, digest, shared.job.greedy, lambda task: chat.prompt_ids(asked(task).prompt), roll)
