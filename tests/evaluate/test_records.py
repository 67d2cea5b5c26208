from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fivestones.errors import DataError
from fivestones.evaluate.records import EvalRecord, append_records, read_cases, read_records, write_cases


def record(task_id: str = "t1", **changes: object) -> EvalRecord:
    base = EvalRecord(
        task_id=task_id,
        contestant="trained",
        cluster="asthma",
        tags={"style": "terse"},
        text='{"S": "cough é \u2028 \n"}',
        finish="stop",
        tokens=12,
        strict=True,
        lenient=True,
        criteria={"S": 0.5},
        total=2.5,
        seconds=0.4,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_round_trip_over_several_appends(tmp_path: Path) -> None:
    path = tmp_path / "eval" / "trained.jsonl"
    unknown = record("t3", total=None, criteria={}, unscored={"S": "timeout"})
    append_records(path, [record("t1"), record("t2", text="lone \ud800 surrogate")])
    append_records(path, [])
    append_records(path, [unknown])
    assert read_records(path) == [record("t1"), record("t2", text="lone \ud800 surrogate"), unknown]


def test_behaviours_and_the_transcript_come_back(tmp_path: Path) -> None:
    turns = ({"role": "assistant", "content": "é"}, {"role": "tool", "content": "[]"})
    told = record(behaviours={"blind_repeat": None, "turns": 3.0}, transcript=turns)
    append_records(tmp_path / "a.jsonl", [told])
    assert read_records(tmp_path / "a.jsonl") == [told]


def test_a_bad_line_inside_is_an_error_that_says_where(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_records(path, [record("t1")])
    good = path.read_bytes()
    for bad, why in [
        (b"{broken\n", "is not JSON"),
        (b'{"odd": 1}\n', "has unknown keys"),
        (b'{"task_id": "t1"}\n', "is no evaluation record"),
    ]:
        path.write_bytes(good + bad + good)
        with pytest.raises(DataError, match=f"line 2 {why}"):
            read_records(path)
    assert read_records(tmp_path / "none.jsonl") == []


def test_a_record_is_checked_where_it_is_born() -> None:
    with pytest.raises(ValueError, match="total is None exactly when"):
        record(total=None)
    with pytest.raises(ValueError, match="total is None exactly when"):
        record(unscored={"S": "timeout"})
    with pytest.raises(ValueError, match="outside"):
        record(criteria={"S": 1.5})
    with pytest.raises(ValueError, match="finite"):
        record(behaviours={"turns": float("nan")})


def test_cases(tmp_path: Path) -> None:
    cases = {"t1": "Doctor: hello\nPatient: hi", "t2": "é"}
    write_cases(tmp_path / "eval" / "cases" / "test.jsonl", cases)
    assert read_cases(tmp_path / "eval" / "cases" / "test.jsonl") == cases
