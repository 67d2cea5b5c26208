from __future__ import annotations

import pytest

from fivestones.audit.raters import rater_agreement
from fivestones.score.people import HumanVerdict, Item, Review, Reviews


def reviews(**labels: str) -> Reviews:
    """rater="pf-p": passed, failed, not seen, passed: of items 0, 1, 2 ..."""
    rows = []
    for rater, said in labels.items():
        for i, letter in enumerate(said):
            if letter != "-":
                item = Item(task_id=f"t{i}", source="dialogue", output={"S": str(i)}, criteria=("S",))
                verdict = HumanVerdict(letter == "p", "because")
                rows.append(Review(item=item, rater=rater, labels={"S": verdict}))
    return Reviews(tuple(rows))


def test_the_published_table_of_two_raters() -> None:
    """Cohen's kappa 0.4: 20 both pass, 5 and 10 apart, 15 both fail."""
    found = rater_agreement(
        reviews(ann="p" * 25 + "f" * 25, bob="p" * 20 + "f" * 5 + "p" * 10 + "f" * 15), draws=200
    )["S"]
    assert (found["items"], found["doubly"]) == (50, 50)
    assert found["kappa"]["ann, bob"]["value"] == pytest.approx(0.4)
    assert found["agreement"]["value"] == pytest.approx(0.7)
    # n = 100 labels, 55 passed: 1 - 99 * 30 / (2 * 55 * 45)
    assert found["alpha"]["value"] == pytest.approx(1 - 99 * 30 / (2 * 55 * 45))
    assert found["alpha"]["low"] < found["alpha"]["value"] < found["alpha"]["high"]
    assert found["alpha"]["clusters"] == 50


def test_gaps_and_three_raters() -> None:
    found = rater_agreement(reviews(ann="ppff-p", bob="ppf--f", cid="-pfp-f"), draws=20)["S"]
    assert (found["items"], found["doubly"]) == (5, 5)
    assert set(found["kappa"]) == {"ann, bob", "ann, cid", "bob, cid"}
    # pairs: item 0 1/1, item 1 3/3, item 2 3/3, item 3 0/1, item 5 1/3
    assert found["agreement"]["value"] == pytest.approx((1 + 1 + 1 + 0 + 1 / 3) / 5)


def test_single_labels_tell_nothing_of_agreement() -> None:
    found = rater_agreement(reviews(ann="pf--", bob="--pf"), draws=20)["S"]
    assert (found["items"], found["doubly"]) == (4, 0)
    assert found["alpha"] is found["agreement"] is None and found["kappa"] == {}


def test_raters_who_only_ever_pass_are_unknown() -> None:
    found = rater_agreement(reviews(ann="ppp", bob="ppp"), draws=20)["S"]
    assert found["alpha"] is None and found["kappa"]["ann, bob"] is None
    assert found["agreement"]["value"] == 1.0


def test_no_reviews() -> None:
    assert rater_agreement(Reviews()) == {}
