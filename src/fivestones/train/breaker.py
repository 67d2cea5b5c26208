"""The breaker: a run pauses when too much is unscored, because failures correlate with content."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from fivestones.errors import JudgePausedError
from fivestones.types import Group

WINDOW = 10  # steps


class Breaker:
    def __init__(self, allowed: float) -> None:
        self.allowed = allowed
        self.window: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    def check(self, groups: Sequence[Group]) -> None:
        scores = [s for g in groups for s in g.scores]
        bad = [s for s in scores if s.reward is None]
        self.window.append((len(bad), len(scores)))
        unscored, total = (sum(x) for x in zip(*self.window, strict=True))
        if unscored > max(self.allowed * total, 1 if self.allowed else 0):  # a lone abstention is no outage
            causes = Counter(cause for s in bad for cause in s.unscored.values()).most_common(3)
            raise JudgePausedError(
                f"paused: {unscored} of the last {total} rollouts are unscored ({unscored / total:.1%}, "
                f"allowed {self.allowed:.1%}); causes: "
                f"{', '.join(f'{c} ({n})' for c, n in causes) or 'earlier steps'}. "
                "Mend the judge, then go on with --resume: nothing is lost"
            )
