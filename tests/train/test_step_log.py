"""What a step leaves in the logs."""

from __future__ import annotations

from collections.abc import Mapping

import groups

from fivestones.train.step_log import behaviour_metrics
from fivestones.types import Rollout, Task


def test_behaviours_are_means_over_the_episodes_they_apply_to() -> None:
    found = iter([{"guessed": 1.0, "recovered": None}, {"guessed": 0.0, "recovered": 0.5}])

    def diagnose(task: Task, rollout: Rollout) -> Mapping[str, float | None]:
        return next(found)

    told = behaviour_metrics([groups.group("a", [1.0, None, 0.0])], diagnose)  # the second one is unscored
    assert told == {"behaviours/guessed": 0.5, "behaviours/recovered": 0.5}


def test_a_job_without_behaviours_logs_none() -> None:
    assert behaviour_metrics([groups.group("a", [1.0])], None) == {}
