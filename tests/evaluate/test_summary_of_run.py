from __future__ import annotations

from dataclasses import replace
from typing import Any

from episodes_run import DESCRIBED, records
from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.summary_of_run import contract, summary_of_run
from fivestones.recipe import EvaluatePart

PART = EvaluatePart(draws=100, margin=0.02)


def made(found: list[EvalRecord], behaviours: dict[str, str]) -> dict[str, Any]:
    return summary_of_run(
        found,
        PART,
        seed=1,
        max_score=1.0,
        sections=(),
        extra_sections={},
        slice_by=("tables", "level"),
        held_out={},
        behaviours=behaviours,
    )


def test_behaviours_are_of_the_test_set_as_a_whole_and_by_tag() -> None:
    found = records()
    extra = [replace(record, dataset="real") for record in found]
    told = made([*found, *extra], DESCRIBED)["behaviours"]
    assert told["described"] == DESCRIBED
    assert told["contestants"]["trained"]["calls"]["n"] == 32
    assert {tag: list(values) for tag, values in told["by"].items()} == {
        "tables": ["multi", "single"],
        "level": ["L0", "L1", "L2", "L5"],
    }
    assert told["by"]["level"]["L0"]["contestants"]["base"]["no_tool_answer"]["mean"] == 1.0


def test_a_job_without_behaviours_has_none_of_it() -> None:
    assert "behaviours" not in made(records(), {})


def test_the_contract_tells_what_was_changed() -> None:
    used = PART.model_copy(update={"draws": 200})
    found = contract(PART, used, generation="g", recipe="r", inputs={"model": "m"})
    assert found["overrides"] == {"evaluate.draws": {"declared": 100, "used": 200}}
    assert (found["generation"], found["recipe"], found["inputs"]) == ("g", "r", {"model": "m"})
