"""What is recorded is used again only under the conditions it was made under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fivestones.evaluate.records import EvalRecord, read_records
from fivestones.evaluate.run import CHUNK, Contestant, Dataset, evaluate_contestant
from fivestones.protocols import Progress
from fivestones.types import Finish, Generation, Message, Rollout, Score, Task


def task(i: int, **changes: Any) -> Task:
    made = Task(
        id=f"t{i:03}", prompt=(Message("user", "x" * (i % 7 + 1)),), reference={"output": "yes"}, cluster="c"
    )
    return replace(made, **changes)


def told(task: Task, rollout: Rollout, score: Score) -> dict[str, float | None]:
    return {} if score.reward is None else {"no_final_answer": 1.0}


def score(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
    return [
        Score(reward=None, unscored={"S": "timeout"})
        if rollout.answer == "hard" or rollout.finish == "error"
        else Score(reward=1.0, criteria={"S": 1.0})
        for rollout in rollouts
    ]


@dataclass
class Model:
    """Says `say` of each task and keeps what it was asked."""

    say: str = "fine"
    finish: Finish = "stop"
    asked: list[str] = field(default_factory=list)

    def roll(self, tasks: Sequence[Task], ended: Callable[[int, Rollout], None]) -> None:
        self.asked += [t.id for t in tasks]
        for place, t in enumerate(tasks):
            rollout = Rollout(
                task_id=t.id,
                messages=(*t.prompt, Message("assistant", self.say)),
                prompt_messages=len(t.prompt),
                prompt_ids=ids(t),
                completion_ids=(1, 9, 2),
                loss_mask=(True, False, True),
                logprobs=(0.0, 0.0, 0.0),
                finish=self.finish,
                policy_version=0,
            )
            ended(place, rollout)


def ids(task: Task) -> tuple[int, ...]:
    return tuple(task.prompt[-1].content.encode())


def run(
    path: Path,
    speaker: Model,
    tasks: Sequence[Task],
    *,
    dataset: str = "test",
    scorer: str = "judge",
    progress: Progress = lambda done, total, text: None,
    after_chunk: Callable[[int], None] = lambda tasks: None,
    **changes: Any,
) -> list[EvalRecord]:
    contestant = Contestant("trained", "weights", Generation(max_tokens=8), ids, speaker.roll)
    data = Dataset(dataset, tasks, score, lambda text: {}, diagnose=told)
    return evaluate_contestant(replace(contestant, **changes), data, scorer, path, progress, after_chunk)


TASKS = [task(i) for i in range(5)]


def test_records_are_in_the_order_of_the_tasks_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    first, second = Model(), Model()
    made = run(path, first, TASKS)
    assert [r.task_id for r in made] == [t.id for t in TASKS]
    assert all(r.tokens == 2 for r in made)  # sampled ones; a tool's reply is not the model's
    assert run(path, second, TASKS) == made
    assert (first.asked, second.asked) == ([t.id for t in reversed(TASKS)], [])  # the longest prompt first


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other weights"},
        {"scorer": "other judge"},
        {"generation": Generation(max_tokens=9)},
        {"prompt_ids": lambda t: (7, *ids(t))},  # other examples in the prompt
    ],
    ids=lambda c: next(iter(c)),
)
def test_other_conditions_make_all_anew(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "trained.jsonl"
    run(path, Model(), TASKS)
    model = Model("new")
    made = run(path, model, TASKS, **changes)
    assert len(model.asked) == len(TASKS)
    assert {r.text for r in made} == {"new"}
    assert {r.text for r in read_records(path)[len(TASKS) :]} == {"new"}
    again = Model()
    assert run(path, again, TASKS, **changes) == made
    assert again.asked == []


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": (Message("user", "another text"),)},
        {"reference": {"output": "no"}},
        {"cluster": "d"},
        {"tags": {"style": "terse"}},
    ],
    ids=lambda c: next(iter(c)),
)
def test_another_task_of_the_same_id_is_made_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = tmp_path / "trained.jsonl"
    run(path, Model(), TASKS)
    model = Model()
    run(path, model, [*TASKS[:2], replace(TASKS[2], **changed), *TASKS[3:]])
    assert model.asked == [TASKS[2].id]


def test_the_same_tasks_in_another_dataset_are_not_its(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    run(path, Model(), TASKS)
    model = Model()
    assert {r.dataset for r in run(path, model, TASKS[:2], dataset="real")} == {"real"}
    assert len(model.asked) == 2
    assert len(run(path, Model(), TASKS)) == 5


def test_what_was_unscored_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    assert run(path, Model("hard"), TASKS[:1])[0].total is None
    assert run(path, Model(), TASKS[:1])[0].total == 1.0


def test_an_episode_whose_environment_failed_tells_no_behaviour(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    failed = run(path, Model(finish="error"), TASKS[:1])[0]
    assert (failed.total, failed.behaviours) == (None, {})
    assert run(path, Model("hard"), TASKS[:1])[0].behaviours == {}
    assert run(path, Model(), TASKS[:1])[0].behaviours == {"no_final_answer": 1.0}


def test_fewer_tasks_return_only_theirs(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    run(path, Model(), TASKS)
    assert [r.task_id for r in run(path, Model(), TASKS[:2])] == ["t000", "t001"]


def test_progress_moves_with_each_completion_and_chunks_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "trained.jsonl"
    tasks = [task(i) for i in range(CHUNK + 10)]
    run(path, Model(), tasks[:4])
    told: list[tuple[int, int, str]] = []
    chunks: list[int] = []
    model = Model()
    run(path, model, tasks, progress=lambda *t: told.append(t), after_chunk=chunks.append)
    label = "evaluate trained on test"
    assert told == [(done, CHUNK + 10, label) for done in (0, *range(4, CHUNK + 11))]
    assert chunks == [CHUNK, 6]
    assert model.asked == [t.id for t in sorted(tasks[4:], key=lambda t: -len(ids(t)))]
