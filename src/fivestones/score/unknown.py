"""Rollouts of which nothing is known, because their environment failed: unscored, never zero."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.protocols import Scorer
from fivestones.types import Rollout, Score, Task


class Known:
    """Asks a scorer about those rollouts only that came to an end of their own."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        known = [r for r in rollouts if r.finish != "error"]
        scores = iter(self.scorer(task, known) if known else ())
        lost = Score(reward=None, unscored={"environment": "it failed, or its reply did not fit the chat"})
        return [lost if r.finish == "error" else next(scores) for r in rollouts]
