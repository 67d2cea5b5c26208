"""FinQA as an environment: gold passes, wrong fails, form is a gate; training asks only its levels."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from attempts import rollout
from fivestones.build import Job
from fivestones.build_data import Data
from fivestones.environments.finqa.environment import FinqaEnvironment
from fivestones.environments.finqa.mistakes import misspelt
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.finqa.tools import SUBMIT
from fivestones.errors import DataError
from fivestones.recipe import FinqaPart
from fivestones.recipe_load import load_recipe
from fivestones.rollout.tools import written
from fivestones.types import Call, Message, Task
from fivestones.worlds import sample_world

TABLES = Tables(
    [
        Table(
            company="orion",
            name="revenue",
            description="Revenue by segment, in millions of dollars",
            columns=("item", "y2023", "y2024"),
            rows=(("Software", "$ 1,100", "$ 1,234"), ("Services", "(56)", "—")),
        )
    ]
)
QUERY = {"company": "orion", "table": "revenue", "query": "SELECT y2024 FROM revenue WHERE item = 'Software'"}


def row(level: str = "L0", plan: bool = True, **more: Any) -> dict[str, Any]:
    steps = [
        {"name": "get_table_names", "arguments": {"company": "orion"}},
        {"name": "get_table_info", "arguments": {"company": "orion", "table": "revenue"}},
        {"name": "sql_query", "arguments": QUERY},
    ]
    return {
        "id": f"orion-{level}",
        "company": "orion",
        "level": level,
        "family": "lookup",
        "question": "What was revenue of Software in 2024?",
        "answer": "$ 1,234 million",
        "tables": '["revenue"]',
        "cells": "[]",
        "sql": "[]",
        "plan": json.dumps(steps if plan else []),
        "fewest": 3,
        "distractors": "[]",
        **more,
    }


def environment(*rows: dict[str, Any], **part: Any) -> FinqaEnvironment:
    given = list(rows) or [row()]
    return FinqaEnvironment({"train": given, "test": given}, TABLES, FinqaPart(**part))


def only(env: FinqaEnvironment) -> Task:
    (task,) = env.tasks("test")
    return task


def test_the_demonstration_is_an_episode_that_the_tools_answer_and_the_scorer_rewards() -> None:
    for submit in (False, True):
        env = environment(submit=submit)
        task = only(env)
        turns = env.demonstration(task)
        assert [t.role for t in turns] == ["assistant", "tool"] * 3 + ["assistant"]
        assert turns[1].content == '["revenue"]' and "$ 1,234" in turns[5].content
        last = turns[-1]
        said = written(last)
        assert env.reply(task, [*task.prompt, Message("assistant", said)]) == []
        (score,) = env.scorer(task, [rollout(task, said)])
        assert (score.reward, dict(score.failed)) == (1.0, {})
        assert env.lenient(said) == {"answer": "$ 1,234 million"}


def test_a_recovery_shows_an_error_that_is_not_imitated_and_how_it_is_mended() -> None:
    rows = [{**row(), "id": f"orion-{n}"} for n in range(40)]
    plain, env = environment(*rows), environment(*rows, recoveries=1.0)
    slips = set()
    for task in env.tasks("test"):
        turns = env.demonstration(task)
        wrong = [n for n, t in enumerate(turns) if not t.imitate]
        assert len(wrong) == 1
        said, told, mended = turns[wrong[0] : wrong[0] + 3]
        assert told.content.startswith("error: ") or told.content == "[]"
        assert said.calls[0].name == mended.calls[0].name and said.calls[0] != mended.calls[0]
        rest = (*turns[: wrong[0]], *turns[wrong[0] + 2 :])
        assert rest == tuple(plain.demonstration(task))
        assert turns == env.demonstration(task)  # the same in every process
        slips.add((said.calls[0], told.content == "[]"))
    kinds = {(slip.name, empty) for slip, empty in slips}
    assert kinds == {("get_table_info", False), ("sql_query", False), ("sql_query", True)}
    assert len(slips) > 10


def test_only_the_share_asked_for_shows_a_recovery() -> None:
    rows = [{**row(), "id": f"orion-{n}"} for n in range(400)]
    env = environment(*rows, recoveries=0.25)
    erring = sum(any(not t.imitate for t in env.demonstration(task)) for task in env.tasks("test"))
    assert 70 <= erring <= 130


def test_a_query_for_several_rows_shows_a_recovery_too() -> None:
    """One misspelt text of two still finds the other row: that is no mistake."""
    both = {**QUERY, "query": "SELECT y2024 FROM revenue WHERE item IN ('Software', 'Services')"}
    plan = json.dumps([{"name": "sql_query", "arguments": both}])
    env = environment(*({**row(), "id": f"orion-{n}", "plan": plan} for n in range(60)), recoveries=1.0)
    shown = [[t.content for t in env.demonstration(task)[:2]][1] for task in env.tasks("test")]
    assert all(text.startswith("error: ") or text == "[]" for text in shown)
    assert 10 < sum(text == "[]" for text in shown) < 50


def test_a_name_is_misspelt_only_where_it_stands() -> None:
    draw = random.Random(1)
    query = Call(
        "sql_query", json.dumps({**QUERY, "query": "SELECT y2024 FROM revenue WHERE y20245 = 'y2023'"})
    )
    head, tail = "SELECT y2024 FROM revenue", " WHERE y20245 = 'y2023'"
    for _ in range(50):
        wrong = misspelt(query, ["y2024"], draw)
        assert wrong is not None
        text = json.loads(wrong.arguments)["query"]
        assert text.startswith(head) != text.endswith(tail) and "y20245 = '" in text
    info = Call("get_table_info", json.dumps({"company": "orion", "table": "revenue"}))
    assert misspelt(info, ["costs"], draw) is None and misspelt(info, [], draw) is None
    assert misspelt(Call("calculator", '{"expression": "y2024"}'), ["y2024"], draw) is None


@pytest.mark.parametrize(
    ("text", "reward", "failed"),
    [
        ("FINAL ANSWER: $ 1,234 million", 1.0, None),
        ("It grew.\nFINAL ANSWER: 1.234 billion", 1.0, None),
        ("FINAL ANSWER: 1,234", 0.0, None),
        ("FINAL ANSWER: $ 1,100 million", 0.0, None),
        ("It is $ 1,234 million.", 0.0, "no final answer"),
        ("FINAL ANSWER: 5\nFINAL ANSWER: $ 1,234 million", 0.0, "several final answers"),
        ("", 0.0, "no final answer"),
    ],
)
def test_right_wrong_and_out_of_form(text: str, reward: float, failed: str | None) -> None:
    env = environment()
    (score,) = env.scorer(only(env), [rollout(only(env), text)])
    assert (score.reward, score.failed.get("answer")) == (reward, failed)


def test_what_was_cut_or_ran_out_of_turns_is_no_answer() -> None:
    env, gold = environment(), "FINAL ANSWER: $ 1,234 million"
    for finish, why in (("length", "truncated"), ("turns", "out of turns")):
        (score,) = env.scorer(only(env), [rollout(only(env), gold, finish)])  # type: ignore[arg-type]
        assert score.reward == 0.0 and score.failed["answer"].startswith(why)


def test_who_goes_round_in_a_circle_has_given_no_answer() -> None:
    task = only(environment())
    call = written(Message("assistant", "", (Call("sql_query", json.dumps(QUERY)),)))
    heard = Message("tool", environment().result(task, task.prompt, Call("sql_query", json.dumps(QUERY))))
    said = [Message("assistant", call), heard] * 2
    circle = [*task.prompt, *said, Message("assistant", call)]
    assert environment().reply(task, circle) == []
    assert environment(repeats=None).reply(task, circle) == [heard]
    (score,) = environment().scorer(task, [rollout(task, call)])
    assert (score.reward, score.failed.get("answer")) == (0.0, "no final answer")


def test_a_submission_that_is_refused_three_times_is_no_answer() -> None:
    env = environment(submit=True)
    refused = Call(SUBMIT, '{"answer": "$ 1,234 million", "unit": "USD"}')
    said = Message("assistant", written(Message("assistant", "", (refused,))))
    task = only(env)
    (heard,) = env.reply(task, [*task.prompt, said])
    assert heard.content.startswith("error: submit_answer: unknown argument `unit`")
    assert env.reply(task, [*task.prompt, said, heard, said, heard, said]) == []
    (score,) = env.scorer(task, [rollout(task, said.content)])
    assert (score.reward, score.failed.get("answer")) == (0.0, "no final answer")


def test_a_final_answer_beside_a_call_does_not_end_the_episode() -> None:
    env = environment()
    call = Call("get_table_names", '{"company": "orion"}')
    said = written(Message("assistant", "FINAL ANSWER: 7", (call,)))
    assert len(env.reply(only(env), [*only(env).prompt, Message("assistant", said)])) == 1
    assert env.lenient(said) is None


def test_training_asks_its_levels_and_evaluation_all() -> None:
    env = environment(row("L0"), row("L5"), levels=("L0", "L1"))
    assert [t.tags["level"] for t in env.tasks("train")] == ["L0"]
    assert [t.tags["level"] for t in env.tasks("test")] == ["L0", "L5"]
    assert [t.tags["tables"] for t in env.tasks("test")] == ["single", "multi"]


def test_without_a_plan_there_is_nothing_to_imitate() -> None:
    env = environment(row(plan=False))
    assert "output" not in only(env).reference
    with pytest.raises(DataError, match="no reference plan"):
        env.demonstration(only(env))


@pytest.mark.parametrize("seed", [0, 5])
def test_the_oracle_is_always_right_in_a_made_world(seed: int) -> None:
    recipe = load_recipe("finqa", "smoke")
    assert recipe.world is not None
    env = Job(recipe, Data(*sample_world(recipe.world, seed, 30))).environment
    tasks = [*env.tasks("train"), *env.tasks("test")]
    assert len(tasks) > 30 and {"L0", "L1", "L2", "L3", "L5"} <= {t.tags["level"] for t in tasks}
    for task in tasks:
        turns = env.demonstration(task)
        assert not any(t.content.startswith("error") for t in turns), task.id
        (score,) = env.scorer(task, [rollout(task, turns[-1].content)])
        assert score.reward == 1.0, task.id
        (blind,) = env.scorer(task, [rollout(task, "FINAL ANSWER: 0")])
        assert blind.reward == 0.0 or task.reference["answer"].startswith(("0", "$ 0")), task.id
