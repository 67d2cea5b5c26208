"""`diagnose` over a made world: the oracle shows no behaviour, and a near miss is told from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import pytest

from fivestones.environments.finqa.diagnose import BEHAVIOURS, diagnose
from fivestones.environments.finqa.environment import FinqaEnvironment
from fivestones.environments.finqa.grader import grade
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.finqa.world.world import World, make_world
from fivestones.evaluate.behaviours import COUNTS
from fivestones.recipe import FinqaPart, WorldPart
from fivestones.types import Message, Task

FLAGS = [name for name in BEHAVIOURS if name not in (*COUNTS, "recovered")]
PART = WorldPart(
    companies_train=2,
    companies_val=1,
    companies_test=3,
    train=20,
    val=5,
    test=40,
    multi_train=2,
    multi_val=1,
    multi_test=16,
)


@cache
def world() -> World:
    return make_world(PART, 3)


def episodes(submit: bool) -> Iterator[tuple[Task, list[Message]]]:
    made = world()
    tables = Tables(
        Table(
            row["company"],
            row["table"],
            row["description"],
            tuple(json.loads(row["columns"])),
            tuple(map(tuple, json.loads(row["rows"]))),
        )
        for row in made.tables
    )
    environment = FinqaEnvironment({"test": made.questions["test"]}, tables, FinqaPart(submit=submit))
    for task in environment.tasks("test"):
        yield task, [*task.prompt, *environment.demonstration(task)]


@pytest.mark.parametrize("submit", [False, True])
def test_the_oracle_shows_no_behaviour(submit: bool) -> None:
    count = 0
    for task, messages in episodes(submit):
        out = diagnose(task, messages, "stop", submit=submit)
        assert {name for name in FLAGS if out[name] == 1.0} == set(), task.id
        assert out["calls_over_fewest"] == 0.0, task.id
        count += 1
    assert count == 56


def test_a_distractor_is_a_near_miss_and_no_tool_is_no_ground() -> None:
    missed = 0
    for task, messages in episodes(submit=False):
        for distractor in task.reference["distractors"]:
            assert grade(distractor["answer"], task.reference["answer"]) < 1.0
            last = Message("assistant", f"FINAL ANSWER: {distractor['answer']}")
            out = diagnose(task, [*messages[:-1], last], "stop")
            assert (out["near_miss"], out["calls_over_fewest"]) == (1.0, None), task.id
            missed += 1
        blind = diagnose(task, [*task.prompt, messages[-1]], "stop")
        assert blind["no_tool_answer"] == 1.0
        assert blind["ungrounded_final"] in (1.0, None), task.id  # None: "not disclosed"
    assert missed > 56
