"""The seams: what can be swapped, and the only things the stages know of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fivestones.types import Completion, Generation, Message, Rollout, Sample, Score, Split, Task, Verdict

Gate = Callable[[Task, Rollout], str | None]
"""Why the rollout fails, or None."""


class Environment(Protocol):
    """A job: its tasks, and what answers the model within an episode."""

    def tasks(self, split: Split) -> Iterable[Task]: ...

    def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
        """Tool results for the last assistant message; empty ends the episode."""
        ...

    def reference_text(self, task: Task) -> str:
        """The reference output of a task that has one, as the model should write it."""
        ...

    def lenient(self, text: str) -> Mapping[str, Any] | None:
        """What a tolerant reader makes of an output; None: nothing."""
        ...


class ScoredEnvironment(Environment, Protocol):
    """A user's own job, which also says how its outputs are scored."""

    @property
    def scorer(self) -> Scorer: ...


class Sampler(Protocol):
    """Turns token prompts into completions. Equal prompts are computed once."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        generation: Generation,
        seeds: Sequence[int],
        ended: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """One completion a prompt, in order. A completion depends on its own prompt and seed only. `ended`
        hears of each (its place, the completion) when it has ended, while others are still under way."""
        ...

    def sync(self, weights: Any, version: int) -> None: ...


class Scorer(Protocol):
    """Scores a whole group at a time. Called in one thread at a time, but not in the one that made it: beside
    it the environment may be asked for a reply, and the next step may come from another thread."""

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]: ...


class Judge(Protocol):
    """Judges outputs that passed the gates; may abstain, never raises for a judge's own failure."""

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]: ...


class Policy(Protocol):
    """The model under training."""

    step: int  # updates done

    def update(self, samples: Sequence[Sample]) -> Mapping[str, float]: ...

    def weights(self) -> Any: ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


Progress = Callable[[int, int, str], None]
"""(done, total, text): called by long work; the CLI draws it."""

Diagnose = Callable[[Task, Rollout, Score], Mapping[str, float | None]]
"""What an episode did: behaviour -> its share or count, None where it does not apply. Of an episode that the
environment broke off, or that nobody could score, nothing is said."""
