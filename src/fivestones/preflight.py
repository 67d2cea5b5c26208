"""Before any long work: do all prompts fit the model, and what does the longest sample cost on this
machine?"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fivestones.build import Job
from fivestones.build_data import check_teacher, load_data, sample_data
from fivestones.errors import DataError, UsageError
from fivestones.machine import available_memory, process_memory
from fivestones.models.load import device_of
from fivestones.protocols import Progress
from fivestones.recipe import Recipe
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.runlog import RunDir
from fivestones.score.alarm import too_few
from fivestones.stages import Stages
from fivestones.stages.shared import no_demonstrations, process_peak
from fivestones.train.pack import pack
from fivestones.train.policy import TorchPolicy
from fivestones.train.warmup import demonstration, with_examples
from fivestones.types import Completion, Sample, Task

log = logging.getLogger(__name__)
SAMPLED = 24  # rows of each split that stand for data that is not made yet
TRIED_PROMPTS = 16_384  # prompt tokens that a trial computes on a CPU
TRIED_TOKENS = 4_096  # tokens that it decodes there


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    train: int
    left_out: int  # train tasks whose prompt is too long
    tested: int
    longest: int  # tokens, of the prompts that are used
    room: int  # tokens of an answer
    context: int  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The longest prompts through rollout and update, measured."""

    prompt: int  # tokens of the longest
    prompts: int  # computed in the prefill, of that many tokens in all:
    prompt_tokens: int
    sequences: int  # decoded at once
    new_tokens: int  # of all sequences
    prefill_seconds: float
    decode_seconds: float
    update_tokens: int  # of one packed row
    update_prompts: int
    update_seconds: float
    device: str  # `cpu` or `cuda`
    memory: int  # bytes at the peak: of the process, or of the GPU; what was not decoded is added


def check_prompts(stages: Stages) -> Prompts:
    """Raises DataError when a test prompt and its answer do not fit the context (a train task is only left
    out), or when no train task fits; UsageError when a contestant or a judge lacks what it needs. Warns of a
    second judge that comes too seldom."""
    part, watch = stages.recipe.evaluate, stages.recipe.watch
    stages.job.check_judges()
    if watch:
        _ = stages.job.second_scorer
        begun = (stages.run.path / "recipe.yaml").is_file()  # then it was told before
        if not begun and (told := too_few(watch.every, stages.recipe.train.steps)):
            log.warning(told)
    if stages.job.tools:
        _can_use_tools(stages)
    if stages.recipe.train.scale == "gdpo":
        _ = stages.job.points
    used, tasks = stages.train_tasks, stages.job.tasks("train")
    longest = max(stages.prompt_tokens(t.prompt) for t in used)
    if stages.recipe.warmup.kind == "references" or "imitation" in part.contestants:
        _can_imitate(stages)
    if stages.recipe.warmup.kind in ("self", "auto"):
        _ = stages.decoding_schema  # raises for one that cannot be followed
    shown = stages.examples(used) if "base_examples" in part.contestants else []
    for dataset in stages.datasets:
        for examples in ([], shown) if shown else ([],):
            prompts = [with_examples(t.prompt, examples) for t in dataset.tasks]
            label = f"{dataset.name} with examples" if examples else dataset.name
            lengths = stages.lengths(prompts, label)
            longest = max([longest, *lengths])
            _must_fit(stages, dataset.name, dataset.tasks, lengths, len(examples))
    tested = sum(len(d.tasks) for d in stages.datasets)
    return Prompts(
        train=len(used),
        left_out=len(tasks) - len(used),
        tested=tested,
        longest=longest,
        room=stages.recipe.generation.max_tokens,
        context=stages.context,
    )


def _can_use_tools(stages: Stages) -> None:
    """Raises UsageError when no turn follows a tool's reply, ModelError when the template cannot say it."""
    part = stages.recipe.environment
    if part.max_turns == 1:
        raise UsageError(
            f"environment.max_turns is 1, which leaves environment `{part.kind}` no turn after a tool's "
            "reply; allowed: 2 and more, such as 20"
        )
    stages.chat_of_prompts.check_tools(stages.train_tasks[0].prompt)


def _can_imitate(stages: Stages) -> None:
    limit = stages.recipe.generation.max_tokens
    said = [stages.turn_tokens(task) for task in stages.references(stages.train_tasks)]
    turns, most = stages.recipe.environment.max_turns, max(map(len, said), default=0)
    if most > turns:
        raise UsageError(
            f"environment.max_turns: got {turns}, and a demonstration has {most} turns; allowed: {most} and "
            "more"
        )
    if all(max(tokens) > limit for tokens in said):
        raise DataError(no_demonstrations(len(said), limit))


def _must_fit(
    stages: Stages, dataset: str, tasks: Sequence[Task], lengths: Sequence[int], examples: int
) -> None:
    long = [(task.id, n) for task, n in zip(tasks, lengths, strict=True) if n > stages.room]
    if not long:
        return
    first, tokens = long[0]
    beside = f" with {examples} examples in the prompt (evaluate.examples)" if examples else ""
    advice = (
        "lower evaluate.examples or leave out the contestant base_examples" if examples else "shorten the row"
    )
    raise DataError(
        f"{dataset}: {len(long)} of {len(tasks)} prompts are too long{beside}; the first is row `{first}` "
        f"with {tokens} tokens; allowed: {stages.room} (the context of {stages.context} less "
        f"generation.max_tokens); {advice}"
    )


def stages_for(recipe: Recipe, run: Path | None = None, progress: Progress | None = None) -> Stages:
    """Stages that write nothing. run: take the data that is there; else rows like those to come are made."""
    made = run is not None and (run / "data" / "test.parquet").is_file()
    if not made:
        check_teacher(recipe)
    data = load_data(recipe, run / "data") if run and made else sample_data(recipe, SAMPLED)
    return Stages(Job(recipe, data), RunDir(run or Path("-")), progress or (lambda done, total, text: None))


def free_memory(recipe: Recipe) -> int | None:
    """Bytes that the trial can have: of the GPU, or of the machine beside what this process holds already."""
    device = device_of(recipe.model)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_reserved(device)
    free = available_memory()
    return None if free is None else free + process_memory()


def trial(stages: Stages, cache_entry: int = 0) -> Trial:
    """As many rollouts of the longest train prompts as are decoded at once, none of which ends early; then
    one update on a packed row of them, as full as the token budget lets it be.

    On a CPU fewer prompts and tokens, so that it ends in minutes: rates hold for more of them, and of memory
    the missing keys and values are added. cache_entry: their bytes a token.
    """
    recipe, generation = stages.recipe, stages.job.generation
    policy = stages.policy(stages.base)
    chat = stages.chat(policy.model)
    ids = sorted((chat.prompt_ids(t.prompt) for t in stages.train_tasks), key=len, reverse=True)
    size = recipe.rollout.group_size
    wanted = min(len(ids), recipe.train.tasks_per_step, max(1, recipe.rollout.slots // size))
    groups, new = wanted, generation.max_tokens
    if policy.device.type == "cpu":
        groups = max(1, min(wanted, TRIED_PROMPTS // len(ids[0])))
        new = max(1, min(new, TRIED_TOKENS // (groups * size)))
    prompts = [prompt for prompt in ids[:groups] for _ in range(size)]
    # no token ends an answer
    sampler = NativeSampler(
        policy.model, stages.tokenizer, (), slots=recipe.rollout.slots, context=stages.context
    )

    def rolled(tokens: int) -> tuple[list[Completion], float]:
        asked = replace(generation, max_tokens=tokens, stop=(), temperature=recipe.rollout.temperature)
        began = time.perf_counter()
        done = sampler.generate(prompts, asked, range(len(prompts)))
        return done, time.perf_counter() - began

    rolled(1)  # the first call of anything is slow
    _, prefill = rolled(1)
    done, rollout = rolled(new)
    missing = (wanted - groups) * len(ids[0]) + (wanted * generation.max_tokens - groups * new) * size
    held = _peak() + missing * cache_entry
    whole = [(c.token_ids * generation.max_tokens)[: generation.max_tokens] for c in done]
    samples = [demonstration("trial", p, answer) for p, answer in zip(prompts, whole, strict=True)]
    row = _one_row(samples, recipe.train.token_budget)
    # by imitation, which costs the same: ratios of answers that were cut or repeated would only alarm
    policy.imitate([demonstration("trial", row[0].prompt_ids, row[0].completion_ids[:1])], 0.0)
    update = min(_imitated(policy, row) for _ in range(2))  # the first of a size gets its memory page by page
    return Trial(
        prompt=len(ids[0]),
        prompts=groups,
        prompt_tokens=sum(map(len, ids[:groups])),
        sequences=min(len(prompts), recipe.rollout.slots),
        new_tokens=len(prompts) * new,
        prefill_seconds=prefill,
        decode_seconds=max(rollout - prefill, 1e-9),
        update_tokens=sum(r.tokens for r in pack(row, recipe.train.token_budget)),
        update_prompts=len({s.prompt_ids for s in row}),
        update_seconds=update,
        device=policy.device.type,
        memory=max(held, _peak()),
    )


def _imitated(policy: TorchPolicy, row: Sequence[Sample]) -> float:
    """Seconds."""
    began = time.perf_counter()
    policy.imitate(row, 0.0)
    return time.perf_counter() - began


def _one_row(samples: Sequence[Sample], token_budget: int) -> list[Sample]:
    """The first samples, as many as one packed row holds; at least one."""
    row: list[Sample] = []
    tokens = 0
    for sample in samples:
        shared = bool(row) and row[-1].prompt_ids == sample.prompt_ids
        tokens += len(sample.completion_ids) + (0 if shared else len(sample.prompt_ids))
        if row and tokens > token_budget:
            break
        row.append(sample)
    return row


def _peak() -> int:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    return process_peak()
