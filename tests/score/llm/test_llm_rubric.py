from __future__ import annotations

from pathlib import Path

import pytest

from fivestones.errors import UsageError
from fivestones.score.llm.rubric import Rubric, builtin_rubrics, load_rubric, parse_rubric

GRADED = """
name: graded
role: You grade notes.
source: dialogue
part: section
fields:
  S:
    kind: graded
    question: How good is it?
    levels: [useless, poor, usable, good, excellent]
    examples:
      - {source: "D: Any fever? P: No.", text: Denies fever., reason: It says just that., verdict: 4}
"""
CHECKLIST = """
name: checklist
role: You check notes.
source: dialogue
part: section
fields:
  S:
    kind: checklist
    question: What holds?
    items:
      supported: Every statement follows from the dialogue.
      complete: Nothing that matters is missing.
      concise: No conversation is copied.
    weights: {supported: 2}
    examples:
      - source: "P: I cough."
        text: Cough.
        reason: All of it.
        verdict: {supported: true, complete: true, concise: true}
"""


def test_the_clinical_rubric_is_one_pass_or_fail_a_section() -> None:
    rubric = load_rubric("soap")
    assert builtin_rubrics() == ("soap",)
    assert list(rubric.fields) == ["S", "O", "A", "P", "note"]
    assert {c.kind for c in rubric.fields.values()} == {"binary"}
    assert all(
        w in c.question for c in rubric.fields.values() for w in ("Accurate", "Complete", "Appropriate")
    )


def test_a_rubric_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GRADED)
    assert load_rubric(path) == load_rubric(str(path)) == parse_rubric(GRADED, "x")


@pytest.mark.parametrize(
    ("said", "value"),
    [("pass", 1.0), ("fail", 0.0), (" PASS ", 1.0), ("passed", None), (True, None), (1, None), (None, None)],
)
def test_binary(said: object, value: float | None) -> None:
    assert load_rubric("soap").criterion("S").value(said) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [(0, 0.0), (1, 0.25), (4, 1.0), (5, None), (-1, None), (True, None), (3.0, None), ("3", None)],
)
def test_graded(said: object, value: float | None) -> None:
    assert parse_rubric(GRADED, "x").criterion("S").value(said) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"supported": True, "complete": True, "concise": True}, 1.0),
        ({"concise": True, "supported": False, "complete": False}, 0.25),
        ({"supported": True, "complete": False, "concise": False}, 0.5),
        ({"supported": False, "complete": False, "concise": False}, 0.0),
        ({"supported": True, "complete": True}, None),
        ({"supported": True, "complete": True, "concise": True, "more": True}, None),
        ({"supported": 1, "complete": True, "concise": True}, None),
        ("pass", None),
    ],
)
def test_checklist(said: object, value: float | None) -> None:
    assert parse_rubric(CHECKLIST, "x").criterion("S").value(said) == value


def test_a_changed_criterion_is_another_one_and_its_neighbour_is_not() -> None:
    before = load_rubric("soap")
    tree = before.model_dump(mode="json")
    tree["fields"]["S"]["question"] += " And neat."
    after = Rubric.model_validate(tree)
    assert after.criterion("S").digest != before.criterion("S").digest
    assert after.criterion("P").digest == before.criterion("P").digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: graded", "kind: grade", "fields.S.kind: got 'grade': .* Did you mean `graded`?"),
        ("question:", "queston:", "fields.S.queston: unknown key. Did you mean `question`?"),
        ("verdict: 4}", "verdict: 5}", "examples.0.verdict: got 5; allowed: an integer from 0 to 4"),
        ("reason:", "reasons:", "fields.S.examples.0.reasons: unknown key. Did you mean `reason`?"),
        (", excellent]", "]", "fields.S: got kind graded with 4 levels"),
        ("kind: graded", "kind: binary", "fields.S: got kind binary with 5 levels"),
        ("role: You grade notes.\n", "", "role: missing"),
        ("rol", "roll", "rolle: unknown key. Did you mean `role`?"),
        ("part: section", "part: dialogue", "source and part are both `dialogue`"),
        ("part: section", "part: example", "part: got `example`"),
        ("name: graded", "name: a b", "name: got 'a b': string should match"),
        (
            "  S:\n    kind",
            "  S:\n    kind: graded\n    kind",
            "line 9, column 5: not valid YAML: key `kind` twice",
        ),
        (GRADED, "", "an empty file; allowed: a mapping with name, role"),
        (GRADED, "[1]", "got a list; allowed"),
    ],
)
def test_mistakes_are_told_with_place_and_nearest_name(old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        parse_rubric(GRADED.replace(old, new), "mine.yaml")
    assert str(told.value).startswith("mine.yaml")


def test_mistakes_of_a_checklist() -> None:
    with pytest.raises(UsageError, match=r"weights: no item `suported`; .* Did you mean `supported`\?"):
        parse_rubric(CHECKLIST.replace("weights: {supported", "weights: {suported"), "x")
    with pytest.raises(UsageError, match=r"examples\.0\.verdict: got .*; allowed: an object with"):
        parse_rubric(CHECKLIST.replace(", concise: true}", "}"), "x")
    with pytest.raises(UsageError, match=r"fields\.S: got kind checklist with 0 items"):
        parse_rubric(CHECKLIST.split("    items:")[0], "x")


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        parse_rubric(GRADED.replace("role:", "rule:").replace("kind: graded", "kind: 3"), "x")
    assert {"  rule: unknown key", "  role: missing"} <= {
        line.partition(".")[0] for line in str(told.value).split("\n")
    }


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match=r"rubric: got `saop`; allowed: .* Did you mean `soap`\?"):
        load_rubric("saop")
    with pytest.raises(UsageError, match=r"rubric: cannot read nowhere\.yaml: No such file"):
        load_rubric("nowhere.yaml")
    with pytest.raises(
        UsageError, match=r"rubric soap has no field `Note`; it judges: .* Did you mean `note`\?"
    ):
        load_rubric("soap").criterion("Note")
