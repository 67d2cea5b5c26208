"""Several judges as one; what an abstention does to each rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.errors import UsageError
from fivestones.protocols import Judge
from fivestones.score.ensemble import RULES, Ensemble, GateThenJudge, Rule, mean, minimum, vote
from fivestones.types import Message, Task, Verdict

TASK = Task(id="t", prompt=(Message("user", "hello"),), reference={}, cluster="t")
ABSTAINED = "timeout"


class Scripted:
    """Answers each output by its number; None abstains."""

    def __init__(self, *values: float | None) -> None:
        self.values = values
        self.seen: list[Any] = []

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        self.seen += [o["n"] for o in outputs]
        return [verdict(self.values[o["n"]]) for o in outputs]


def verdict(value: float | None) -> Verdict:
    if value is None:
        return Verdict(criteria={}, unscored={"S": ABSTAINED})
    return Verdict(criteria={"S": value})


def outputs(n: int) -> list[dict[str, int]]:
    return [{"n": i} for i in range(n)]


def ask(judge: Judge, n: int = 1) -> list[Verdict]:
    return judge(TASK, outputs(n))


def combined(rule: Rule, *values: float | None) -> Verdict:
    members = {f"judge{i}": Scripted(v) for i, v in enumerate(values)}
    return ask(Ensemble(members, rule, ["S"]))[0]


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ("mean", (1.0, 0.5, 0.0), 0.5),
        ("minimum", (1.0, 0.5, 0.75), 0.5),
        ("vote", (1.0, 0.5, 0.0), 1.0),
        ("vote", (1.0, 0.49, 0.0), 0.0),
        ("vote", (1.0, 0.0), 0.0),  # a tie is not passed
    ],
)
def test_golden_numbers(rule: Rule, values: tuple[float, ...], expected: float) -> None:
    assert combined(rule, *values) == Verdict(criteria={"S": expected})


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ("mean", (1.0, None), None),
        ("mean", (0.0, 0.0, None), None),
        ("minimum", (0.0, None), 0.0),  # nothing is less
        ("minimum", (0.1, None), None),
        ("minimum", (None, None), None),
        ("vote", (1.0, 1.0, None), 1.0),  # two of three are a majority
        ("vote", (0.0, 0.0, None), 0.0),
        ("vote", (1.0, 0.0, None), None),
        ("vote", (1.0, None), None),
        ("vote", (0.0, None), 0.0),  # one of two would be a tie
    ],
)
def test_an_abstention_is_unknown_and_never_zero(
    rule: Rule, values: tuple[float | None, ...], expected: float | None
) -> None:
    found = combined(rule, *values)
    if expected is None:
        assert found.criteria == {}
        causes = [f"judge{i}: {ABSTAINED}" for i, v in enumerate(values) if v is None]
        assert found.unscored == {"S": "; ".join(causes)}
    else:
        assert found == Verdict(criteria={"S": expected})


@settings(max_examples=200, derandomize=True)
@given(
    st.sampled_from([mean, minimum, vote]),
    st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=2, max_size=4),
)
def test_scored_exactly_where_the_abstainers_could_not_change_it(
    rule: Any, values: list[float | None]
) -> None:
    known = [v for v in values if v is not None]
    abstained = len(values) - len(known)
    could_be = {rule([*known, *[end] * abstained], 0) for end in (0.0, 1.0)}
    found = rule(known, abstained)
    assert found == (could_be.pop() if len(could_be) == 1 else None)


def test_a_field_that_a_member_leaves_out_or_answers_wildly_is_an_abstention() -> None:
    silent: Judge = lambda task, outputs: [Verdict(criteria={}) for _ in outputs]  # noqa: E731
    wild: Judge = lambda task, outputs: [Verdict(criteria={"S": 7.0}) for _ in outputs]  # noqa: E731
    found = ask(Ensemble({"a": silent, "b": wild, "c": Scripted(1.0)}, "mean", ["S"]))[0]
    assert found.unscored == {"S": "a: no verdict; b: verdict outside [0, 1]"}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_verdicts_that_are_not_one_for_each_output_are_refused(count: int) -> None:
    """They could be anybody's."""
    wrong: Judge = lambda task, outputs: [verdict(1.0)] * count  # noqa: E731
    right = Scripted(1.0, 1.0)
    told = rf"judge `{{}}`: {count} verdicts for 2 outputs"
    with pytest.raises(ValueError, match=told.format("b")):
        ask(Ensemble({"a": right, "b": wrong}, "mean", ["S"]), 2)
    with pytest.raises(ValueError, match=told.format("gate")):
        ask(GateThenJudge(wrong, right, ["S"]), 2)
    with pytest.raises(ValueError, match=told.format("judge")):
        ask(GateThenJudge(right, wrong, ["S"]), 2)


def test_every_output_keeps_its_place() -> None:
    members = {"a": Scripted(0.0, 1.0, None), "b": Scripted(1.0, 1.0, 1.0)}
    found = ask(Ensemble(members, "mean", ["S"]), 3)
    assert [v.criteria.get("S") for v in found] == [0.5, 1.0, None]


def test_an_ensemble_needs_members_and_a_rule() -> None:
    with pytest.raises(UsageError, match="1 members; allowed: at least 2"):
        Ensemble({"a": Scripted()}, "mean", ["S"])
    with pytest.raises(UsageError, match="by `median`; allowed: mean, minimum, vote"):
        Ensemble({"a": Scripted(), "b": Scripted()}, "median", ["S"])  # type: ignore[arg-type]
    assert RULES == ("mean", "minimum", "vote")


class TestGate:
    def test_only_what_passes_is_judged(self) -> None:
        judge = Scripted(0.9, 0.8, 0.7)
        found = ask(GateThenJudge(Scripted(0.2, 0.5, 1.0), judge, ["S"]), 3)
        assert [v.criteria for v in found] == [{"S": 0.0}, {"S": 0.8}, {"S": 0.7}]
        assert judge.seen == [1, 2]  # the first costs nothing

    def test_abstentions(self) -> None:
        judge = Scripted(1.0, None, 1.0)
        found = ask(GateThenJudge(Scripted(None, 1.0, 0.0), judge, ["S"]), 3)
        assert [v.unscored for v in found] == [{"S": f"gate: {ABSTAINED}"}, {"S": ABSTAINED}, {}]
        assert found[2].criteria == {"S": 0.0}
        assert judge.seen == [1]

    def test_nothing_passes(self) -> None:
        judge = Scripted()
        assert ask(GateThenJudge(Scripted(0.0), judge, ["S"]))[0].criteria == {"S": 0.0}
        assert judge.seen == []

    def test_fields_go_through_one_by_one(self) -> None:
        gate: Judge = lambda task, outputs: [Verdict(criteria={"S": 1.0, "O": 0.0, "A": 1.0})]  # noqa: E731
        judge: Judge = lambda task, outputs: [Verdict(criteria={"S": 0.4, "O": 0.9})]  # noqa: E731
        found = ask(GateThenJudge(gate, judge, ["S", "O", "A"]))[0]
        assert found == Verdict(criteria={"S": 0.4, "O": 0.0}, unscored={"A": "no verdict"})
