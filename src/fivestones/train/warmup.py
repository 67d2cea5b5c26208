"""Warm-up: enough success for reinforcement to have something to reinforce.

`references` imitates a few reference outputs; `self` needs none: the model samples, with examples in its
prompt where there are any, and its winners are imitated without them, until the gate rate of the plain prompt
passes the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fivestones.train.policy import TorchPolicy
from fivestones.train.schedule import stream
from fivestones.types import Group, Message, Rollout, Sample, Task

AfterStep = Callable[[int, int, Mapping[str, float]], None]
"""(steps done, total steps, metrics)."""


def demonstration(
    task_id: str,
    prompt_ids: tuple[int, ...],
    answer_ids: tuple[int, ...],
    loss_mask: tuple[bool, ...] | None = None,
) -> Sample:
    """An answer to imitate: prompt_ids [P], answer_ids [C]; of it only what `loss_mask` [C] marks."""
    mask = (True,) * len(answer_ids) if loss_mask is None else loss_mask
    return Sample(
        task_id=task_id,
        prompt_ids=prompt_ids,
        completion_ids=answer_ids,
        loss_mask=mask,
        logprobs=(0.0,) * len(answer_ids),
        advantages=tuple(float(m) for m in mask),
    )


def imitation_batches(samples: Sequence[Sample], passes: int, batch: int, seed: int) -> list[list[Sample]]:
    """Shuffled batches of each pass; a pure function, so that resume needs only the number of steps done."""
    batches = []
    for p in range(passes):
        order = np.random.default_rng(stream(seed, "imitation", p)).permutation(len(samples))
        batches += [[samples[i] for i in order[k : k + batch]] for k in range(0, len(order), batch)]
    return batches


def imitate(
    policy: TorchPolicy, batches: Sequence[Sequence[Sample]], lr: float, after_step: AfterStep
) -> None:
    """From `policy.step` on; constant rate after three steps of linear warm-up, linear decay over the last
    third."""
    total = len(batches)
    for step in range(policy.step, total):
        rate = lr * min(1.0, (step + 1) / 3, 3 * (total - step) / total)
        metrics = policy.imitate(batches[step], rate)
        policy.step += 1
        after_step(policy.step, total, metrics)


def with_examples(prompt: Sequence[Message], examples: Sequence[Sequence[Message]]) -> tuple[Message, ...]:
    """The prompt with solved examples as earlier turns: a user's and those that followed it."""
    *head, last = prompt
    return (*head, *(turn for example in examples for turn in example), last)


def winners(groups: Sequence[Group]) -> list[tuple[Task, Rollout]]:
    """The best passing rollout of each group that has one; of equal ones the first."""
    best = []
    for group in groups:
        passing = [
            (s.reward, r)
            for r, s in zip(group.rollouts, group.scores, strict=True)
            if s.reward is not None and s.reward > 0 and not s.failed
        ]
        if passing:
            best.append((group.task, max(passing, key=lambda pair: pair[0])[1]))
    return best
