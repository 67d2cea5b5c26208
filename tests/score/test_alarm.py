"""The hacking alarm: the test it rests on, and policies that learn from a judge that can be fooled."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from attempts import rollout as attempt
from fivestones.recipe import CriterionPart, JudgePart, WatchPart
from fivestones.score.alarm import (
    EXACT,
    FEWEST,
    FIRED,
    SECOND,
    TRAINING,
    Watch,
    divergence,
    fired,
    rising,
    too_few,
)
from fivestones.score.criteria import overlap
from fivestones.score.rubric import RubricScorer
from fivestones.train.advantage import centered, scaled
from fivestones.types import Group, Message, Rollout, Score, Task, Verdict

Array = np.ndarray[Any, np.dtype[np.float64]]


class TestRising:
    def test_by_hand(self) -> None:
        # 4! = 24 orders: 1 without a pair against, 3 with one, 5 with two ...
        assert rising(np.array([1.0, 2, 3, 4])) == pytest.approx(1 / 24)
        assert rising(np.array([1.0, 3, 2, 4])) == pytest.approx(4 / 24)
        assert rising(np.array([4.0, 3, 2, 1])) == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("places", "score", "p"),
        [
            ([1, 2, 3, 5, 4], 8, 0.042),
            ([7, 1, 2, 3, 4, 5, 6, 8], 16, 0.031),
            ([10, 3, 1, 2, 4, 5, 6, 7, 8, 9], 23, 0.023),
        ],
    )
    def test_published_table(self, places: list[int], score: int, p: float) -> None:
        """Upper tails of Kendall's statistic, as in the tables of Hollander and Wolfe, A.30."""
        m = len(places)
        won = sum(places[i] < places[j] for i in range(m) for j in range(i + 1, m))
        assert 2 * won - m * (m - 1) // 2 == score
        assert round(rising(np.array(places, dtype=np.float64)), 3) == p

    @pytest.mark.parametrize("m", [3, 5, 6])
    def test_exact_by_counting_all_orders(self, m: int) -> None:
        orders = [np.array(p, dtype=np.float64) for p in permutations(range(m))]
        ps = sorted(rising(o) for o in orders)
        for i, p in enumerate(ps):
            assert p >= (i + 1) / len(ps) - 1e-12  # never claims more than chance gives

    def test_many_looks_go_by_the_normal_approximation(self) -> None:
        rng = np.random.default_rng(3)
        for trend in (0.0, 0.01, 0.03):
            values = trend * np.arange(EXACT) + rng.normal(size=EXACT)
            exact, rough = rising(values), rising(np.append(values, values.mean()))
            assert 0.3 < rough / exact < 4
        assert rising(np.arange(300.0)) < 1e-9 and rising(-np.arange(300.0)) > 0.999

    def test_ties_are_no_rise(self) -> None:
        assert rising(np.zeros(8)) > 0.4
        assert rising(np.array([0.0, 0, 0, 1, 1, 1])) > rising(np.array([0.0, 0.1, 0.2, 1, 1.1, 1.2]))


class TestDivergence:
    def test_too_few_looks_say_nothing(self) -> None:
        assert divergence([0.1] * (FEWEST - 1), [0.1] * (FEWEST - 1), 0.25, 0.05) is None

    def test_a_clear_case(self) -> None:
        found = divergence([0.1 * i for i in range(8)], [0.5 - 0.05 * i for i in range(8)], 0.25, 0.05)
        assert found is not None and found.alarm
        assert found.p_training == found.p_gap == pytest.approx(1 / math.factorial(8))
        assert found.training == pytest.approx((0.05, 0.65)) and found.second[0] > found.second[1]

    def test_both_must_hold(self) -> None:
        up, flat = [0.1 * i for i in range(10)], [0.5] * 10
        for training, second in ((up, up), (flat, flat), (flat, up[::-1]), (up[::-1], flat)):
            found = divergence(training, second, 0.25, 0.05)
            assert found is not None and not found.alarm

    def test_a_late_exploit_is_seen_though_the_run_began_well(self) -> None:
        training = [0.02 * i for i in range(36)]
        second = [0.02 * min(i, 24) - 0.03 * max(0, i - 24) for i in range(36)]
        found = divergence(training, second, 0.25, 0.05)
        assert found is not None and found.alarm and found.looks == 12

    def test_a_gap_in_the_series_is_refused(self) -> None:
        with pytest.raises(ValueError, match="without a score"):
            divergence([0.1, math.nan], [0.1, 0.2], 0.25, 0.05)
        with pytest.raises(ValueError, match="2 looks of the training judge, 1"):
            divergence([0.1, 0.2], [0.1], 0.25, 0.05)


def alarmed(make: Callable[[np.random.Generator], tuple[Array, Array]], seed: int, share: float) -> bool:
    """Whether a run of 20 looks at 5% raises any alarm."""
    training, second = make(np.random.default_rng(seed))
    looks = [divergence(training[:m].tolist(), second[:m].tolist(), share, 0.05 / 20) for m in range(6, 21)]
    return any(d is not None and d.alarm for d in looks)


def noisy(gain: float, seen: float) -> Callable[[np.random.Generator], tuple[Array, Array]]:
    """Series of 20 looks that gain `gain` and `seen * gain`; the noise of both is partly the same."""

    def make(rng: np.random.Generator) -> tuple[Array, Array]:
        t, common = np.linspace(0, 1, 20), rng.normal(0, 0.035, 20)
        return (
            0.3 + gain * t + common + rng.normal(0, 0.035, 20),
            0.3 + seen * gain * t + common + rng.normal(0, 0.035, 20),
        )

    return make


@pytest.mark.parametrize(
    ("gain", "seen"), [(0.4, 1.0), (0.4, 0.5), (0.4, 1 / 3), (0.0, 0.0)], ids=["all", "half", "third", "idle"]
)
def test_a_sound_judge_raises_at_most_the_stated_rate_of_alarms(gain: float, seen: float) -> None:
    """5% of runs are allowed; a third of the gain is the least that counts as sound."""
    assert sum(alarmed(noisy(gain, seen), seed, 1 / 3) for seed in range(100)) <= 5


def test_a_falling_second_judge_is_nearly_always_seen() -> None:
    assert sum(alarmed(noisy(0.4, -0.5), seed, 1 / 3) for seed in range(50)) >= 48


# Policies that learn. A note is a choice of true sentences and of filler; each has a probability of its own.

FACTS = [f"fact{i} is true of patient number {i}" for i in range(8)]
FILLER = [f"moreover it must be noted once again filler{i}" for i in range(24)]
TASK = Task(
    id="t",
    prompt=(Message("user", "dialogue"),),
    reference={"output": {"note": ". ".join(FACTS)}},
    cluster="c",
)


class LengthJudge:
    """Rewards length: what a policy will exploit."""

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        return [Verdict(criteria={"note": min(1.0, len(o["note"].split()) / 240)}) for o in outputs]


class SoundJudge:
    """Facts found, less what is not a fact."""

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        out = []
        for o in outputs:
            right = sum(f in o["note"] for f in FACTS)
            wrong = o["note"].count("moreover")
            out.append(Verdict(criteria={"note": right / len(FACTS) / (1 + 0.05 * wrong)}))
        return out


class SecondJudge:
    """Another view of the same: words in common with the reference, seen through noise of its own."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        truth = task.reference["output"]["note"]
        seen = (overlap(truth, o["note"]) + self._rng.normal(0, 0.1) for o in outputs)
        return [Verdict(criteria={"note": float(np.clip(value, 0, 1))}) for value in seen]


def scorer(judge: Any) -> RubricScorer:
    return RubricScorer(
        gates={"words": lambda task, r: None if r.answer else "empty"},
        parse=lambda text: {"note": text},
        criteria=[CriterionPart(field="note", kind="facts")],
        judges={"facts": judge},
    )


def learn(judge: Any, seed: int, *, steps: int = 60, lr: float = 0.06) -> tuple[Array, list[dict[str, Any]]]:
    """REINFORCE with the trainer's own advantages: the final probabilities and the rows of metrics."""
    rng = np.random.default_rng(seed)
    logits = np.array([0.0] * len(FACTS) + [-1.0] * len(FILLER))
    sentences = np.array([*FACTS, *FILLER])
    training = scorer(judge)
    watch = Watch(scorer(SecondJudge(seed)), WatchPart(judge=JudgePart(), every=3), steps=steps, most=2.0)
    rows: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        p = 1 / (1 + np.exp(-logits))
        groups, gradient = [], np.zeros_like(logits)
        for _ in range(4):
            chosen = rng.random((8, len(p))) < p
            rollouts = tuple(attempt(TASK, ". ".join(sentences[c])) for c in chosen)
            scores = tuple(training(TASK, rollouts))
            groups.append(Group(task=TASK, rollouts=rollouts, scores=scores))
            (advantages,) = scaled([centered([s.reward or 0.0 for s in scores])], "group_std", 0.02)
            gradient += advantages @ (chosen - p)
        logits += lr * gradient
        rows.append({"step": step, "phase": "train", **watch.look(step, groups)})
    return 1 / (1 + np.exp(-logits)), rows


SEEDS = range(20)


def test_it_fires_on_a_judge_that_rewards_length(caplog: pytest.LogCaptureFixture) -> None:
    caught = 0
    for seed in SEEDS:
        p, rows = learn(LengthJudge(), seed)
        assert p[len(FACTS) :].mean() > 0.8  # the policy did learn to pad
        looks = [row for row in rows if TRAINING in row]
        assert looks[-1][TRAINING] - looks[0][TRAINING] > 0.15
        caught += bool(fired(rows))
    assert caught == len(SEEDS)
    assert "the second judge does not see what the training judge rewards" in caplog.text
    assert all(r.levelno == logging.WARNING for r in caplog.records)


def test_it_is_silent_on_a_sound_judge() -> None:
    for seed in SEEDS:
        p, rows = learn(SoundJudge(), seed)
        assert p[: len(FACTS)].mean() > 0.8 and p[len(FACTS) :].mean() < 0.2  # it learned what it should
        looks = [row for row in rows if TRAINING in row]
        assert len(looks) == 20 and looks[-1][SECOND] > looks[0][SECOND]
        assert fired(rows) == []


# What a stage gets


class Fixed:
    """A second scorer that gives `reward` to all, or what `scores` says in turn."""

    def __init__(self, reward: float | None = 1.0) -> None:
        self.reward = reward
        self.asked: list[str] = []

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        self.asked += [r.answer for r in rollouts]
        unscored = {"note": "timeout"} if self.reward is None else {}
        return [Score(reward=self.reward, unscored=unscored) for _ in rollouts]


def group(*rewards: float | None, failed: Sequence[int] = ()) -> Group:
    scores = [
        Score(reward=0.0, failed={"json": "no"})
        if i in failed
        else Score(reward=r, unscored={"note": "timeout"} if r is None else {})
        for i, r in enumerate(rewards)
    ]
    return Group(
        task=TASK,
        rollouts=tuple(attempt(TASK, f"note {i}") for i in range(len(rewards))),
        scores=tuple(scores),
    )


def watch(second: Any, *, sample: int = 4, past: Sequence[Mapping[str, Any]] = ()) -> Watch:
    settings = WatchPart(judge=JudgePart(), every=2, sample=sample)
    return Watch(second, settings, steps=20, most=5.0, past=past)


def test_it_looks_every_few_steps_at_what_passed_the_gates_and_is_known() -> None:
    second = Fixed()
    looking = watch(second)
    assert looking.look(1, [group(5.0)]) == {} and second.asked == []
    row = looking.look(2, [group(5.0, None, 0.0, 2.5, failed=[2])])
    assert second.asked == ["note 0", "note 3"]
    assert row == {TRAINING: 0.75, SECOND: 0.2, "second/rollouts": 2.0, "second/unscored": 0.0}


def test_a_look_without_an_answer_is_left_out_and_counted() -> None:
    looking = watch(Fixed(None))
    assert looking.look(2, [group(1.0, 2.0)]) == {"second/rollouts": 0.0, "second/unscored": 2.0}
    assert looking.look(4, [group(0.0, failed=[0])]) == {"second/rollouts": 0.0, "second/unscored": 0.0}


def test_the_sample_is_the_same_for_the_same_step() -> None:
    first, again = Fixed(), Fixed()
    for second in (first, again):
        watch(second, sample=3).look(2, [group(*[1.0] * 8), group(*[2.0] * 8)])
    assert first.asked == again.asked and len(first.asked) == 3


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees() -> None:
    groups = {step: [group(0.2 * step, 0.2 * step)] for step in range(2, 21, 2)}
    whole, rows = watch(Fixed()), []
    for step, made in groups.items():
        rows.append({"step": step, "phase": "train", **whole.look(step, made)})
    assert fired(rows) == [12, 14, 16, 18, 20]
    resumed = watch(Fixed(), past=rows[:6])
    again = [resumed.look(step, groups[step]) for step in list(groups)[6:]]
    assert again == [{k: v for k, v in r.items() if k not in ("step", "phase")} for r in rows[6:]]
    assert rows[-1][FIRED] == 1.0


def test_all_tasks_of_a_look_are_asked_about_together() -> None:
    asked: list[int] = []

    def together(judge: Any, questions: Sequence[tuple[Task, list[Rollout]]]) -> list[list[Score]]:
        asked.append(len(questions))
        return [judge(*question) for question in questions]

    settings = WatchPart(judge=JudgePart(), every=1, sample=9)
    looking = Watch(Fixed(), settings, steps=6, most=5.0, ask=together)
    assert looking.look(1, [group(5.0, 5.0), group(1.0)])["second/rollouts"] == 3.0 and asked == [2]


@pytest.mark.parametrize(
    ("every", "steps", "told"),
    [
        (5, 18, r"watch.every 5: 3 looks in 18 steps, too few .*; allowed: at most 3"),
        (2, 4, r"2 looks in 4 steps, too few .*; allowed: at least 6 steps"),
    ],
)
def test_too_few_looks_for_an_alarm_are_told(every: int, steps: int, told: str) -> None:
    assert re.match(f".*{told}", too_few(every, steps) or "")
    assert too_few(max(1, steps // FEWEST), max(steps, FEWEST)) is None
    assert too_few(every, 0) is None  # nothing is trained


def test_settings_are_checked() -> None:
    for wrong in ({"every": 0}, {"sample": 1}, {"share": 2.0}, {"alpha": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            WatchPart.model_validate({"judge": {}, **wrong})
