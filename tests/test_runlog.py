"""Logs of a run directory: torn tails, time, and what a rewind forgets."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from fivestones.errors import DataError, ResourceError
from fivestones.runlog import RunDir, append_jsonl, disk_errors, read_jsonl


def test_every_tear_is_dropped_by_readers_and_cut_by_writers(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"n": 1}, {"n": 2, "text": "é \u2028"}])
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert read_jsonl(path) == [{"n": 1}]
        append_jsonl(path, [{"n": 3}])
        assert read_jsonl(path) == [{"n": 1}, {"n": 3}]


def test_a_whole_last_line_counts_without_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2}')
    assert read_jsonl(path) == [{"n": 1}, {"n": 2}]
    append_jsonl(path, [{"n": 3}])
    assert path.read_bytes() == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


@pytest.mark.parametrize("log", ["metrics_path", "timings_path"])
def test_logs_of_a_run_mend_a_tear_too(tmp_path: Path, log: str) -> None:
    run = RunDir(tmp_path)
    path: Path = getattr(run, log)
    run.append(path, {"step": 1})
    with path.open("ab") as file:
        file.write(b'{"step": 2, "los')
    run.append(path, {"step": 3})
    assert [row["step"] for row in read_jsonl(path)] == [1, 3]


def test_a_tear_longer_than_one_look_back(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_jsonl(path, [{"n": 1}])
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    append_jsonl(path, [{"n": 2}])
    assert read_jsonl(path) == [{"n": 1}, {"n": 2}]


def test_no_file_is_an_empty_log_and_a_bad_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_jsonl(path) == []
    for bad, why in [(b"{broken", "is not JSON"), (b"[]", "is list"), (b"\xff", "is not JSON")]:
        path.write_bytes(b'{"n": 1}\n' + bad + b"\n")
        with pytest.raises(DataError, match=f"line 2 {why}"):
            read_jsonl(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_jsonl(tmp_path)


def test_no_time_between_two_rows_goes_uncounted_and_none_of_a_pause_is(tmp_path: Path) -> None:
    began = time.monotonic()
    first = RunDir(tmp_path)
    time.sleep(0.02)
    first.append(first.timings_path, {"phase": "warmup", "step": 1})
    first.append(first.metrics_path, {"phase": "warmup", "step": 1})
    time.sleep(0.01)
    first.append(first.timings_path, {"phase": "train", "step": 1, "update": 0.01})
    spent = time.monotonic() - began
    time.sleep(0.3)  # stopped
    resumed = RunDir(tmp_path)
    resumed.append(resumed.timings_path, {"phase": "train", "step": 2})
    rows = read_jsonl(first.timings_path)
    assert 0.03 <= rows[0]["total"] + rows[1]["total"] <= spent
    assert rows[2]["total"] < 0.2
    assert "total" not in read_jsonl(first.metrics_path)[0]


def test_rewinding_one_phase_keeps_the_others_and_the_time(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for phase in ("warmup", "train", "imitation"):
        for step in (1, 2, 3):
            run.append(run.metrics_path, {"phase": phase, "step": step})
            run.append(run.timings_path, {"phase": phase, "step": step})
    run.rewind("imitation", 2)
    run.rewind("warmup", 4)
    left = [(r["phase"], r["step"]) for r in read_jsonl(run.metrics_path)]
    assert left == [*(("warmup", i) for i in (1, 2, 3)), *(("train", i) for i in (1, 2, 3)), ("imitation", 1)]
    assert len(read_jsonl(run.timings_path)) == 9  # spent all the same


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EACCES, "/data/rows.jsonl cannot be read or written"),
        (errno.EROFS, "/data/rows.jsonl cannot be read or written"),
        (errno.ENOTDIR, "/data/rows.jsonl cannot be read or written: Not a directory"),
        (errno.ENOENT, "/data/rows.jsonl cannot be read or written: No such file"),
        (errno.ENOSPC, "the disk is full while writing /data/rows.jsonl"),
    ],
)
def test_an_error_of_the_disk_names_the_file_that_it_is_about(code: int, told: str) -> None:
    with pytest.raises(ResourceError, match=told), disk_errors(Path("runs/a")):
        raise OSError(code, "x", "/data/rows.jsonl")


def test_an_error_that_tells_no_file_names_the_run() -> None:
    with pytest.raises(ResourceError, match="while writing runs/a"), disk_errors(Path("runs/a")):
        raise RuntimeError("No space left on device")


def test_a_checkpoint_can_be_read_by_another_account(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "trainer").mkdir()
        for name in ("model.safetensors", "trainer/state.json"):
            (folder / name).write_text("x")
            (folder / name).chmod(0o600)

    made = RunDir(tmp_path).save_checkpoint("train", 1, write)
    assert [(made / n).stat().st_mode & 0o777 for n in ("model.safetensors", "trainer/state.json")] == [
        0o644
    ] * 2
