"""The stages of a run: warm-up, imitation, GRPO, evaluation. Each can be killed anywhere and goes on from
there."""

from __future__ import annotations

import gc
import logging
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fivestones.build import Job
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.records import EvalRecord, write_cases
from fivestones.evaluate.run import Dataset, evaluate_contestant
from fivestones.models.allocator import keep_memory
from fivestones.models.attention import install
from fivestones.models.load import (
    cast,
    compute_dtype,
    context_length,
    device_of,
    end_tokens,
    load,
    load_tokenizer,
    model_folder,
    read_config,
)
from fivestones.protocols import Progress
from fivestones.rollout.chat import Chat
from fivestones.rollout.collect import collect
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.runlog import RunDir, read_jsonl
from fivestones.train import grpo
from fivestones.train.breaker import Breaker
from fivestones.train.policy import TorchPolicy
from fivestones.train.schedule import stream, tasks_at
from fivestones.train.step_log import group_metrics, rollout_rows
from fivestones.train.warmup import (
    demonstration,
    gate_rate,
    imitate,
    imitation_batches,
    winners,
    with_examples,
)
from fivestones.types import Generation, Group, Message, Sample, Task

log = logging.getLogger(__name__)
PROBE_TASKS = 16  # tasks by which the gate rate is measured


def prepare_torch(threads: int) -> None:
    """threads: 0 leaves torch's own choice."""
    keep_memory()
    if threads:
        torch.set_num_threads(threads)


class Stages:
    """One run on one machine."""

    def __init__(self, job: Job, run: RunDir, progress: Progress) -> None:
        self.job, self.run, self.progress = job, run, progress
        self.recipe = job.recipe
        self.base = model_folder(self.recipe.model)
        self.tokenizer = load_tokenizer(self.base)
        self.context = context_length(read_config(self.base))

    # shared

    def chat(self, model: Any) -> Chat:
        return Chat(self.tokenizer, end_tokens(self.tokenizer, model), self.recipe.generation.template)

    def sampler(self, model: Any, slots: int, chat: Chat) -> NativeSampler:
        return NativeSampler(model, self.tokenizer, chat.ends, slots=slots, context=self.context)

    def policy(self, folder: Path) -> TorchPolicy:
        recipe = self.recipe
        gc.collect()  # a policy of an earlier stage is full of cycles (hooks), and large
        constant = recipe.train.tasks_per_step * recipe.rollout.group_size * recipe.generation.max_tokens
        return TorchPolicy.from_folder(
            folder,
            recipe.model,
            recipe.train,
            loss_constant=float(constant),
            temperature=recipe.rollout.temperature,
        )

    def prompt_tokens(self, prompt: Sequence[Message]) -> int:
        return len(Chat(self.tokenizer, (), self.recipe.generation.template).prompt_ids(prompt))

    @cached_property
    def datasets(self) -> list[Dataset]:
        """What contestants are compared on: the test split, and files of real cases."""
        extra = [self.job.extra_set(name, path) for name, path in self.recipe.evaluate.extra.items()]
        return [self.job.test_set(), *extra]

    @cached_property
    def train_tasks(self) -> list[Task]:
        """Train tasks whose prompt leaves room for an answer."""
        room = self.context - self.recipe.generation.max_tokens
        limit = min(room, self.recipe.generation.max_prompt_tokens or room)
        tasks, told = self.job.fit(self.job.tasks("train"), lambda t: self.prompt_tokens(t.prompt), limit)
        if told:
            log.warning("train: %s", told)
        if not tasks:
            raise DataError(f"no train task has a prompt of at most {limit} tokens")
        return tasks

    def references(self, tasks: Sequence[Task]) -> list[Task]:
        """The first tasks with a reference output: the only ones whose reference is ever imitated."""
        limit = self.recipe.warmup.references
        return [t for t in tasks if t.reference.get("output")][:limit]

    def demonstrations(self, chat: Chat, tasks: Sequence[Task]) -> list[Sample]:
        env, out, long = self.job.environment, [], 0
        for task in tasks:
            answer = chat.answer_ids(env.reference_text(task))
            if len(answer) > self.recipe.generation.max_tokens:
                long += 1
                continue
            out.append(demonstration(task.id, chat.prompt_ids(task.prompt), answer))
        if long:
            log.warning("%d references are longer than generation.max_tokens and are not imitated", long)
        if not out:
            raise DataError(no_demonstrations(long, self.recipe.generation.max_tokens))
        return out

    def rollouts(
        self, tasks: Sequence[Task], sampler: NativeSampler, chat: Chat, label: str, group_size: int
    ) -> tuple[list[Group], Mapping[str, float]]:
        """Rolled out and scored groups, and the seconds of both parts."""
        seed, began = self.recipe.seed, time.monotonic()
        generation = replace(self.job.generation, temperature=self.recipe.rollout.temperature)
        rolled = collect(
            self.job.environment,
            tasks,
            sampler,
            chat,
            generation,
            lambda task, member, turn: stream(seed, label, task.id, member, turn),
            group_size=group_size,
            version=sampler.version,
        )
        middle = time.monotonic()
        groups = [
            Group(task=task, rollouts=rollouts, scores=tuple(self.job.scorer(task, rollouts)))
            for task, rollouts in rolled
        ]
        return groups, {"rollout": middle - began, "score": time.monotonic() - middle}

    # warm-up and imitation

    def warmup(self) -> Path:
        """Returns the folder of the warm start: a checkpoint, or the base model when none was needed."""
        if done := self.run.marked("warmup"):
            return self.run.path / str(done["folder"]) if done["folder"] else self.base
        kind: str = self.recipe.warmup.kind
        policy = self.policy(self.base)
        if kind == "auto":
            kind = self._needed(policy)
        folder: Path | None = None
        if kind == "references":
            folder = self._imitation(policy, "warmup", self.recipe.warmup.passes)
        elif kind == "self":
            folder = self._self_warmup(policy)
        relative = str(folder.relative_to(self.run.path)) if folder else ""
        self.run.mark("warmup", {"kind": kind, "folder": relative})
        return folder or self.base

    def imitation(self, warm: Path) -> Path:
        """The contestant that goes on imitating the same references from the same warm start."""
        if done := self.run.marked("imitation"):
            return self.run.path / str(done["folder"])
        folder = self._imitation(self.policy(warm), "imitation", self.recipe.evaluate.imitation_passes)
        self.run.mark("imitation", {"folder": str(folder.relative_to(self.run.path))})
        return folder

    def _imitation(self, policy: TorchPolicy, phase: str, passes: int) -> Path:
        chat, part = self.chat(policy.model), self.recipe.warmup
        tasks = self.references(self.train_tasks)
        samples = self.demonstrations(chat, tasks)
        batches = imitation_batches(samples, passes, part.batch, stream(self.recipe.seed, phase))
        self._resume(policy, phase)
        clock = time.monotonic()

        def after(step: int, total: int, metrics: Mapping[str, float]) -> None:
            nonlocal clock
            self.run.append(self.run.metrics_path, {"step": step, "phase": phase, **metrics})
            now = time.monotonic()
            self.run.append(
                self.run.timings_path, {"step": step, "phase": phase, "update": now - clock, **_memory()}
            )
            if step % self.recipe.train.checkpoint_every == 0 or step == total:
                self.run.save_checkpoint(phase, step, policy.save)
            clock = time.monotonic()
            self.progress(step, total, f"{phase}: loss {metrics['loss']:.3f}")

        imitate(policy, batches, part.lr, after)
        return self._last(phase)

    def _needed(self, policy: TorchPolicy) -> str:
        """`none` when the base model passes the gate often enough to learn from its own attempts."""
        chat = self.chat(policy.model)
        tasks = self.train_tasks
        sampler = self.sampler(policy.model, self.recipe.rollout.slots, chat)
        groups, _ = self.rollouts(tasks[:PROBE_TASKS], sampler, chat, "gate-rate", 2)
        rate = gate_rate(groups)
        kind = "none" if rate >= 0.1 else "references" if self.references(tasks) else "self"
        self.progress(1, 1, f"gate rate of the base model: {rate:.0%}, warm-up: {kind}")
        return kind

    def _self_warmup(self, policy: TorchPolicy) -> Path:
        """Rounds of best-of-n from prompts with examples; the winners are imitated without them."""
        part, chat = self.recipe.warmup, self.chat(policy.model)
        tasks = self.train_tasks
        examples = self.examples(tasks)
        sampler = self.sampler(policy.model, self.recipe.rollout.slots, chat)
        size = self.recipe.rollout.group_size
        first = self._resume(policy, "warmup")
        logged = [r for r in read_jsonl(self.run.metrics_path) if r["phase"] == "warmup"]
        if logged and logged[-1]["gate_rate"] >= part.target:  # killed after its last round
            return self._last("warmup")
        for round_ in range(first, part.passes):
            batch = tasks_at(tasks, max(part.references, PROBE_TASKS), self.recipe.seed, round_, 0)
            scaffold = [replace(t, prompt=with_examples(t.prompt, examples)) for t in batch]
            groups, seconds = self.rollouts(scaffold, sampler, chat, f"self-{round_}", size)
            best = winners(groups)
            plain = {t.id: chat.prompt_ids(t.prompt) for t in batch}
            samples = [demonstration(t.id, plain[t.id], r.completion_ids) for t, r in best]
            losses: list[float] = []
            for chunk in imitation_batches(samples, 1, part.batch, stream(self.recipe.seed, round_)):
                losses.append(policy.imitate(chunk, part.lr)["loss"])
            probe, _ = self.rollouts(batch[:PROBE_TASKS], sampler, chat, f"self-probe-{round_}", 2)
            rate = gate_rate(probe)
            policy.step = round_ + 1
            row = {
                "gate_rate": rate,
                "winners": len(best),
                "scaffold_gate_rate": gate_rate(groups),
                **({"loss": losses[-1]} if losses else {}),  # without winners nothing was imitated
            }
            self.run.append(self.run.metrics_path, {"step": round_ + 1, "phase": "warmup", **row})
            self.run.append(
                self.run.timings_path, {"step": round_ + 1, "phase": "warmup", **seconds, **_memory()}
            )
            self.run.save_checkpoint("warmup", round_ + 1, policy.save)
            self.progress(round_ + 1, part.passes, f"self warm-up: gate rate {rate:.0%}")
            if rate >= part.target:
                break
        return self._last("warmup")

    def examples(self, tasks: Sequence[Task]) -> list[tuple[Message, str]]:
        """The shortest of the allowed references, as (user message, answer)."""
        env = self.job.environment
        short = sorted(self.references(tasks), key=lambda t: (len(t.prompt[-1].content), t.id))
        if not short and self.recipe.evaluate.examples:
            raise UsageError(
                "examples in the prompt need train rows with a reference output (warmup.references is 0, or "
                "the data has none)"
            )
        return [(t.prompt[-1], env.reference_text(t)) for t in short[: self.recipe.evaluate.examples]]

    # GRPO

    def grpo(self, warm: Path) -> Path:
        if done := self.run.marked("train"):
            return self.run.path / str(done["folder"])
        recipe = self.recipe
        policy = self.policy(warm)
        if recipe.train.kl > 0:
            policy.keep_reference()
        chat = self.chat(policy.model)
        sampler = self.sampler(policy.model, recipe.rollout.slots, chat)
        tasks = self.train_tasks
        breaker = Breaker(recipe.train.max_unscored)
        self._resume(policy, "train")
        seconds: dict[str, float] = {}
        clock = time.monotonic()

        def roll(batch: Sequence[Task], step: int) -> list[Group]:
            groups, spent = self.rollouts(batch, sampler, chat, f"step-{step}", recipe.rollout.group_size)
            for part, s in spent.items():
                seconds[part] = seconds.get(part, 0.0) + s
            breaker.check(groups)
            return groups

        def after(step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> None:
            nonlocal clock
            row = {"step": step + 1, "phase": "train", **group_metrics(groups, recipe.train.min_contrast)}
            self.run.append(self.run.metrics_path, {**row, **metrics})
            if recipe.train.log_rollouts:
                self.run.save_rollouts(step + 1, rollout_rows(groups))
            now = time.monotonic()
            spent = {**seconds, "update": now - clock - sum(seconds.values()), "total": now - clock}
            self.run.append(self.run.timings_path, {"step": step + 1, "phase": "train", **spent, **_memory()})
            if (step + 1) % recipe.train.checkpoint_every == 0 or step + 1 == recipe.train.steps:
                self.run.save_checkpoint("train", step + 1, policy.save, recipe.train.keep_checkpoints)
            seconds.clear()
            clock = time.monotonic()
            self.progress(step + 1, recipe.train.steps, f"train: reward {row['reward_mean']:.2f}")

        grpo.train(
            recipe.train,
            lambda step, extra: tasks_at(tasks, recipe.train.tasks_per_step, recipe.seed, step, extra),
            roll,
            policy,
            sampler,
            recipe.generation.max_tokens,
            after,
        )
        folder = self._last("train") if recipe.train.steps else warm
        self.run.mark("train", {"folder": _relative(folder, self.run.path)})
        return folder

    def _resume(self, policy: TorchPolicy, phase: str) -> int:
        """Load the phase's latest checkpoint, if any, and forget what was logged after it; returns its
        step."""
        if latest := self.run.latest(phase):
            policy.load(latest[1])
        else:
            policy.step = 0
        self.run.rewind(phase, policy.step + 1)
        return policy.step

    def _last(self, phase: str) -> Path:
        latest = self.run.latest(phase)
        assert latest is not None
        return latest[1]

    # evaluation

    def evaluate(self, folders: Mapping[str, Path]) -> list[EvalRecord]:
        """folders: contestant -> model folder. All contestants on the test split and the extra datasets."""
        recipe = self.recipe
        datasets = self.datasets
        records: list[EvalRecord] = []
        for name in recipe.evaluate.contestants:
            records += self._contestant(name, folders[name], datasets)
        for dataset in datasets:
            cases = {t.id: t.prompt[-1].content for t in dataset.tasks}
            write_cases(self.run.path / "eval" / "cases" / f"{dataset.name}.jsonl", cases)
        return records

    def _contestant(self, name: str, folder: Path, datasets: Sequence[Dataset]) -> list[EvalRecord]:
        part = self.recipe.model
        model = load(folder).model
        device = device_of(part)
        model.to(device)
        cast(model, compute_dtype(part, device))
        install(model)
        chat = self.chat(model)
        sampler = self.sampler(model, self.recipe.evaluate.slots, chat)
        generation: Generation = self.job.greedy
        shown = self.examples(self.train_tasks) if name == "base_examples" else []

        def prompt(task: Task) -> tuple[Message, ...]:
            return with_examples(task.prompt, shown)

        records: list[EvalRecord] = []
        for dataset in datasets:
            records += evaluate_contestant(
                name,
                dataset,
                sampler,
                chat.prompt_ids,
                prompt,
                generation,
                self.run.path / "eval" / f"{name}.jsonl",
                self.progress,
            )
        return records


def no_demonstrations(long: int, max_tokens: int) -> str:
    """Why nothing can be imitated. long: references that are longer than `max_tokens`."""
    why = (
        f"all {long} are longer than generation.max_tokens = {max_tokens}"
        if long
        else "the train rows have none"
    )
    return (
        f"no reference output to imitate: {why}; allowed without: warmup.kind self or none, and "
        "evaluate.contestants without imitation and base_examples"
    )


def _memory() -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_bytes": float(peak if sys.platform == "darwin" else peak * 1024)}


def _relative(folder: Path, root: Path) -> str:
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)
