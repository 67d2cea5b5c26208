"""All records of a run -> its summary: figures of every dataset, and behaviours on the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.evaluate.behaviours import behaviour_table
from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.summary import TEST, summarize
from fivestones.recipe import EvaluatePart


def summary_of_run(
    records: Sequence[EvalRecord],
    part: EvaluatePart,
    *,
    seed: int,
    max_score: float,
    sections: Sequence[str],
    extra_sections: Mapping[str, Sequence[str]],
    slice_by: Sequence[str],
    held_out: Mapping[str, str],
    behaviours: Mapping[str, str],
    trained: str = "trained",
) -> dict[str, Any]:
    """As `summarize`; with behaviours (name -> in words; {} for a job that has none) also `behaviours`: the
    words under `described`, beside the `behaviour_table` of the test records."""
    summary = summarize(
        records,
        margin=part.margin,
        draws=part.draws,
        seed=seed,
        max_score=max_score,
        max_unscored=part.max_unscored,
        trained=trained,
        sections=sections,
        extra_sections=extra_sections,
        slice_by=slice_by,
        held_out=held_out,
    )
    if not behaviours:
        return summary
    table = behaviour_table(
        [record for record in records if record.dataset == TEST],
        names=tuple(behaviours),
        draws=part.draws,
        seed=seed,
        trained=trained,
        slice_by=slice_by,
    )
    return {**summary, "behaviours": {"described": dict(behaviours), **table}}


def contract(
    declared: EvaluatePart, used: EvaluatePart, *, generation: str, recipe: str, inputs: Mapping[str, str]
) -> dict[str, Any]:
    """What the figures were made under, and what of it is not as the run declared it.

    generation, recipe: digests; inputs: digests by name.
    """
    before, now = declared.model_dump(mode="json"), used.model_dump(mode="json")
    return {
        "generation": generation,
        "decoding": "greedy",
        "recipe": recipe,
        "overrides": {
            f"evaluate.{key}": {"declared": before[key], "used": now[key]}
            for key in now
            if now[key] != before[key]
        },
        "inputs": dict(inputs),
    }
