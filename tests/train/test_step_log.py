"""What a step leaves in the logs."""

from __future__ import annotations

from collections.abc import Mapping

import groups

from fivestones.train.step_log import behaviour_metrics
from fivestones.types import Rollout, Score, Task


def test_behaviours_are_means_over_the_episodes_they_apply_to() -> None:
    def diagnose(task: Task, rollout: Rollout, score: Score) -> Mapping[str, float | None]:
        if score.reward is None:
            return {}
        return {"guessed": 1.0 - score.reward, "recovered": score.reward or None}

    told = behaviour_metrics([groups.group("a", [0.0, None]), groups.group("b", [0.5])], diagnose)
    assert told == {"behaviours/guessed": 0.75, "behaviours/recovered": 0.5}


def test_a_job_without_behaviours_logs_none() -> None:
    assert behaviour_metrics([groups.group("a", [1.0])], None) == {}
