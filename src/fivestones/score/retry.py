"""What a judge left unscored is asked again: a time-out should not cost a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fivestones.protocols import Scorer
from fivestones.types import Rollout, Score, Task


def retrying(scorer: Scorer, waits: Sequence[float], sleep: Callable[[float], None] = time.sleep) -> Scorer:
    """A scorer that asks `scorer` again, once after each of `waits` (seconds), while something of a group is
    unscored.

    What was known stays. Each time the whole group is asked, because a scorer may compare its members.
    """

    def scored(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        scores = scorer(task, rollouts)
        for wait in waits:
            if all(s.reward is not None for s in scores):
                break
            if wait:
                sleep(wait)
            again = scorer(task, rollouts)
            scores = [new if old.reward is None else old for old, new in zip(scores, again, strict=True)]
        return scores

    return scored
