from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fivestones.data.store import read_rows, write_rows
from fivestones.errors import DataError, ResourceError

ROWS = [
    {"id": f"r{i}", "n": i, "x": i / 3, "ok": i % 2 == 0, "text": 'Zoë said "hi",\n\t\u2028 {} 😀 \u0000'}
    for i in range(3000)
]


def test_parquet_round_trip_keeps_order_types_and_odd_text(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "a.parquet", ROWS) == 3000
    assert read_rows(tmp_path / "a.parquet") == ROWS
    assert os.listdir(tmp_path) == ["a.parquet"]  # no temporary files left


def test_identical_rows_give_identical_bytes(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", ROWS)
    write_rows(tmp_path / "b.parquet", iter(ROWS))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_what_a_kill_left_behind_is_written_over(tmp_path: Path) -> None:
    left: dict[str, bytes] = {}
    with pytest.raises(_Killed):
        write_rows(tmp_path / "a.parquet", _until_killed(tmp_path, left))
    for name, content in left.items():  # as after a kill, which cleans nothing up
        (tmp_path / name).write_bytes(content)
    assert left and write_rows(tmp_path / "a.parquet", ROWS) == 3000
    assert os.listdir(tmp_path) == ["a.parquet"]


class _Killed(Exception):
    pass


def _until_killed(folder: Path, left: dict[str, bytes]) -> Iterator[dict[str, object]]:
    yield ROWS[0]
    left.update({path.name: path.read_bytes() for path in folder.iterdir()})
    raise _Killed


def test_a_path_with_pattern_characters_and_quotes_is_only_a_path(tmp_path: Path) -> None:
    path = tmp_path / "it's [1]*" / "a?.parquet"
    write_rows(path, ROWS[:2])
    assert read_rows(path) == ROWS[:2]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_rows(path, ROWS[:2])
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"row 2, column `n` is str \(allowed: int\)"):
        write_rows(path, [{"n": 1}, {"n": "two"}])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.parquet"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([{"a": 1}, {"b": 1}], "row 2 has columns"),
        ([{"a": [1]}], "column `a` is list"),
        ([{"a": None}], "column `a` is NoneType"),
        ([{"a": 2**63}], "does not fit 64 bits"),
        ([{"a": "\ud800"}], "half a UTF-16 pair"),
    ],
)
def test_rows_that_do_not_fit_a_table(tmp_path: Path, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_rows(tmp_path / "a.parquet", rows)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        write_rows(tmp_path / "file" / "a.parquet", ROWS[:1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": 2\n', r"line 2 is not JSON .*: '\{\"a\": 2'"),
        (b'{"a": 1}\n[1]\n', "line 2 is list, not an object"),
        (b'{"a": 1}\n\n{"b": 2}\n', r"line 3 lacks column `a` \(there: b\)"),
        (b'{"a": 1}\n{"a": "\xe9"}\n', "line 2 is not UTF-8"),
        (b"[" * 100_000, "line 1 is not JSON"),
        (b"", "no rows in it"),
        (b"\n \n", "no rows in it"),
    ],
)
def test_json_lines_complaints_name_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path, require=["a"])
    assert str(path) in str(caught.value)


def test_json_lines_with_a_byte_order_mark_and_windows_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n')
    assert read_rows(path) == [{"a": 1}, {"a": 2}]


def test_missing_unknown_and_corrupt_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_rows(tmp_path)
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"unknown kind of file `.xlsx` \(allowed: .jsonl"):
        read_rows(tmp_path / "a.xlsx")
    for content in (b"", b"not parquet at all, really not"):
        (tmp_path / "bad.parquet").write_bytes(content)
        with pytest.raises(DataError, match="not a readable Parquet file"):
            read_rows(tmp_path / "bad.parquet")
    write_rows(tmp_path / "half.parquet", ROWS)
    whole = (tmp_path / "half.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_rows(tmp_path / "half.parquet")


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [{"dialogue": "x", "note": "y"}])
    with pytest.raises(
        DataError, match=r"lacks column `dialog` \(there: dialogue, note\). Did you mean `dialogue`"
    ):
        read_rows(tmp_path / "a.parquet", require=["dialog"])
