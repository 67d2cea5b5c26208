"""GRPO on one machine: `train.grpo` with this run's rollouts, logs and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivestones.data.threads import in_order
from fivestones.errors import JudgePausedError
from fivestones.runlog import read_jsonl
from fivestones.score.alarm import Watch
from fivestones.stages.interrupt import WholeSteps
from fivestones.stages.shared import Shared
from fivestones.train.breaker import Breaker
from fivestones.train.grpo import train
from fivestones.train.schedule import opened, tasks_at
from fivestones.train.step_log import behaviour_metrics, group_metrics, rollout_rows
from fivestones.types import Group, Task


def run_grpo(shared: Shared, warm: Path) -> Path:
    """The trained model's folder; `warm` itself when the recipe has no steps."""
    run, recipe = shared.run, shared.recipe
    if done := shared.finished("train"):
        return done
    policy = shared.policy(warm)
    if recipe.train.kl > 0:
        policy.keep_reference()
    chat = shared.chat(policy.model)
    sampler = shared.sampler(policy.model, recipe.rollout.slots, chat)
    finqa = recipe.environment.finqa
    levels = finqa.levels if finqa and finqa.curriculum else None

    def next_tasks(step: int, extra: int) -> Sequence[Task]:
        tasks = shared.train_tasks
        if levels:
            tasks = opened(tasks, levels, step, recipe.train.steps)
        return tasks_at(tasks, recipe.train.tasks_per_step, recipe.seed, step, extra)

    shared.resume(policy, "train")
    logged = [r for r in read_jsonl(run.metrics_path) if r["phase"] == "train"]
    judged = [(r["unscored"], round(r["rollouts"] * r["gate_rate"])) for r in logged]
    breaker = Breaker(recipe.train.max_unscored, judged)
    watch = _watch(shared, logged)
    points = shared.job.points if recipe.train.scale == "gdpo" else None
    seconds: dict[str, float] = {}
    clock = time.monotonic()

    def save() -> None:
        if policy.step:
            run.save_checkpoint("train", policy.step, policy.save, recipe.train.keep_checkpoints)

    whole = WholeSteps(save)

    def roll(batch: Sequence[Task], step: int) -> list[Group]:
        count = len(batch) * recipe.rollout.group_size

        def tell(ended: int) -> None:
            shared.progress(step, recipe.train.steps, f"train: step {step + 1}, {ended} of {count} rollouts")

        with whole.between():
            size = recipe.rollout.group_size
            try:
                groups, spent = shared.rollouts(batch, sampler, chat, f"step-{step}", size, tell)
                breaker.check(groups)
            except JudgePausedError:
                shared.log_judge("train", step=step + 1)  # what the outage cost counts too
                raise
        for part, s in spent.items():
            seconds[part] = seconds.get(part, 0.0) + s
        return groups

    def look(step: int, groups: Sequence[Group]) -> Mapping[str, float]:
        began = time.monotonic()
        with whole.between():
            seen = watch.look(step + 1, groups) if watch else {}
        if seen:
            seconds["watch"] = time.monotonic() - began
        return seen

    def after(step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> None:
        nonlocal clock
        told = group_metrics(groups, recipe.train.min_contrast, points)
        did = behaviour_metrics(groups, shared.job.diagnose)
        row = {"step": step + 1, "phase": "train", **told, **did}
        run.append(run.metrics_path, {**row, **metrics})
        if recipe.train.log_rollouts:
            run.save_rollouts(step + 1, rollout_rows(groups))
        spent = {**seconds, "update": time.monotonic() - clock - sum(seconds.values())}
        shared.log_time("train", step=step + 1, **spent)
        shared.log_judge("train", step=step + 1)
        if (step + 1) % recipe.train.checkpoint_every == 0 or step + 1 == recipe.train.steps:
            save()
        breaker.end_step()
        seconds.clear()
        clock = time.monotonic()
        reward = f"{told['reward_mean']:.2f}" if "reward_mean" in told else "unknown"
        shared.progress(step + 1, recipe.train.steps, f"train: reward {reward}")

    shared.progress(policy.step, recipe.train.steps, "train")
    with whole:
        train(
            recipe.train,
            next_tasks,
            roll,
            policy,
            sampler,
            shared.most_tokens,
            after,
            points,
            look,
        )
    return shared.finish("train", shared.last("train") if recipe.train.steps else warm)


def _watch(shared: Shared, logged: Sequence[Mapping[str, Any]]) -> Watch | None:
    """The second judge, with the looks that are in the log and were at the present judge's scores."""
    part, second = shared.recipe.watch, shared.job.second_scorer
    if part is None or second is None:
        return None
    at_once = shared.job.judges.at_once(part.judge)
    return Watch(
        second,
        part,
        steps=shared.recipe.train.steps,
        most=shared.job.max_reward,
        past=[row for row in logged if row["step"] >= shared.run.judged_from],
        seed=shared.recipe.seed,
        ask=lambda judge, questions: in_order(judge, questions, at_once),
    )
