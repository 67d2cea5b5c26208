"""GRPO, on one page. What differs from the paper (arXiv 2402.03300):

1. advantages are scaled by the step's standard deviation with a floor, not by each group's;
2. the loss is a token sum divided by a constant, so that long answers are not favoured (Dr. GRPO);
3. one on-policy update a step, ratios anchored to the sampler's own log-probs, no KL unless asked for;
4. an unknown reward leaves the update, and a group without contrast is replaced by a new task;
5. where asked for (`negative_weight`), what failed weighs less than what succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fivestones.protocols import Policy, Sampler
from fivestones.recipe import TrainPart
from fivestones.train.gdpo import Points
from fivestones.train.samples import contrast, to_samples
from fivestones.types import Group, Task

TasksAt = Callable[[int, int], Sequence[Task]]
"""(step, round) -> tasks; round 0 walks through the data, later rounds refill."""
Collect = Callable[[Sequence[Task], int], list[Group]]
"""(tasks, step) -> rolled out and scored groups."""
Look = Callable[[int, Sequence[Group]], Mapping[str, float]]
"""(step, groups) -> further metrics of the step."""


def train(
    part: TrainPart,
    tasks_at: TasksAt,
    collect: Collect,
    policy: Policy,
    sampler: Sampler,
    max_tokens: int,
    after_step: Callable[[int, Sequence[Group], Mapping[str, float]], None],
    points: Points | None = None,
    look: Look = lambda step, groups: {},
) -> None:
    """From `policy.step` to `part.steps`. max_tokens: the most that a rollout can sample; after_step: (step,
    groups, metrics of the update and of `look`); points: of the rubric, for scale `gdpo`; look: comes before
    the update, so that a step in which it is broken off is done again as a whole."""
    for step in range(policy.step, part.steps):
        sampler.sync(policy.weights(), version=step)  # on-policy: roll out with the weights we update
        groups = collect(tasks_at(step, 0), step)
        for extra in range(part.refill):
            missing = part.tasks_per_step - sum(contrast(g, points) > part.min_contrast for g in groups)
            if missing > 0:
                groups += collect(tasks_at(step, extra + 1)[:missing], step)
        samples = to_samples(groups, part, max_tokens, points)
        seen = look(step, groups)
        after_step(step, groups, {**policy.update(samples), **seen})
