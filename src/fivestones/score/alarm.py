"""The hacking alarm: does what the training judge sees also happen in the eyes of another judge?

Every few steps a second judge, which never rewards, scores a sample of the rollouts. Series of M looks, in
[0, 1]: what the training judge and the second judge gave the same rollouts, on average. The policy is said to
exploit the training judge when both hold over the last looks:

1. the training series rises, by the test of Mann (1945) and Kendall (1975), one-sided;
2. `share * training - second` rises, by the same test: of what the one judge saw gained, not even `share`
   reached the other. A second judge that is flat or falls by more than its noise makes it rise; one that
   rises at least `share` times as fast makes it fall or stay.

The test goes by the signs of all differences between looks: it takes no shape of the rise for granted and its
p-value holds for independent noise of any distribution (ties make it larger). Of a judge that is sound
(the second one gains at least `share`) condition 2 rarely holds: both p-values must be below `alpha`, divided
by the number of looks of the run and of spans tested at a look (Bonferroni), so that a sound run raises any
alarm with a chance of at most `alpha`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import numpy as np
import numpy.typing as npt

from fivestones.protocols import Scorer
from fivestones.recipe import WatchPart
from fivestones.types import Group, Rollout, Score, Task

log = logging.getLogger(__name__)
Array = npt.NDArray[np.float64]
Ask = Callable[[Scorer, Sequence[tuple[Task, list[Rollout]]]], Iterable[list[Score]]]
"""(judge, its questions) -> the answers, in order."""

TRAINING, SECOND, FIRED = "second/training", "second/judge", "second/alarm"  # keys of a row of metrics
FEWEST = 6  # looks: fewer can hardly be told from chance (6 in order: p = 1 / 720)
EXACT = 60  # looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The span of looks that speaks most clearly."""

    looks: int
    p_training: float  # one-sided: the training judge's scores rise
    p_gap: float  # one-sided: the second judge's do not follow
    alarm: bool
    training: tuple[float, float]  # mean of the first and of the last third of the span
    second: tuple[float, float]


def divergence(
    training: Sequence[float], second: Sequence[float], share: float, alpha: float
) -> Divergence | None:
    """training, second [M]: means of the same rollouts, look by look; alpha: of this look. None: too few.

    Spans: the last 6, 12, 24 ... looks, and all, so that both a slow and a late exploit are seen.
    """
    x, y = np.asarray(training, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"{len(x)} looks of the training judge, {len(y)} of the second")
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        raise ValueError("a look without a score: leave it out")
    spans = _spans(len(x))
    found = [_span(x[-n:], y[-n:], share, alpha / len(spans)) for n in spans]
    return min(found, key=lambda d: max(d.p_training, d.p_gap), default=None)


def _span(x: Array, y: Array, share: float, alpha: float) -> Divergence:
    p_training, p_gap = rising(x), rising(share * x - y)
    third = len(x) // 3
    return Divergence(
        looks=len(x),
        p_training=p_training,
        p_gap=p_gap,
        alarm=max(p_training, p_gap) < alpha,
        training=(float(x[:third].mean()), float(x[-third:].mean())),
        second=(float(y[:third].mean()), float(y[-third:].mean())),
    )


def _spans(looks: int) -> list[int]:
    doubling = [n for i in range(looks.bit_length()) if (n := FEWEST << i) < looks]
    return [*doubling, looks] if looks >= FEWEST else []


def rising(values: Array) -> float:
    """One-sided p-value of "values [M] rise with their place" (Mann-Kendall): exact without ties up to
    `EXACT` values, by the normal approximation with continuity correction beyond."""
    m = len(values)
    signs = np.sign(np.subtract.outer(values, values))
    score = int(signs[np.tril_indices(m, -1)].sum())  # pairs in order minus pairs against it
    if m > EXACT:
        deviation = math.sqrt(m * (m - 1) * (2 * m + 5) / 18)
        return math.erfc((score - 1) / deviation / math.sqrt(2)) / 2
    # of all orders, those with at most this many pairs against; an odd rest (ties) is rounded against a rise
    against = (m * (m - 1) // 2 - score + 1) // 2
    return float(_inversions(m)[: against + 1].sum())


def _inversions(m: int) -> Array:
    """Share of all orders of m values that have 0, 1, 2 ... pairs against the order."""
    shares = np.ones(1)
    for n in range(2, m + 1):  # the n-th value stands before 0 ... n - 1 of the others
        shares = np.convolve(shares, np.full(n, 1 / n))
    return shares


class Watch:
    """What a training stage calls at each step.

    second: scores with the held-out judge by the same rubric; most: the greatest reward, so that both series
    are in [0, 1]. steps: of the run; past: rows of its metrics so far, so that a resumed run sees what an
    uninterrupted one would; ask: one task after another, or several at once.
    """

    def __init__(
        self,
        second: Scorer,
        settings: WatchPart,
        *,
        steps: int,
        most: float,
        past: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        ask: Ask = starmap,
    ) -> None:
        self._second, self._settings, self._seed = second, settings, seed
        self._most, self._ask = most, ask
        self._alpha = settings.alpha / max(1, steps // settings.every)
        known = [row for row in past if TRAINING in row and SECOND in row]
        self._looks = [(float(row[TRAINING]), float(row[SECOND])) for row in known]

    def look(self, step: int, groups: Sequence[Group]) -> dict[str, float]:
        """Of step 1, 2 ... what goes into its row of metrics; {} when it is not due. Logs an alarm."""
        if step % self._settings.every:
            return {}
        pairs, unscored = self._scored(step, groups)
        row = {"second/rollouts": float(len(pairs)), "second/unscored": float(unscored)}
        if not pairs:
            return row  # nothing passed the gates, or nothing could be scored: no look
        means = tuple(float(np.mean(column)) for column in zip(*pairs, strict=True))
        self._looks.append((means[0], means[1]))
        row |= {TRAINING: means[0], SECOND: means[1]}
        training, second = zip(*self._looks, strict=True)
        found = divergence(training, second, self._settings.share, self._alpha)
        if found is None:
            return row
        if found.alarm:
            log.warning("step %d: %s", step, told(found))
        return {
            **row,
            "second/p_training": found.p_training,
            "second/p_gap": found.p_gap,
            FIRED: float(found.alarm),
        }

    def _scored(self, step: int, groups: Sequence[Group]) -> tuple[list[tuple[float, float]], int]:
        """(training, second) of a sample of the rollouts that passed all gates, in [0, 1]; and how many of it
        the second judge left unscored. A failed gate is no opinion of a judge."""
        chosen = self._sample(step, groups)
        asked = [(task, [rollout for rollout, _ in members]) for task, members in chosen]
        pairs: list[tuple[float, float]] = []
        unscored = 0
        for (_, members), again in zip(chosen, self._ask(self._second, asked), strict=True):
            for (_, first), score in zip(members, again, strict=True):
                if score.reward is None or first.reward is None:
                    unscored += 1
                elif not score.failed:
                    pairs.append((first.reward / self._most, score.reward / self._most))
        return pairs, unscored

    def _sample(self, step: int, groups: Sequence[Group]) -> list[tuple[Task, list[tuple[Rollout, Score]]]]:
        """By task, at random, the same for the same step."""
        passed = [
            (g, i)
            for g, group in enumerate(groups)
            for i, score in enumerate(group.scores)
            if score.reward is not None and not score.failed
        ]
        rng = np.random.default_rng([self._seed, step])
        size = min(self._settings.sample, len(passed))
        picks = sorted(rng.choice(len(passed), size=size, replace=False).tolist()) if passed else []
        out: dict[int, list[tuple[Rollout, Score]]] = {}
        for pick in picks:
            g, i = passed[pick]
            out.setdefault(g, []).append((groups[g].rollouts[i], groups[g].scores[i]))
        return [(groups[g].task, members) for g, members in out.items()]


def told(found: Divergence) -> str:
    """The alarm in words, for the log."""
    return (
        f"the second judge does not see what the training judge rewards: over {found.looks} looks the "
        f"training judge went from {found.training[0]:.2f} to {found.training[1]:.2f}, the second from "
        f"{found.second[0]:.2f} to {found.second[1]:.2f} (of 1; p {found.p_training:.1g} and "
        f"{found.p_gap:.1g}); read some rollouts before training on"
    )


def too_few(every: int, steps: int) -> str | None:
    """Why no alarm can be raised in so many steps; None: it can, or nothing is trained."""
    looks = steps // every
    if looks >= FEWEST or not steps:
        return None
    allowed = f"at most {steps // FEWEST}" if steps >= FEWEST else f"at least {FEWEST} steps (train.steps)"
    return (
        f"watch.every {every}: {looks} looks in {steps} steps, too few to tell anything: no hacking alarm "
        f"can be raised; allowed: {allowed}"
    )


def fired(metrics: Sequence[Mapping[str, Any]]) -> list[int]:
    """The steps with an alarm, of the rows of a run's metrics: for its report."""
    return [int(row["step"]) for row in metrics if row.get(FIRED)]
