from __future__ import annotations

from dataclasses import replace

import pytest
from groups import group

from fivestones.errors import JudgePausedError
from fivestones.train.breaker import WINDOW, Breaker
from fivestones.types import Score

GOOD: list[float | None] = [1.0] * 8
BAD: list[float | None] = [None] * 2 + [1.0] * 6


def test_a_share_up_to_the_allowed_one_passes() -> None:
    breaker = Breaker(0.25)
    for _ in range(20):
        breaker.check([group("a", BAD)])
        breaker.end_step()


def test_too_much_unscored_pauses_and_says_why() -> None:
    breaker = Breaker(0.1)
    breaker.check([group("a", GOOD)])
    breaker.check([group("a", GOOD)])
    with pytest.raises(JudgePausedError, match=r"4 of the last 32 rollouts.*12\.5%.*timeout \(4\)"):
        breaker.check([group("a", BAD), group("b", BAD)])


def test_the_window_forgets() -> None:
    breaker = Breaker(0.1)
    for rewards in ([GOOD] * WINDOW + [BAD]) * 3:  # 2 of 80 a time
        breaker.check([group("a", rewards)])
        breaker.end_step()


def test_a_resumed_breaker_pauses_where_an_uninterrupted_one_does() -> None:
    past: list[tuple[float, float]] = []
    whole = Breaker(0.1)
    for rewards in [*[GOOD] * 7, *[BAD] * 2]:  # 4 of 72
        whole.check([group("a", rewards)])
        whole.end_step()
        past.append((float(rewards.count(None)), 8.0))
    resumed = Breaker(0.1, past)
    for breaker in (whole, resumed):
        breaker.check([group("a", BAD)])  # 6 of 80
        with pytest.raises(JudgePausedError, match="9 of the last 88 rollouts"):
            breaker.check([group("b", [None] * 3 + [1.0] * 5)])
    with pytest.raises(JudgePausedError):  # the step alone
        Breaker(0.1).check([group("a", BAD)])


def test_only_the_last_steps_of_the_log_count() -> None:
    Breaker(0.09, [(8.0, 8.0), *[(0.0, 8.0)] * (WINDOW - 1)]).check([group("a", GOOD)])
    with pytest.raises(JudgePausedError, match="earlier steps"):
        Breaker(0.09, [(8.0, 8.0), *[(0.0, 8.0)] * (WINDOW - 2)]).check([group("a", GOOD)])


def test_what_failed_a_gate_asked_no_judge() -> None:
    """A judge that answers nothing is an outage, however few notes come to it."""
    failed = Score(reward=0.0, failed={"json": "no"})
    most = group("a", [None, None, *[0.0] * 30])
    mostly = replace(most, scores=(*most.scores[:2], *[failed] * 30))
    with pytest.raises(JudgePausedError, match="2 of the last 2 rollouts that passed the gates"):
        Breaker(0.1).check([mostly])


def test_nothing_is_fine() -> None:
    Breaker(0.0).check([])


def test_a_lone_abstention_is_no_outage() -> None:
    breaker = Breaker(0.02)
    breaker.check([group("a", [None] + [1.0] * 7)])
    with pytest.raises(JudgePausedError):
        breaker.check([group("b", [None] + [1.0] * 7)])
