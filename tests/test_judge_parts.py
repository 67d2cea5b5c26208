"""Recipe -> judges: people, ensembles, gates, the second judge, and the parts of a reward for GDPO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attempts import rollout
from fivestones.build import Job
from fivestones.build_data import Data, sample_data
from fivestones.errors import UsageError
from fivestones.evaluate.identity import judge_digest
from fivestones.recipe import Recipe, TrainPart
from fivestones.recipe_load import load_recipe
from fivestones.score.people import HumanVerdict, Item, Review
from fivestones.score.people.reviews import append_reviews
from fivestones.train.samples import to_samples
from fivestones.types import Group, Score, Task

LLM = {"kind": "llm", "endpoints": [{"url": "http://127.0.0.1:9/v1"}], "model": "m"}
PAIR = [{"kind": "facts"}, {"kind": "own_parts:Half"}]  # the second finds everything half right


def job(**overrides: Any) -> Job:
    recipe = load_recipe("soap", "smoke", overrides)
    return Job(recipe, sample_data(recipe, 2))


def first(made: Job) -> tuple[Task, dict[str, str]]:
    task = made.tasks("train")[0]
    return task, dict(task.reference["output"])


def scored(made: Job, task: Task, note: dict[str, str]) -> Score:
    return made.scorer(task, [rollout(task, json.dumps(note))])[0]


@pytest.mark.parametrize(
    ("judge", "reward"),
    [
        ({"kind": "ensemble", "members": PAIR}, 4.0),
        ({"kind": "ensemble", "rule": "minimum", "members": PAIR}, 3.0),
        ({"kind": "ensemble", "rule": "vote", "members": [*PAIR, *PAIR], "threshold": 0.6}, 1.0),
        ({"kind": "ensemble", "rule": "gate", "members": PAIR}, 3.0),
    ],
)
def test_several_judges(judge: dict[str, Any], reward: float) -> None:
    made = job(judge=judge)
    task, note = first(made)
    assert scored(made, task, note).reward == pytest.approx(reward, abs=0.15)


def test_people(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    made = job(judge={"kind": "people", "labels": str(labels)})
    task, note = first(made)
    before = judge_digest(made.recipe)
    assert scored(made, task, note).unscored == dict.fromkeys("SOAP", "no label")
    item = Item(task_id=task.id, source="x", output=note, criteria=tuple("SOAP"))
    said = {c: HumanVerdict(c != "P", "because") for c in "SOAP"}
    append_reviews(labels, [Review(item=item, rater="ann", labels=said)])
    assert scored(Job(made.recipe, made.data), task, note).reward == 4.0
    assert judge_digest(made.recipe) != before  # what was scored without them is scored anew


def test_people_and_who_judges_the_rest(tmp_path: Path) -> None:
    labels = str(tmp_path / "labels.jsonl")
    made = job(judge={"kind": "people", "labels": labels, "members": PAIR[1:]})
    assert scored(made, *first(made)).reward == 3.0


def test_labels_lie_beside_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    inside = "{kind: ensemble, members: [{kind: facts}, {kind: people, labels: a.jsonl}]}"
    path.write_text(
        f"name: job\nsynth: {{}}\njudge: {inside}\nwatch: {{judge: {{kind: people, labels: b.jsonl}}}}\n"
    )
    recipe = load_recipe(path)
    assert recipe.judge.members[1].labels == tmp_path / "a.jsonl"
    assert recipe.watch is not None and recipe.watch.judge.labels == tmp_path / "b.jsonl"


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        ({"kind": "lm"}, r"judge.kind: got `lm`; allowed: facts, llm, .* Did you mean `llm`"),
        ({"kind": "ensemble", "members": PAIR[:1]}, "judge: 1 members of kind ensemble; allowed: 2 to 99"),
        ({"kind": "ensemble", "rule": "gate", "members": [*PAIR, *PAIR]}, "4 members .*; allowed: 2"),
        ({"kind": "facts", "members": PAIR}, "members goes with kind people or ensemble, not with `facts`"),
        ({"kind": "people"}, "kind `people` needs `labels`"),
        ({"kind": "facts", "labels": "x"}, "labels goes with kind people"),
        ({"kind": "llm"}, "kind `llm` needs `endpoints`"),
        ({**LLM, "kind": "facts"}, "endpoints goes with kind llm, not with `facts`"),
        ({**LLM, "modle": "x"}, r"judge.modle: unknown key\. Did you mean `model`"),
        ({**LLM, "limits": {"attempts": 0}}, "judge.limits.attempts: got 0; allowed: an integer at least 1"),
    ],
)
def test_impossible_judges(judge: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_recipe("soap", "smoke", {"judge": judge})


def test_the_second_judge_scores_by_the_same_rubric() -> None:
    made = job(watch={"judge": {"kind": "own_parts:Half"}})
    task, note = first(made)
    assert made.second_scorer is not None
    good, bad = made.second_scorer(task, [rollout(task, json.dumps(note)), rollout(task, "no")])
    assert good.reward == 3.0 and list(bad.failed) == ["json"]
    assert scored(made, task, note).reward == pytest.approx(5.0, abs=0.15)  # the training judge is the other
    assert job().second_scorer is None


def test_gdpo_takes_the_points_of_the_rubric() -> None:
    made = job()
    task, note = first(made)
    assert made.points.gates == 1.0 and made.points.criteria == dict.fromkeys("SOAP", 1.0)
    notes = [note, {**note, "S": "none"}, {**note, "S": "none", "P": "none"}]
    rollouts = tuple(rollout(task, text) for text in (*map(json.dumps, notes), "no JSON"))
    group = Group(task=task, rollouts=rollouts, scores=tuple(made.scorer(task, rollouts)))
    found = [s.advantages[0] for s in to_samples([group], TrainPart(scale="gdpo"), 100, made.points)]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4
    assert sum(found) == pytest.approx(0.0, abs=1e-9)


def test_an_llm_judge_keeps_its_replies_in_the_run(tmp_path: Path) -> None:
    recipe = load_recipe("soap", "smoke", {"judge": LLM})
    made = Job(recipe, sample_data(recipe, 2), tmp_path / "run")
    assert (made.max_reward, made.criteria) == (5.0, ("S", "O", "A", "P"))
    assert made.at_once > 1 and job().at_once == 1
    assert not (tmp_path / "run").exists()  # until something is judged
    assert made.judges.usage is not None and made.judges.usage.questions == 0
    assert job().judges.usage is None
    gate = {"kind": "ensemble", "rule": "gate", "members": [{"kind": "facts"}, LLM]}
    assert job(judge=gate).at_once > 1
    assert job(judge={**gate, "members": [PAIR[1], LLM]}).at_once == 1


def test_a_wrong_rubric_or_key_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"rubric: got `saop`; .* Did you mean `soap`"):
        _ = job(judge={**LLM, "rubric": "saop"}).scorer
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyed = [{"url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}]
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        _ = job(judge={**LLM, "endpoints": keyed}).scorer


def test_paths_of_a_judge_are_relative_to_its_recipe(tmp_path: Path) -> None:
    text = {"name": "x", "judge": {**LLM, "rubric": "mine.yaml", "cache": "c.sqlite"}, "synth": {"train": 2}}
    (tmp_path / "r.yaml").write_text(json.dumps(text))
    judge = load_recipe(tmp_path / "r.yaml").judge
    assert (judge.rubric, judge.cache) == (str(tmp_path / "mine.yaml"), tmp_path / "c.sqlite")


def test_where_a_judge_is_asked_does_not_change_what_it_says() -> None:
    there = {**LLM, "endpoints": [{"url": "http://127.0.0.1:10/v1"}], "limits": {"attempts": 2}}
    digests = [judge_digest(job(judge=j).recipe) for j in (LLM, there, {**LLM, "model": "other"})]
    assert digests[0] == digests[1] != digests[2]


def without_facts(**parts: Any) -> Job:
    """A job whose rubric asks no judge."""
    schema = {"type": "object", "properties": {"c": {"type": "string"}}}
    structured = {
        "instructions": "JSON.",
        "input": "{text}",
        "output_schema": schema,
        "reference_fields": {"c": "label"},
        "criteria": [{"field": "c", "kind": "exact"}],
    }
    environment = {"kind": "structured", "structured": structured}
    made = {"name": "j", "files": {"train": "rows.jsonl"}, "environment": environment, **parts}
    return Job(Recipe.model_validate(made), Data({}))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"judge": LLM}, "judge: kind `llm` is never asked: environment `structured` has no criterion"),
        ({"judge": {"kind": "own_parts:Half"}}, "judge: kind `own_parts:Half` is never asked"),
        ({"watch": {"judge": {"kind": "facts"}}}, r"watch\.judge: kind `facts` is never asked"),
    ],
)
def test_a_judge_that_nothing_asks_is_a_mistake(parts: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        without_facts(**parts).check_judges()


def test_a_judge_that_is_asked_or_not_named_is_none() -> None:
    job(judge=LLM, watch={"judge": {"kind": "facts"}}).check_judges()
    without_facts(judge={"retries": 2}).check_judges()  # of the environment's own scorer
