from __future__ import annotations

from pathlib import Path

import pytest
from people import item, make_run, note, review, rollout

from fivestones.errors import DataError
from fivestones.score.people import Item, Reviews
from fivestones.score.people.queue import append_pending, pending_path, queue, read_pending, run_items


def test_a_run_gives_what_passed_its_gates_once(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        [rollout(1), rollout(2, failed={"json": "no"}), rollout(3, text="no json"), rollout(4, text="[]")],
        [rollout(1), rollout(5, criteria={}, unscored={"S": "no label", "O": "no label"})],
    )
    found = run_items(run)
    assert [i.task_id for i in found] == ["t1", "t5"]
    assert found[0] == item(1)  # S.rouge1 is reported, not rewarded
    assert found[1].criteria == ("S", "O")
    assert [i.criteria for i in run_items(run, ["kind"])] == [("kind",)] * 2


def test_a_run_without_rollouts_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no rollouts to label.*log_rollouts"):
        run_items(make_run(tmp_path / "run"))


def test_the_order_is_the_same_for_all_and_not_that_of_the_steps() -> None:
    items = [item(n) for n in range(30)]
    first = [i.task_id for i in queue(items, Reviews(), "ann")]
    assert first == [i.task_id for i in queue(items[::-1], Reviews(), "bob")]
    assert sorted(first) == sorted(i.task_id for i in items) and first != [i.task_id for i in items]


def test_what_is_labelled_does_not_come_again_unless_something_of_it_is_open() -> None:
    said = Reviews((review(1, S=True, O=True), review(2, S=True)))
    assert [i.task_id for i in queue([item(1), item(2)], said, "ann")] == ["t2"]


@pytest.mark.parametrize(("double", "least", "most"), [(0.0, 0, 0), (0.3, 18, 42), (1.0, 100, 100)])
def test_a_share_is_for_everybody(double: float, least: int, most: int) -> None:
    items = [item(n) for n in range(100)]
    said = Reviews(tuple(review(n, S=True, O=True) for n in range(100)))
    for rater in ("bob", "cid"):
        again = queue(items, said, rater, double=double)
        assert least <= len(again) <= most
    assert queue(items, said, "ann", double=double) == []


def test_an_item_that_somebody_left_half_done_is_open_to_others() -> None:
    half, whole = review(1, S=True), review(2, S=True, O=True)
    assert [i.task_id for i in queue([item(1), item(2)], Reviews((half, whole)), "bob", double=0.0)] == ["t1"]
    together = Reviews((half, review(1, "cid", O=True)))
    assert queue([item(1)], together, "bob", double=0.0) == []


def test_what_a_run_waits_for_comes_first(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    assert read_pending(labels) == []
    waiting = [item(90), item(91)]
    append_pending(labels, waiting)
    assert pending_path(labels).name == "labels.pending.jsonl" and read_pending(labels) == waiting
    found = queue([item(n) for n in range(95)], Reviews(), "ann", first=read_pending(labels))
    assert {i.task_id for i in found[:2]} == {"t90", "t91"} and len(found) == 95


def test_copies_of_an_output_are_one_item_with_all_criteria() -> None:
    other = Item(task_id="t1", source="dialogue 1", output=note(1), criteria=("O", "A"))
    (found,) = queue([item(1), other], Reviews(), "ann")
    assert found.criteria == ("S", "O", "A")


def test_the_share_is_checked() -> None:
    with pytest.raises(ValueError, match="double 2"):
        queue([], Reviews(), "ann", double=2)
