"""The stages of a run: warm-up, GRPO, imitation, evaluation. Each can be killed anywhere and goes on from
there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fivestones.evaluate.records import EvalRecord
from fivestones.stages.evaluation import evaluate
from fivestones.stages.grpo import run_grpo
from fivestones.stages.shared import Shared, prepare_torch
from fivestones.stages.warmup import run_imitation, run_warmup

__all__ = ["Shared", "Stages", "prepare_torch"]


class Stages(Shared):
    """One run on one machine."""

    def warmup(self) -> Path:
        """Returns the folder of the warm start: a checkpoint, or the base model when none was needed."""
        return run_warmup(self)

    def imitation(self, warm: Path) -> Path:
        """The contestant that goes on imitating the same references from the same warm start."""
        return run_imitation(self, warm)

    def grpo(self, warm: Path) -> Path:
        """The trained model's folder; `warm` itself when the recipe has no steps."""
        return run_grpo(self, warm)

    def evaluate(self, folders: Mapping[str, Path]) -> list[EvalRecord]:
        """folders: contestant -> model folder. All contestants on the test split and the extra datasets."""
        return evaluate(self, folders)
