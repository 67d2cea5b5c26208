from __future__ import annotations

import pytest
from groups import group

from fivestones.errors import JudgePausedError
from fivestones.train.breaker import WINDOW, Breaker

GOOD, BAD = [1.0] * 8, [None] * 2 + [1.0] * 6


def test_a_share_up_to_the_allowed_one_passes() -> None:
    breaker = Breaker(0.25)
    for _ in range(20):
        breaker.check([group("a", BAD)])


def test_too_much_unscored_pauses_and_says_why() -> None:
    breaker = Breaker(0.1)
    breaker.check([group("a", GOOD)])
    breaker.check([group("a", GOOD)])
    with pytest.raises(JudgePausedError, match=r"4 of the last 32 rollouts.*12\.5%.*timeout \(4\)"):
        breaker.check([group("a", BAD), group("b", BAD)])


def test_the_window_forgets() -> None:
    breaker = Breaker(0.1)
    for _ in range(WINDOW):
        breaker.check([group("a", GOOD)])
    for _ in range(3):  # 2 of 80 a time
        breaker.check([group("a", BAD)])
        for _ in range(WINDOW):
            breaker.check([group("a", GOOD)])


def test_nothing_is_fine() -> None:
    Breaker(0.0).check([])


def test_a_lone_abstention_is_no_outage() -> None:
    breaker = Breaker(0.02)
    breaker.check([group("a", [None] + [1.0] * 7)])
    with pytest.raises(JudgePausedError):
        breaker.check([group("b", [None] + [1.0] * 7)])
