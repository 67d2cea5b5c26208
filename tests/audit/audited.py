"""Cases for an audit, and judges with one fault each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fivestones.audit import Case
from fivestones.types import Message, Task, Verdict

REFERENCE = "The patient coughs. He has no fever. He takes aspirin."
Score = Callable[[Task, Mapping[str, Any]], float | None]


def case(dialogue: int, quality: float, *, hallucinated: float = 0.0, text: str = "") -> Case:
    """An output whose text says how good it is."""
    source = f"Doctor: dialogue {dialogue}?"
    task = Task(
        id=str(dialogue),
        prompt=(Message("user", source),),
        reference={"source": source, "output": {"note": REFERENCE}},
        cluster=str(dialogue),
    )
    words = text or f"The patient coughs. Quality {quality}. It ends."
    return Case(
        task=task,
        output={"note": words},
        human={"FactualF1": quality, "HallucinationRate": hallucinated},
    )


def cases(dialogues: int = 24, each: int = 4) -> list[Case]:
    """Outputs of every quality; the worst quarter hallucinates."""
    qualities = [(7 * i) % (dialogues * each) / (dialogues * each) for i in range(dialogues * each)]
    return [case(i // each, q, hallucinated=0.5 * (q < 0.25)) for i, q in enumerate(qualities)]


def quality(output: Mapping[str, Any]) -> float:
    return float(output["note"].split("Quality ")[1].split()[0].rstrip("."))


class Judged:
    """A judge out of a function of one output; None abstains."""

    def __init__(self, score: Score) -> None:
        self.score = score
        self.calls = 0

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        self.calls += 1
        values = [self.score(task, output) for output in outputs]
        return [
            Verdict(criteria={}, unscored={"note": "timeout"}) if v is None else Verdict(criteria={"note": v})
            for v in values
        ]


def perfect() -> Judged:
    return Judged(lambda task, output: quality(output))


class Partial:
    """Favours what comes first in its group by `bonus`."""

    def __init__(self, bonus: float) -> None:
        self.bonus = bonus

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        last = max(1, len(outputs) - 1)
        return [Verdict(criteria={"note": 0.5 + self.bonus * (1 - i / last)}) for i in range(len(outputs))]
