"""What labels are good for: reward, examples, cases of an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from people import FIELDS, item, note, review

from attempts import rollout as attempt
from fivestones.errors import JudgePausedError
from fivestones.recipe import CriterionPart
from fivestones.score.people import HumanVerdict, Item, PeopleJudge, Review, Reviews
from fivestones.score.people.cases import audit_rows
from fivestones.score.people.examples import RubricExample, rubric_examples
from fivestones.score.people.queue import queue, read_pending
from fivestones.score.people.reviews import append_reviews
from fivestones.score.rubric import RubricScorer
from fivestones.train.breaker import Breaker
from fivestones.types import Group, Message, Task, Verdict


def task(n: int) -> Task:
    return Task(
        id=f"t{n}",
        prompt=(Message("system", "write"), Message("user", f"dialogue {n}")),
        reference={},
        cluster="c",
    )


class Half:
    """Another judge, which abstains from O."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        self.asked += outputs
        return [Verdict(criteria={"S": 0.5}, unscored={"O": "timeout"}) for _ in outputs]


class TestReward:
    def test_a_criterion_is_the_share_of_raters_who_passed_it(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        append_reviews(
            path, [review(1, S=True, O=False), review(1, "bob", S=False), review(1, "cid", S=True)]
        )
        (found,) = PeopleJudge(path, FIELDS)(task(1), [note(1)])
        assert found == Verdict(criteria={"S": pytest.approx(2 / 3), "O": 0.0})

    def test_what_has_no_label_is_unscored_and_asked_for_once(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        append_reviews(path, [review(1, S=True)])
        for _ in range(2):
            judge = PeopleJudge(path, FIELDS)
            for _ in range(2):
                one, other = judge(task(1), [note(1), note(2)])
        assert one == Verdict(criteria={"S": 1.0}, unscored={"O": "no label"})
        assert other.unscored == dict.fromkeys(FIELDS, "no label")
        waiting = read_pending(path)
        assert [(i.task_id, i.source, i.output) for i in waiting] == [
            ("t1", "dialogue 1", note(1)),
            ("t1", "dialogue 1", note(2)),
        ]

    def test_an_audit_asks_nobody(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        (found,) = PeopleJudge(path, FIELDS, ask=False)(task(1), [note(1)])
        assert found.unscored == dict.fromkeys(FIELDS, "no label") and read_pending(path) == []

    def test_another_judge_answers_what_people_did_not(self, tmp_path: Path) -> None:
        path, other = tmp_path / "labels.jsonl", Half()
        append_reviews(path, [review(1, S=False, O=True), review(2, O=True)])
        (covered,) = PeopleJudge(path, FIELDS, other)(task(1), [note(1)])
        assert covered.criteria == {"S": 0.0, "O": 1.0} and other.asked == []
        partly, open_one = PeopleJudge(path, FIELDS, other)(task(2), [note(2), note(3)])
        assert partly == Verdict(criteria={"S": 0.5, "O": 1.0})  # people's word covers the abstention
        assert open_one == Verdict(criteria={"S": 0.5}, unscored={"O": "timeout"})
        assert read_pending(path) == []

    def test_a_label_is_of_one_output_of_one_task(self, tmp_path: Path) -> None:
        path = tmp_path / "labels.jsonl"
        append_reviews(path, [review(1, S=True, O=True)])
        judge = PeopleJudge(path, FIELDS)
        assert judge(task(2), [note(1)])[0].criteria == {}
        assert judge(task(1), [{**note(1), "S": "other"}])[0].criteria == {}

    def test_a_run_pauses_is_labelled_and_goes_on(self, tmp_path: Path) -> None:
        """The whole way: unlabelled rollouts pause the run, the queue asks for them, the resumed run makes
        the same outputs and is rewarded."""
        path = tmp_path / "labels.jsonl"
        rollouts = tuple(attempt(task(1), f"note {i}") for i in range(4))

        def step() -> Group:
            scorer = RubricScorer(
                gates={},
                parse=lambda text: {"S": text, "O": text},
                criteria=[CriterionPart(field=f, kind="facts") for f in FIELDS],
                judges={"facts": PeopleJudge(path, FIELDS)},
            )
            group = Group(task=task(1), rollouts=rollouts, scores=tuple(scorer(task(1), rollouts)))
            Breaker(0.02).check([group])
            return group

        with pytest.raises(JudgePausedError, match="no label"):
            step()
        for asked in queue([], Reviews(), "ann", first=read_pending(path)):
            good = asked.output["S"] in ("note 0", "note 1")
            labels = {f: HumanVerdict(good, "because") for f in asked.criteria}
            append_reviews(path, [Review(item=asked, rater="ann", labels=labels)])
        assert [s.reward for s in step().scores] == [3.0, 3.0, 1.0, 1.0]


class TestExamples:
    def test_passed_and_failed_in_turn_the_shortest_first(self) -> None:
        def said(n: int, passed: bool, source: str) -> Review:
            made = Item(task_id=f"t{n}", source=source, output=note(n), criteria=FIELDS)
            return Review(item=made, rater="ann", labels={"S": HumanVerdict(passed, f"reason {n}")})

        rows = [
            said(1, True, "long " * 9),
            said(2, True, "short"),
            said(3, False, "bad"),
            said(4, True, "mid mid"),
        ]
        found = rubric_examples(Reviews(tuple(rows)), "S", 2)
        assert found == [
            RubricExample(source="short", text="cough 2", reason="reason 2", verdict="pass"),
            RubricExample(source="bad", text="cough 3", reason="reason 3", verdict="fail"),
            RubricExample(source="mid mid", text="cough 4", reason="reason 4", verdict="pass"),
        ]

    def test_only_what_raters_agree_on_and_gave_a_reason_for(self) -> None:
        silent = Review(item=item(3), rater="ann", labels={"S": HumanVerdict(True)})
        said = Reviews((review(1, S=True), review(1, "bob", S=False), review(2, S=True), silent))
        assert [e.text for e in rubric_examples(said, "S", 5)] == ["cough 2"]
        assert rubric_examples(said, "O", 5) == []

    def test_a_criterion_that_is_no_field_shows_the_whole_output(self) -> None:
        made = item(1, criteria=("helpful",))
        row = Review(item=made, rater="ann", labels={"helpful": HumanVerdict(True, "clear")})
        (found,) = rubric_examples(Reviews((row,)), "helpful", 1)
        assert found.text == '{"S": "cough 1", "O": "lungs 1"}'


class TestAuditRows:
    def test_majority_reference_and_facts(self) -> None:
        said = Reviews(
            (
                review(1, S=True, O=False),
                review(1, "bob", S=True, O=True),
                review(1, "cid", S=False),
                review(2, S=False),
            )
        )
        facts = [{"id": "S0", "section": "S", "concept": "cough"}]
        first, second = audit_rows(said, {"t1": {"output": {"S": "a", "O": "b", "A": "c"}, "facts": facts}})
        assert first["human"] == {"S": 1, "O": None}  # O: one each
        assert first["reference"] == {"S": "a", "O": "b"} and first["facts"] == facts
        assert (first["dialogue"], first["dialogue_id"], first["output"]) == ("dialogue 1", "t1", note(1))
        assert second["human"] == {"S": 0} and "reference" not in second

    def test_only_judged_fields_unless_the_criteria_are_no_fields(self) -> None:
        one = Review(item=item(1, criteria=("S",)), rater="a", labels={"S": HumanVerdict(True)})
        whole = Review(item=item(2, criteria=("helpful",)), rater="a", labels={"helpful": HumanVerdict(True)})
        for said, fields in (((one,), [["S"]]), ((one, whole), [["O", "S"]] * 2)):
            assert [list(r["output"]) for r in audit_rows(Reviews(said), {}, ("O", "S"))] == fields

    def test_a_field_that_an_output_left_out_is_null(self) -> None:
        bare = Item(task_id="t9", source="x", output={"O": "lungs"}, criteria=("O",))
        said = Reviews((review(1, S=True), Review(item=bare, rater="a", labels={"O": HumanVerdict(True)})))
        assert [r["output"] for r in audit_rows(said, {})] == [note(1), {"S": None, "O": "lungs"}]
