from __future__ import annotations

import json

import numpy as np
import pytest
from fake_soap import Generator, items_of
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.data.calibrate import calibrate, negative_pairs
from fivestones.data.dedup import Key, facts_key, key_of, pair_cosines, same_key, search
from fivestones.data.embed import unit
from fivestones.errors import DataError


def _key(text: str, facts: str, test: bool = False, signature: str | None = None) -> Key:
    return Key(text=text, facts=facts, signature=signature or facts, test=test)


def test_one_of_each_repeat_stays_and_test_rows_win() -> None:
    keys = [_key("a", "1"), _key("b", "2"), _key("a", "3"), _key("c", "2"), _key("b", "9", test=True)]
    assert same_key(keys) == {1: "exact", 2: "exact"}  # 3 stays: what it repeats went for the test row
    assert same_key([_key("a", "1"), _key("b", "1"), _key("c", "3", signature="1")]) == {
        1: "facts",
        2: "facts",
    }


def test_keys_ignore_layout_case_and_order_but_no_attribute() -> None:
    row = Generator()(items_of(1, 0)[0], 0)
    shouted = row | {"dialogue": row["dialogue"].upper().replace("\n", "  \n")}
    assert key_of(shouted).text == key_of(row).text
    backwards = json.dumps(list(reversed(json.loads(row["facts"]))))
    assert facts_key(row | {"facts": backwards}) == facts_key(row)
    assert facts_key(row | {"facts": row["facts"].replace('"f0"', '"other id"')}) == facts_key(row)
    assert facts_key(row | {"facts": row["facts"].replace("present", "absent", 1)}) != facts_key(row)
    assert facts_key(row | {"condition": "another"}) != facts_key(row)
    with pytest.raises(DataError, match="`facts` is not a list of facts"):
        key_of(row | {"facts": "[1]"})


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), block=st.integers(1, 17), within=st.floats(0.2, 0.9))
def test_search_equals_the_double_loop(seed: int, n: int, block: int, within: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit((rng.normal(size=(n, 6))).astype(np.float32))
    test = [bool(b) for b in rng.random(n) < 0.3]
    across = within - 0.1
    found = search(vectors, test, within=within, across=across, block=block)
    order = sorted(range(n), key=lambda i: (not test[i], i))
    kept: list[int] = []
    for i in order:
        cause = None
        for j in kept:
            cosine = float(pair_cosines(vectors, [i], [j])[0])
            if test[i] == test[j] and cosine > within and cause is None:
                cause = "cosine_within"
            if test[i] != test[j] and cosine > across:
                cause = "cosine_across"
        assert found.causes.get(i) == cause
        if cause is None:
            kept.append(i)
        for same, nearest in ((True, found.within), (False, found.across)):
            partners = [j for j in range(n) if j != i and (test[i] == test[j]) is same]
            best = float(pair_cosines(vectors, [i] * len(partners), partners).max()) if partners else -1.0
            assert nearest[i] == pytest.approx(best, abs=1e-7)


def test_search_does_not_depend_on_block_size_to_the_last_bit() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(500, 512)).astype(np.float32))
    test = [i % 5 == 0 for i in range(500)]
    one, other = (search(vectors, test, within=0.1, across=0.09, block=b) for b in (500, 37))
    assert one.causes == other.causes
    assert one.within.tobytes() == other.within.tobytes() and one.across.tobytes() == other.across.tobytes()


def test_calibration_puts_the_threshold_in_the_gap() -> None:
    positives = np.linspace(0.9, 1.0, 200, dtype=np.float32)
    negatives = np.linspace(0.1, 0.5, 1000, dtype=np.float32)
    at = calibrate(positives, negatives)
    assert 0.5 < at.across < at.within < 0.9
    assert (at.precision, at.recall, at.positives, at.negatives) == (1.0, 1.0, 200, 1000)


def test_calibration_of_overlapping_kinds_says_so() -> None:
    most_high = 1 - np.linspace(0, 0.6**0.5, 400, dtype=np.float32) ** 2
    most_low = np.linspace(0, 0.6**0.5, 400, dtype=np.float32) ** 2
    at = calibrate(most_high, most_low)
    assert at.gap < 0 and at.recall < 1 and at.across == pytest.approx(at.within - 0.02)
    assert at.within == pytest.approx(0.5, abs=0.05) and at.precision > 0.7
    with pytest.raises(DataError, match="at least 10 of each"):
        calibrate(np.ones(3, np.float32), np.zeros(30, np.float32))


def test_negative_pairs_share_the_condition_and_not_the_facts() -> None:
    vectors = unit(np.eye(6, dtype=np.float32) + np.float32(0.1))
    conditions, facts = list("aabbcc"), ["1", "2", "3", "3", "4", "5"]
    assert len(negative_pairs(vectors, conditions, facts, most=10, seed=0)) == 2
