"""The breaker: a run pauses when too much is unscored, because failures correlate with content."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from fivestones.errors import JudgePausedError
from fivestones.types import Group

WINDOW = 10  # steps, the one under way included


class Breaker:
    def __init__(self, allowed: float, past: Sequence[tuple[float, float]] = ()) -> None:
        """allowed: share of the rollouts that passed the gates, so that a judge was asked, which may be
        unscored; past: (unscored, passed) of the steps done, so that a resumed run pauses where an
        uninterrupted one would."""
        self.allowed = allowed
        self._past = deque(((int(u), int(n)) for u, n in past), maxlen=WINDOW - 1)
        self._groups: list[Group] = []  # of the step under way

    def check(self, groups: Sequence[Group]) -> None:
        """Counts further groups of this step. Raises JudgePausedError."""
        self._groups += groups
        unscored, total = (sum(counts) for counts in zip(*self._past, self._step(), strict=True))
        if unscored > max(self.allowed * total, 1 if self.allowed else 0):  # a lone abstention is no outage
            causes = Counter(
                cause for g in self._groups for s in g.scores for cause in s.unscored.values()
            ).most_common(3)
            raise JudgePausedError(
                f"paused: {unscored} of the last {total} rollouts that passed the gates are unscored "
                f"({unscored / total:.1%}, allowed {self.allowed:.1%}); causes: "
                f"{', '.join(f'{c} ({n})' for c, n in causes) or 'earlier steps'}. "
                "Mend what scores (the judge, or the environment), then go on with --resume: nothing is lost"
            )

    def end_step(self) -> None:
        self._past.append(self._step())
        self._groups = []

    def _step(self) -> tuple[int, int]:
        scores = [s for g in self._groups for s in g.scores]
        return sum(s.reward is None for s in scores), sum(not s.failed for s in scores)
