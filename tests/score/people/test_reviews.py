from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import item, note, review

from fivestones.errors import DataError
from fivestones.score.people import HumanVerdict, Item, Review, Reviews
from fivestones.score.people.reviews import append_reviews, item_key, question, read_reviews, row_of


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    append_reviews(path, [review(1, S=True, O=False)])
    append_reviews(path, [review(2, "bob")])
    found = read_reviews(path)
    assert found.rows == (review(1, S=True, O=False), review(2, "bob"))
    assert found.raters == ("ann", "bob")
    assert found.by("ann", item(1).key) == {"S", "O"} and found.by("bob", item(1).key) == frozenset()


def test_no_file_holds_no_labels(tmp_path: Path) -> None:
    assert read_reviews(tmp_path / "none.jsonl") == Reviews()


def test_a_later_label_takes_the_place_of_the_same_raters_earlier_one() -> None:
    said = Reviews((review(1, S=True), review(1, "bob", S=True), review(1, S=False))).verdicts
    assert {r: v.passed for r, v in said[item(1).key]["S"].items()} == {"ann": False, "bob": True}


def test_a_torn_last_line_costs_one_review(tmp_path: Path) -> None:
    path = write(tmp_path, row_of(review(1)), row_of(review(2)))
    path.write_bytes(path.read_bytes()[:-10])
    assert len(read_reviews(path).rows) == 1
    append_reviews(path, [review(3)])
    assert [r.item.task_id for r in read_reviews(path).rows] == ["t1", "t3"]


def test_a_row_that_only_asks_is_no_review(tmp_path: Path) -> None:
    assert question(item(1))["labels"] == {name: {"passed": None, "reason": ""} for name in ("S", "O")}
    assert read_reviews(write(tmp_path, question(item(1)))) == Reviews()


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=4))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_key_is_of_task_and_output_whatever_the_order(output: dict[str, str]) -> None:
    turned = dict(reversed(output.items()))
    assert item_key("t", output) == item_key("t", turned) == item_key("t", json.loads(json.dumps(output)))
    assert item_key("u", output) != item_key("t", output) != item_key("t", {**output, "more": "x"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"output": {"S": "changed", "O": "lungs 1"}}, "one of them was changed"),
        ({"rater": " "}, "needs the name of its rater"),
        ({"labels": {"S": {"passed": False, "reason": " "}}}, "label `S`: a failed criterion needs a reason"),
        ({"labels": {"S": {"passed": "yes"}}}, "passed is 'yes'"),
        ({"labels": {"S": True}}, "label `S` is True; allowed: an object"),
        ({"labels": []}, "`labels` is \\[\\]; allowed: an object"),
        ({"output": "text"}, "`output` is 'text'; allowed"),
        ({"task_id": 3}, "`task_id` is 3; allowed: a text"),
        ({"verdict": 1}, "unknown keys verdict; allowed: item, task_id"),
    ],
)
def test_unfit_rows_are_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = write(tmp_path, row_of(review(2)), {**row_of(review(1)), **change})
    with pytest.raises(DataError, match=rf"labels.jsonl: line 2.*{told}"):
        read_reviews(path)


def test_what_cannot_be_a_review() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        HumanVerdict(False)
    with pytest.raises(ValueError, match="labels of A; the item has S, O"):
        Review(item=item(1), rater="ann", labels={"A": HumanVerdict(True)})
    assert Item(task_id="t1", source="", output=note(1), criteria=()).key == item(1).key
