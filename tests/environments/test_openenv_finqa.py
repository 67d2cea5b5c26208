"""The FinQA environment over a real socket: the same episodes as here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sums_job import call, rollout

from fivestones.build import Job, served_environment
from fivestones.build_data import Data, sample_data
from fivestones.environments.openenv import RemoteEnvironment, ServedThread
from fivestones.hermes import write
from fivestones.recipe import Recipe
from fivestones.recipe_load import load_recipe
from fivestones.types import Message


@pytest.fixture(scope="module")
def made() -> tuple[Recipe, Data]:
    recipe = load_recipe("finqa", "smoke")
    return recipe, sample_data(recipe, 4)


@pytest.fixture
def remote(made: tuple[Recipe, Data]) -> Iterator[RemoteEnvironment]:
    def serve() -> Any:
        return served_environment(*made)

    with ServedThread(serve) as server, closing(RemoteEnvironment(server.url)) as environment:
        yield environment


@pytest.mark.parametrize(("answer", "reward"), [(None, 1.0), ("$ 0.01 trillion", 0.0)])
def test_the_oracle_plays_over_a_server(
    made: tuple[Recipe, Data], remote: RemoteEnvironment, answer: str | None, reward: float
) -> None:
    here = served_environment(*made)
    own = {task.id: task for task in here.tasks("test")}
    tasks = list(remote.tasks("test"))
    assert {task.id for task in tasks} == set(own) and len(own) > 1
    for task in tasks:
        assert task.prompt == own[task.id].prompt and task.cluster == own[task.id].cluster
        *plan, last = here.demonstration(own[task.id])
        chat = list(task.prompt)
        for turn in plan:
            if turn.role == "assistant":
                chat.append(Message("assistant", write(turn.calls)))
                chat += remote.reply(task, chat)
            else:
                assert chat[-1].content == turn.content  # the tools say there what they say here
        chat.append(
            call("submit_answer", answer=answer) if answer else Message("assistant", write(last.calls))
        )
        assert list(remote.reply(task, chat)) == []
        assert remote.scorer(task, [rollout(task, chat)])[0].reward == reward


def test_it_offers_the_tools_of_the_note(made: tuple[Recipe, Data], remote: RemoteEnvironment) -> None:
    assert {tool["function"]["name"] for tool in remote.tools} == {
        *("get_table_names", "get_table_info", "sql_query", "calculator", "submit_answer")
    }
    references = [task.reference for task in Job(*made).tasks("test")]
    told = json.dumps([task.reference for task in remote.tasks("test")], default=str)
    assert not any(json.dumps(reference["plan"]) in told for reference in references)
