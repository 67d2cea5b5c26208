from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attempts
from fivestones.errors import UsageError
from fivestones.recipe import CriterionPart
from fivestones.score.criteria import exact, overlap
from fivestones.score.rubric import RubricScorer
from fivestones.types import Message, Rollout, Task, Verdict


class ScriptedJudge:
    """Answers the verdicts it was given, in order, and remembers what it was asked."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[list[Mapping[str, Any]]] = []

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        self.asked.append(list(outputs))
        return [self.verdicts.pop(0) for _ in outputs]


TASK = Task(
    id="1",
    prompt=(Message("user", "x"),),
    reference={"source": "x", "output": {"label": "a", "note": "two tablets daily"}},
    cluster="1",
)
CRITERIA = (
    CriterionPart(field="label", kind="exact", weight=1.0),
    CriterionPart(field="note", kind="facts", weight=3.0),
)
GOLD = json.dumps(TASK.reference["output"])


rollout = partial(attempts.rollout, TASK)


def parse(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def scorer(judge: ScriptedJudge, criteria: Sequence[CriterionPart] = CRITERIA, **more: Any) -> RubricScorer:
    def gate(task: Task, attempt: Rollout) -> str | None:
        return None if parse(attempt.answer) else "not JSON"

    return RubricScorer(gates={"json": gate}, parse=parse, criteria=criteria, judges={"facts": judge}, **more)


def test_gold_earns_the_maximum() -> None:
    judge = ScriptedJudge(Verdict(criteria={"note": 1.0}))
    rubric = scorer(judge)
    (score,) = rubric(TASK, [rollout(GOLD)])
    assert score.reward == rubric.max_reward == 5.0
    assert score.criteria == {"label": 1.0, "note": 1.0}


def test_a_failed_gate_is_a_real_zero_and_spares_the_judge() -> None:
    judge = ScriptedJudge(Verdict(criteria={"note": 0.5}))
    bad, good = scorer(judge)(TASK, [rollout("nonsense"), rollout(GOLD)])
    assert (bad.reward, bad.failed, bad.criteria) == (0.0, {"json": "not JSON"}, {})
    assert good.reward == 1 + 1 + 1.5
    assert judge.asked == [[TASK.reference["output"]]]


def test_the_judge_is_not_asked_when_nothing_passed() -> None:
    judge = ScriptedJudge()
    scores = scorer(judge)(TASK, [rollout("x"), rollout("y")])
    assert [score.reward for score in scores] == [0.0, 0.0]
    assert judge.asked == []


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [
        (Verdict(criteria={}, unscored={"note": "timeout"}), "timeout"),
        (Verdict(criteria={}), "no verdict"),
        (Verdict(criteria={"note": 1.5}), "verdict outside [0, 1]"),
        (Verdict(criteria={"note": float("nan")}), "verdict outside [0, 1]"),
    ],
)
def test_unscored_is_unknown_never_zero(verdict: Verdict, cause: str) -> None:
    (score,) = scorer(ScriptedJudge(verdict))(TASK, [rollout(GOLD)])
    assert score.reward is None
    assert score.unscored == {"note": cause}
    assert score.criteria == {"label": 1.0}


def test_without_reference_a_comparison_is_unscored() -> None:
    task = Task(id="2", prompt=TASK.prompt, reference={"source": "x"}, cluster="2")
    rubric = scorer(ScriptedJudge(), (CriterionPart(field="label", kind="exact"),))
    (score,) = rubric(task, [rollout(GOLD)])
    assert score.unscored == {"label": "no reference output"}


def test_an_optional_key_counts_as_its_presence() -> None:
    rubric = scorer(ScriptedJudge(), (CriterionPart(field="extra", kind="exact"),))
    without, invented = rubric(TASK, [rollout(GOLD), rollout('{"extra": 1}')])
    assert (without.reward, invented.reward) == (2.0, 1.0)


def test_a_field_judged_twice_has_two_names() -> None:
    both = (*CRITERIA, CriterionPart(field="note", kind="overlap"))
    (score,) = scorer(ScriptedJudge(Verdict(criteria={"note": 0.5})), both)(TASK, [rollout(GOLD)])
    assert score.criteria == {"label": 1.0, "note.facts": 0.5, "note.overlap": 1.0}


def test_faults_of_the_rubric_are_found_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="kind `facts` and no such judge"):
        RubricScorer(gates={}, parse=parse, criteria=CRITERIA, judges={})
    with pytest.raises(UsageError, match="twice in the same way"):
        scorer(ScriptedJudge(), (CRITERIA[0], CRITERIA[0]))


def test_a_judge_that_miscounts_is_a_bug() -> None:
    class Short(ScriptedJudge):
        def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
            return []

    with pytest.raises(ValueError, match="0 verdicts for 1 outputs"):
        scorer(Short())(TASK, [rollout(GOLD)])


@pytest.mark.parametrize(
    ("reference", "value", "same"),
    [
        ("High", " high. ", True),
        ("high", "low", False),
        (3, 3.0, True),
        (3, "3", True),
        (1200, "1,200", True),
        (0.1 + 0.2, 0.3, True),
        ("007", "7", False),
        (1, True, False),
        (True, True, True),
        (None, None, True),
        (None, "", False),
        (["red", "Blue"], ["blue", "red"], True),
        (["red", "red"], ["red"], False),
        ([1, 2], [2, 1], False),
        ([1, 2], ["1", 2.0], True),
        ({"a": 1, "b": "X"}, {"b": "x", "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("ﬁne", "fine", True),
        (10**400, 10**400, False),  # beyond any number that a field can mean
        ("x", ["x"], False),
    ],
)
def test_exact(reference: object, value: object, same: bool) -> None:
    assert exact(reference, value) == float(same)


@pytest.mark.parametrize(
    ("reference", "value", "score"),
    [
        ("charged twice for Team", "Charged twice, for team!", 1.0),
        ("a b c d", "a b", 2 / 3),
        ("a b", "a a a a", 1 / 3),
        ("dose 3.50 mg", "dose 3.50 mg", 1.0),
        ("頭痛", "頭", 2 / 3),
        ("", "", 1.0),
        (None, None, 1.0),
        ("a", "", 0.0),
        (["a", {"k": "b"}, 3.0], "a b 3", 1.0),
        ("...", "a", 0.0),
    ],
)
def test_overlap(reference: object, value: object, score: float) -> None:
    assert overlap(reference, value) == pytest.approx(score)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=6)


@settings(max_examples=80)
@given(values, values)
def test_criteria_stay_in_range_and_are_symmetric(a: object, b: object) -> None:
    for criterion in (exact, overlap):
        assert 0.0 <= criterion(a, b) <= 1.0
        assert criterion(a, b) == criterion(b, a)
    assert overlap(a, a) == 1.0


def test_criteria_of_weight_0_are_reported_by_kind_and_not_rewarded() -> None:
    scorer = RubricScorer(
        gates={},
        parse=json.loads,
        criteria=[
            CriterionPart(field="text", kind="overlap"),
            CriterionPart(field="text", kind="rouge1", weight=0.0),
            CriterionPart(field="text", kind="rougeL", weight=0.0),
        ],
        judges={},
    )
    task = Task(
        id="t",
        prompt=(Message("user", "x"),),
        reference={"output": {"text": "the cat sat on the mat"}},
        cluster="t",
    )
    (score,) = scorer(task, [rollout(json.dumps({"text": "the mat on the cat sat"}))])
    assert scorer.names == ("text", "text.rouge1", "text.rougeL")
    assert scorer.max_reward == 2.0
    assert score.reward == 2.0
    assert score.criteria["text"] == score.criteria["text.rouge1"] == 1.0
    assert score.criteria["text.rougeL"] == pytest.approx(0.5)  # "the cat sat": 3 of 6 words both ways
