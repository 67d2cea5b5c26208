"""Which tasks fit the length limits: a row too long is counted and named, never cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fivestones.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    tasks: tuple[Task, ...]  # within both limits, in order
    long_prompts: tuple[str, ...]  # task ids
    long_outputs: tuple[str, ...]  # task ids; a task too long in both ways is listed in both

    @property
    def dropped(self) -> int:
        return len({*self.long_prompts, *self.long_outputs})

    def report(self, max_prompt: int, max_output: int) -> str:
        """One sentence for the log; '' when nothing was left out."""
        parts = [
            f"{len(ids)} {what} above {limit} tokens (first: {ids[0]})"
            for ids, what, limit in (
                (self.long_prompts, "with a prompt", max_prompt),
                (self.long_outputs, "with a reference output", max_output),
            )
            if ids
        ]
        total = len(self.tasks) + self.dropped
        return f"left out {self.dropped} of {total} tasks: {'; '.join(parts)}" if parts else ""


def fitting(
    tasks: Iterable[Task],
    *,
    max_prompt: int,
    max_output: int,
    prompt_tokens: Callable[[Task], int],
    output_tokens: Callable[[Task], int],
) -> Fitting:
    """Splits tasks by length in tokens. `output_tokens` is 0 for a task without a reference output."""
    kept: list[Task] = []
    prompts: list[str] = []
    outputs: list[str] = []
    for task in tasks:
        long_prompt = prompt_tokens(task) > max_prompt
        long_output = output_tokens(task) > max_output
        if long_prompt:
            prompts.append(task.id)
        if long_output:
            outputs.append(task.id)
        if not (long_prompt or long_output):
            kept.append(task)
    return Fitting(tasks=tuple(kept), long_prompts=tuple(prompts), long_outputs=tuple(outputs))
