"""Warm-up, and the contestant that only imitates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fivestones.runlog import read_jsonl
from fivestones.stages.interrupt import WholeSteps
from fivestones.stages.shared import Shared
from fivestones.train.breaker import Breaker
from fivestones.train.policy import TorchPolicy
from fivestones.train.schedule import stream, tasks_at
from fivestones.train.step_log import gate_rate
from fivestones.train.warmup import demonstration, imitate, imitation_batches, winners, with_examples
from fivestones.types import Group, Task

Rolled = tuple[list[Group], Mapping[str, float]]
PROBE_TASKS = 16  # tasks by which the gate rate is measured
ENOUGH = 0.1  # gate rate from which a model learns by itself


def run_warmup(shared: Shared) -> Path:
    """Returns the folder of the warm start: a checkpoint, or the base model when none was needed."""
    part = shared.recipe.warmup
    if done := shared.finished("warmup"):
        return done
    kind: str = part.kind
    policy = shared.policy(shared.base)
    if kind == "auto":
        kind = _needed(shared, policy)
    folder = shared.base
    if kind == "references":
        folder = _imitated(shared, policy, "warmup", part.passes)
    elif kind == "self":
        folder = _self_taught(shared, policy)
    return shared.finish("warmup", folder, kind=kind)


def run_imitation(shared: Shared, warm: Path) -> Path:
    """The contestant that goes on imitating the same references from the same warm start."""
    if done := shared.finished("imitation"):
        return done
    folder = _imitated(shared, shared.policy(warm), "imitation", shared.recipe.evaluate.imitation_passes)
    return shared.finish("imitation", folder)


def _needed(shared: Shared, policy: TorchPolicy) -> str:
    """`none` when the base model passes the gate often enough to learn from its own attempts."""
    chat, tasks = shared.chat(policy.model), shared.train_tasks
    sampler = shared.sampler(policy.model, shared.recipe.rollout.slots, chat)
    groups, _ = shared.rollouts(tasks[:PROBE_TASKS], sampler, chat, "gate-rate", 2)
    rate = gate_rate(groups)
    kind = "none" if rate >= ENOUGH else "references" if shared.references(tasks) else "self"
    shared.progress(1, 1, f"gate rate of the base model: {rate:.0%}, warm-up: {kind}")
    return kind


def _imitated(shared: Shared, policy: TorchPolicy, phase: str, passes: int) -> Path:
    run, recipe, part = shared.run, shared.recipe, shared.recipe.warmup
    samples = shared.demonstrations(shared.chat(policy.model), shared.references(shared.train_tasks))
    batches = imitation_batches(samples, passes, part.batch, stream(recipe.seed, phase))
    shared.resume(policy, phase)
    clock = time.monotonic()

    def save() -> None:
        if policy.step:
            run.save_checkpoint(phase, policy.step, policy.save)

    whole = WholeSteps(save)

    def after(step: int, total: int, metrics: Mapping[str, float]) -> None:
        nonlocal clock
        run.append(run.metrics_path, {"step": step, "phase": phase, **metrics})
        shared.log_time(phase, step=step, update=time.monotonic() - clock)
        if step % recipe.train.checkpoint_every == 0 or step == total:
            save()
        clock = time.monotonic()
        shared.progress(step, total, f"{phase}: loss {metrics['loss']:.3f}")
        whole.pause()

    shared.progress(policy.step, len(batches), phase)
    with whole:
        imitate(policy, batches, part.lr, after)
    return shared.last(phase)


def _self_taught(shared: Shared, policy: TorchPolicy) -> Path:
    """Rounds of best-of-n from prompts with examples, where there are any and they fit, within the output's
    JSON Schema; the winners are imitated without either."""
    run, recipe, part = shared.run, shared.recipe, shared.recipe.warmup
    chat, tasks = shared.chat(policy.model), shared.train_tasks
    examples = shared.examples(tasks) if shared.references(tasks) else []
    sampler = shared.sampler(policy.model, recipe.rollout.slots, chat)
    first = shared.resume(policy, "warmup")
    logged = [r for r in read_jsonl(run.metrics_path) if r["phase"] == "warmup"]
    if logged and logged[-1]["gate_rate"] >= part.target:  # killed after its last round
        return shared.last("warmup")

    def scaffolded(task: Task) -> Task:
        shown = with_examples(task.prompt, examples)
        return replace(task, prompt=shown) if shared.prompt_tokens(shown) <= shared.room else task

    whole = WholeSteps(lambda: None)  # the last round is saved
    breaker = Breaker(recipe.train.max_unscored)

    def rolled(batch: Sequence[Task], label: str, size: int, schema: str | None = None) -> Rolled:
        def tell(ended: int) -> None:
            of = f"{ended} of {len(batch) * size} rollouts"
            shared.progress(round_, part.passes, f"self warm-up: round {round_ + 1}, {label}, {of}")

        with whole.between():
            groups, seconds = shared.rollouts(
                batch, sampler, chat, f"{label}-{round_}", size, tell, schema=schema
            )
            breaker.check(groups)
        return groups, seconds

    for round_ in range(first, part.passes):
        with whole:
            batch = tasks_at(tasks, max(part.references, PROBE_TASKS), recipe.seed, round_, 0)
            groups, seconds = rolled(
                [scaffolded(t) for t in batch], "self", recipe.rollout.group_size, shared.decoding_schema
            )
            best = winners(groups)
            plain = {t.id: chat.prompt_ids(t.prompt) for t in batch}
            samples = [demonstration(t.id, plain[t.id], r.completion_ids, r.loss_mask) for t, r in best]
            losses: list[float] = []
            for chunk in imitation_batches(samples, 1, part.batch, stream(recipe.seed, round_)):
                losses.append(policy.imitate(chunk, part.lr)["loss"])
            probe, _ = rolled(batch[:PROBE_TASKS], "self-probe", 2)
            rate = gate_rate(probe)
            policy.step = round_ + 1
            row = {
                "gate_rate": rate,
                "winners": len(best),
                "scaffold_gate_rate": gate_rate(groups),
                **({"loss": losses[-1]} if losses else {}),  # without winners nothing was imitated
            }
            run.append(run.metrics_path, {"step": round_ + 1, "phase": "warmup", **row})
            shared.log_time("warmup", step=round_ + 1, **seconds)
            run.save_checkpoint("warmup", round_ + 1, policy.save)
        breaker.end_step()
        shared.progress(round_ + 1, part.passes, f"self warm-up: gate rate {rate:.0%}")
        if rate >= part.target:
            break
    return shared.last("warmup")
