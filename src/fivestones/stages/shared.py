"""What every stage needs of a run: the model's tokens, its tasks, rollouts, and where a phase goes on."""

from __future__ import annotations

import gc
import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from fivestones.build import Job
from fivestones.chat import Usage
from fivestones.environments.json_bounds import bounded_schema
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.run import Dataset
from fivestones.models.allocator import keep_memory, release_memory
from fivestones.models.load import context_length, end_tokens, load_tokenizer, model_folder, read_config
from fivestones.protocols import Progress
from fivestones.rollout.chat import Chat
from fivestones.rollout.collect import collect
from fivestones.rollout.native.grammar import Grammar
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.rollout.overlap import Scoring
from fivestones.runlog import RunDir
from fivestones.train.policy import TorchPolicy
from fivestones.train.schedule import stream
from fivestones.train.warmup import demonstration
from fivestones.types import Generation, Group, Message, Rollout, Sample, Task

log = logging.getLogger(__name__)
TOLD = 200  # prompts between two words on the progress of tokenizing them
RATED = 32  # prompts by which the characters of a token are measured
SAFE = 0.6  # share of that rate which an answer is trusted to have


def prepare_torch(threads: int) -> None:
    """threads: 0 leaves torch's own choice."""
    keep_memory()
    if threads:
        torch.set_num_threads(threads)


class Shared:
    """One job, one run directory, one base model."""

    def __init__(self, job: Job, run: RunDir, progress: Progress) -> None:
        self.job, self.run, self.progress = job, run, progress
        self.recipe = job.recipe
        self.base = model_folder(self.recipe.model)
        self.tokenizer = load_tokenizer(self.base)
        self.context = context_length(read_config(self.base))
        self._judged = Usage()  # at the last row of the judge's log
        self._lengths: dict[tuple[Message, ...], int] = {}  # of prompts, in tokens

    @property
    def room(self) -> int:
        """Tokens that a prompt may have, so that an answer fits the context."""
        return self.context - self.recipe.generation.max_tokens

    @property
    def most_tokens(self) -> int:
        """The most tokens that a rollout can sample, over all its turns."""
        return self.recipe.generation.max_tokens * self.recipe.environment.max_turns

    # the model

    def chat(self, model: Any) -> Chat:
        return Chat(self.tokenizer, end_tokens(self.tokenizer, model), self.job.generation.template)

    def sampler(self, model: Any, slots: int, chat: Chat) -> NativeSampler:
        several = self.recipe.environment.max_turns > 1
        return NativeSampler(
            model, self.tokenizer, chat.ends, slots=slots, context=self.context, several_turns=several
        )

    def forget(self) -> None:
        """Give back the memory of models of earlier stages, which are large and full of cycles (hooks)."""
        gc.collect()
        release_memory(0)

    def policy(self, folder: Path) -> TorchPolicy:
        recipe = self.recipe
        self.forget()
        constant = recipe.train.tasks_per_step * recipe.rollout.group_size * self.most_tokens
        return TorchPolicy.from_folder(
            folder,
            recipe.model,
            recipe.train,
            loss_constant=float(constant),
            temperature=recipe.rollout.temperature,
        )

    def prompt_tokens(self, prompt: Sequence[Message]) -> int:
        key = tuple(prompt)
        if key not in self._lengths:
            self._lengths[key] = len(self.chat_of_prompts.prompt_ids(prompt))
        return self._lengths[key]

    @cached_property
    def chat_of_prompts(self) -> Chat:
        """Without a model, which knows more end tokens."""
        return Chat(self.tokenizer, (), self.job.generation.template)

    def lengths(self, prompts: Sequence[Sequence[Message]], label: str) -> list[int]:
        """Tokens of each; tells its progress."""
        found = []
        for prompt in prompts:
            found.append(self.prompt_tokens(prompt))
            if len(found) % TOLD == 0 or len(found) == len(prompts):
                self.progress(len(found), len(prompts), f"prompts of {label}")
        return found

    @cached_property
    def decoding_schema(self) -> str | None:
        """JSON Schema that constrained decoding keeps to, short enough to be finished; None when it is off,
        and for a user's own environment. Raises UsageError when it cannot be followed token by token."""
        schema = self.job.output_schema
        if schema is None or not self.recipe.warmup.constrained:
            return None
        texts = [t.prompt[-1].content for t in self.train_tasks[:RATED]]
        tokens = sum(len(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"])
        rate = SAFE * sum(map(len, texts)) / tokens  # characters a token: JSON has fewer than prose
        bound = json.dumps(bounded_schema(schema, int(self.recipe.generation.max_tokens * rate)))
        Grammar(bound, self.tokenizer, [self.tokenizer.eos_token_id], len(self.tokenizer))
        return bound

    # tasks

    @cached_property
    def datasets(self) -> list[Dataset]:
        """What contestants are compared on: the test split, and files of real cases."""
        extra = [self.job.extra_set(name, path) for name, path in self.recipe.evaluate.extra.items()]
        return [self.job.test_set(), *extra]

    @cached_property
    def train_tasks(self) -> list[Task]:
        """Train tasks whose prompt leaves room for an answer."""
        limit = min(self.room, self.recipe.generation.max_prompt_tokens or self.room)
        tasks = self.job.tasks("train")
        lengths = self.lengths([t.prompt for t in tasks], "train")
        long = {t.id for t, n in zip(tasks, lengths, strict=True) if n > limit}
        kept = [t for t in tasks if t.id not in long]
        if not kept:
            raise DataError(f"no train task has a prompt of at most {limit} tokens")
        if long:
            first = next(t.id for t in tasks if t.id in long)
            log.warning(
                "train: left out %d of %d tasks with a prompt above %d tokens (first: %s)",
                len(long),
                len(tasks),
                limit,
                first,
            )
        return kept

    def references(self, tasks: Sequence[Task]) -> list[Task]:
        """The first tasks with a reference output: the only ones whose reference is ever imitated."""
        limit = self.recipe.warmup.references
        return [t for t in tasks if t.reference.get("output")][:limit]

    def demonstrations(self, chat: Chat, tasks: Sequence[Task]) -> list[Sample]:
        out, long = [], 0
        for task in tasks:
            answer, mask = chat.episode_ids(task.prompt, self.job.turns(task))
            prompt = chat.prompt_ids(task.prompt)
            if self.too_long(mask) or len(prompt) + len(answer) > self.context:
                long += 1
                continue
            out.append(demonstration(task.id, prompt, answer, mask))
        if long:
            log.warning("%d references are longer than generation.max_tokens and are not imitated", long)
        if not out:
            raise DataError(no_demonstrations(long, self.recipe.generation.max_tokens))
        return out

    def turn_tokens(self, task: Task) -> list[int]:
        """Of each turn that the task's demonstration says: its tokens, end token included."""
        said = [self.chat_of_prompts.spoken(t) for t in self.job.turns(task) if t.role == "assistant"]
        plain = {"add_special_tokens": False, "split_special_tokens": True}
        return [1 + len(self.tokenizer(text, **plain)["input_ids"]) for text in said]

    def too_long(self, mask: Sequence[bool]) -> bool:
        """A turn of the episode, of which `mask` [C] marks what an assistant says, could not be sampled."""
        turns = (sum(run) for said, run in groupby(mask) if said)
        return max(turns) > self.recipe.generation.max_tokens

    def examples(self, tasks: Sequence[Task]) -> list[tuple[Message, ...]]:
        """The shortest of the allowed references: the user's turn and those that follow. Raises UsageError
        when there is none."""
        short = sorted(self.references(tasks), key=lambda t: (len(t.prompt[-1].content), t.id))
        if not short:
            raise UsageError(
                "examples in the prompt need train rows with a reference output (warmup.references is 0, or "
                "the data has none)"
            )
        return [(t.prompt[-1], *_right(self.job.turns(t))) for t in short[: self.recipe.evaluate.examples]]

    # rollouts

    def rollouts(
        self,
        tasks: Sequence[Task],
        sampler: NativeSampler,
        chat: Chat,
        label: str,
        group_size: int,
        tell: Callable[[int], None] = lambda ended: None,
        schema: str | None = None,
    ) -> tuple[list[Group], Mapping[str, float]]:
        """Rolled out and scored groups, and the seconds of rollouts and of scoring that went on after them.
        label: names the random streams; tell: hears how many rollouts have ended; schema: JSON Schema that
        they keep to."""
        began = time.monotonic()
        temperature = self.recipe.rollout.temperature
        generation = replace(self.job.generation, temperature=temperature, schema=schema)
        with Scoring(self.job.scorer, tasks, group_size, tell, self.job.at_once) as scoring:
            self._collect(tasks, sampler, chat, generation, label, group_size, scoring)
            middle = time.monotonic()
            groups = scoring.groups()
        return groups, {"rollout": middle - began, "score": time.monotonic() - middle}

    def answer(
        self,
        tasks: Sequence[Task],
        sampler: NativeSampler,
        chat: Chat,
        ended: Callable[[int, Rollout], None],
    ) -> None:
        """One greedy rollout of each task: what evaluation scores."""
        self._collect(tasks, sampler, chat, self.job.greedy, "greedy", 1, ended)

    def _collect(
        self,
        tasks: Sequence[Task],
        sampler: NativeSampler,
        chat: Chat,
        generation: Generation,
        label: str,
        group_size: int,
        ended: Callable[[int, Rollout], None],
    ) -> None:
        collect(
            self.job.environment,
            tasks,
            sampler,
            chat,
            generation,
            lambda task, member, turn: stream(self.recipe.seed, label, task.id, member, turn),
            group_size=group_size,
            max_turns=self.recipe.environment.max_turns,
            context=self.context,
            version=sampler.version,
            ended=ended,
        )
        sampler.forget()

    # phases

    def log_time(self, phase: str, **row: Any) -> None:
        """A row of the run's timings, with the peak of memory so far."""
        timing = {"phase": phase, **row, "peak_memory_bytes": process_peak()}
        self.run.append(self.run.timings_path, timing)

    def log_judge(self, phase: str, **row: Any) -> None:
        """A row of the judges' log: what they have cost since the last one; none when they ask no server."""
        used = self.job.judges.usage
        if used is not None:
            since, self._judged = used - self._judged, used
            self.run.append(self.run.judge_path, {"phase": phase, **row, **asdict(since)})

    def finish(self, phase: str, folder: Path, **found: Any) -> Path:
        """Remember that the phase is done, and the model folder that it led to; returns the folder."""
        inside = folder.is_relative_to(self.run.path)
        # the base model is looked up anew: its folder is no part of the run
        kept = "" if folder == self.base else folder.relative_to(self.run.path) if inside else folder
        self.run.mark(phase, {**found, "folder": str(kept)})
        return folder

    def finished(self, phase: str) -> Path | None:
        """The folder that a phase led to; None when it is not done."""
        done = self.run.marked(phase)
        if done is None:
            return None
        return self.run.path / str(done["folder"]) if done["folder"] else self.base

    def resume(self, policy: TorchPolicy, phase: str) -> int:
        """Load the phase's latest checkpoint, if any, and forget what was logged after it; returns its
        step."""
        if latest := self.run.latest(phase):
            policy.load(latest[1])
        else:
            policy.step = 0
        self.run.rewind(phase, policy.step + 1)
        return policy.step

    def last(self, phase: str) -> Path:
        """The folder of the phase's latest checkpoint, which exists."""
        latest = self.run.latest(phase)
        assert latest is not None
        return latest[1]


def _right(turns: Sequence[Message]) -> Iterator[Message]:
    """An episode without its mistakes and what was said to them."""
    said = True
    for turn in turns:
        said = turn.imitate if turn.role == "assistant" else said
        if said:
            yield turn


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


def process_peak() -> int:
    """The most bytes of memory that the process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
