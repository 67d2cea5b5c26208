from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.data.files import load_files, split_rows
from fivestones.errors import DataError
from fivestones.recipe import FilesPart


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@settings(max_examples=50)
@given(
    clusters=st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda c: len(set(c)) > 1),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 5),
)
def test_no_cluster_is_split_and_no_row_is_lost(clusters: list[int], share: float, seed: int) -> None:
    rows = [{"n": i, "c": c} for i, c in enumerate(clusters)]
    parts = split_rows(rows, share, seed=seed, cluster="c")
    assert parts["train"] and parts["test"]
    assert not {r["c"] for r in parts["train"]} & {r["c"] for r in parts["test"]}
    assert sorted(r["n"] for part in parts.values() for r in part) == list(range(len(rows)))
    assert parts == split_rows(rows, share, seed=seed, cluster="c")


def test_share_and_seed() -> None:
    rows = [{"n": i} for i in range(200)]
    one, other = (split_rows(rows, 0.1, seed=seed) for seed in (1, 2))
    assert len(one["test"]) == len(other["test"]) == 20
    assert one != other
    assert split_rows(rows, 0.0, seed=1)["test"] == []


def test_equal_rows_stay_together() -> None:
    parts = split_rows([{"a": i % 5} for i in range(50)], 0.3, seed=0)
    assert not {r["a"] for r in parts["train"]} & {r["a"] for r in parts["test"]}


def test_what_cannot_be_split() -> None:
    with pytest.raises(DataError, match="column `c` has only one value"):
        split_rows([{"c": 1}, {"c": 1}], 0.5, seed=0, cluster="c")
    with pytest.raises(DataError, match="nothing to train on"):
        split_rows([{"c": 1}, {"c": 2}], 1.0, seed=0)


def test_files_of_both_kinds_and_errors_that_name_the_setting(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.jsonl", [{"q": str(i), "c": i // 2} for i in range(20)])
    test = _write(tmp_path / "test.jsonl", [{"q": "x", "c": 1}])
    given_both = load_files(FilesPart(train=train, test=test), columns=["q"])
    assert (len(given_both["train"]), len(given_both["test"])) == (20, 1)
    shared = load_files(FilesPart(train=train, test_share=0.2), cluster="c")
    assert (len(shared["train"]), len(shared["test"])) == (16, 4)
    with pytest.raises(DataError, match=r"files.test: .*no such file"):
        load_files(FilesPart(train=train, test=tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match=r"files.train: .*line 1 lacks column `topic`"):
        load_files(FilesPart(train=train), cluster="topic")
