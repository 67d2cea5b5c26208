"""Bad input through the command line: one clear message, non-zero exit, no traceback, nothing computed
lost."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fivestones
import tiny_job
from fivestones.errors import DataError, ModelError, ResourceError, RunExistsError, UsageError

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_job.model_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The tickets, each row on its own, in a folder of their own."""
    tiny_job.write_jsonl(tmp_path / "tickets.jsonl", tiny_job.rows(24))
    return tiny_job.tickets(tmp_path, tmp_path / "tickets.jsonl")


def start(job: Path, model: Path, **changes: Any) -> fivestones.Run:
    """Through the API; dots are written as `__`."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return fivestones.run(
        job, {**tiny_job.COUNTS, "model.source": str(model), **named}, out=job.parent / "run"
    )


def arguments(job: Path, model: Path, out: Path, **changes: Any) -> list[str]:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    counts = {**tiny_job.COUNTS, "model.source": str(model), **named}
    return ["run", str(job), *tiny_job.words(counts), f"--out={out}"]


def one_message(done: subprocess.CompletedProcess[str], code: int, *told: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for text in told:
        assert text in done.stderr


# the recipe


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.stepz=3", "Did you mean `steps`"),
        ("train.steps=-1", "train.steps"),
        ("train.lr=fast", "train.lr"),
        ("warmup.kind=magic", "references"),
        ("files.train=[1]", "files.train"),
    ],
)
def test_a_key_or_value_that_cannot_be(job: Path, override: str, told: str) -> None:
    done = tiny_job.fivestones("run", str(job), override, cwd=job.parent)
    one_message(done, UsageError.exit_code, told, "error: ")
    assert len(done.stderr.strip().splitlines()) < 6


# data


def test_a_missing_file(job: Path, model: Path) -> None:
    (job.parent / "tickets.jsonl").unlink()
    done = tiny_job.fivestones(*arguments(job, model, job.parent / "run"), cwd=job.parent)
    one_message(done, DataError.exit_code, "tickets.jsonl: no such file")
    assert not (job.parent / "run").exists()


def test_a_line_that_is_not_json(job: Path, model: Path) -> None:
    with (job.parent / "tickets.jsonl").open("a") as file:
        file.write("{'ticket': 3}\n")
    with pytest.raises(DataError, match=r"tickets\.jsonl: line 25 is not JSON"):
        start(job, model)
    assert not (job.parent / "run").exists()


def test_a_truncated_parquet_file(job: Path, model: Path) -> None:
    from fivestones.data.store import write_rows

    whole = job.parent / "tickets.parquet"
    write_rows(whole, tiny_job.rows(24))
    whole.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"tickets\.parquet: not a readable Parquet file"):
        start(job, model, files__train=str(whole))


def test_a_row_without_its_column(job: Path, model: Path) -> None:
    rows = tiny_job.rows(24)
    del rows[16]["priority"]
    tiny_job.write_jsonl(job.parent / "tickets.jsonl", rows)
    with pytest.raises(DataError, match=r"tickets\.jsonl: .*first row 17: there is no column `priority`"):
        start(job, model)  # counted in the file, not in the split


@pytest.mark.parametrize("below", ["tickets.jsonl", "tickets.jsonl/run", "/proc/run"])
def test_a_folder_that_cannot_be_made(job: Path, model: Path, below: str) -> None:
    done = tiny_job.fivestones(*arguments(job, model, job.parent / below), cwd=job.parent)
    assert done.returncode in (ResourceError.exit_code, RunExistsError.exit_code), done.stderr
    one_message(done, done.returncode, below)
    synth = ["synth", "soap", "--profile", "smoke", f"--out={job.parent / below}"]
    one_message(tiny_job.fivestones(*synth, cwd=job.parent), ResourceError.exit_code, below)


def test_a_damaged_file_of_real_cases_stops_before_training(job: Path, model: Path) -> None:
    (job.parent / "real.jsonl").write_text('{"ticket": "x"\n')
    with pytest.raises(DataError, match=r"real\.jsonl: line 1 is not JSON"):
        start(job, model, evaluate__extra={"real": str(job.parent / "real.jsonl")})
    assert not (job.parent / "run").exists()


# prompts longer than the context


def with_a_long_row(job: Path, split: str) -> str:
    """The recipe's data as a train and a test file, with one very long row in `split`; returns its id."""
    rows = tiny_job.rows(24)
    parts = {"train": rows[:16], "test": rows[16:]}
    parts[split][2]["ticket"] *= 300
    for name, part in parts.items():
        tiny_job.write_jsonl(job.parent / f"{name}.jsonl", part)
    return str(parts[split][2]["id"])


def test_a_test_prompt_longer_than_the_context_stops_before_training(job: Path, model: Path) -> None:
    long = with_a_long_row(job, "test")
    files = {"train": str(job.parent / "train.jsonl"), "test": str(job.parent / "test.jsonl")}
    with pytest.raises(DataError, match=rf"1 of 8 prompts are too long.*`{long}`.*context of 16384"):
        start(job, model, files=files, evaluate__tasks=0)
    assert not (job.parent / "run").exists()


def test_a_train_prompt_longer_than_the_context_is_left_out_and_counted(
    job: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = with_a_long_row(job, "train")
    files = {"train": str(job.parent / "train.jsonl"), "test": str(job.parent / "test.jsonl")}
    run = start(job, model, files=files, train__steps=4, train__tasks_per_step=4)
    assert f"left out 1 of 16 tasks with a prompt above 16264 tokens (first: {long})" in caplog.text
    rolled = "".join(p.read_text() for p in (run.path / "rollouts").iterdir())
    assert len(rolled.splitlines()) == 4 * 4 * 2
    assert f'"{long}"' not in rolled


def test_references_that_are_all_too_long_are_told_before_anything_is_written(job: Path, model: Path) -> None:
    with pytest.raises(DataError, match=r"all 4 are longer than generation\.max_tokens = 24"):
        start(job, model, generation__max_tokens=24)
    assert not (job.parent / "run").exists()


def test_examples_that_do_not_fit_are_told_before_training(job: Path, tmp_path: Path) -> None:
    small = tiny_job.model_folder(tmp_path / "small", context=900)
    with pytest.raises(DataError, match=r"2 examples in the prompt .*lower evaluate\.examples"):
        start(job, small)


# the model


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder_that_lacks_a_file(job: Path, tmp_path: Path, lacking: str) -> None:
    folder = tiny_job.model_folder(tmp_path / "broken")
    (folder / lacking).unlink()
    with pytest.raises(ModelError, match=lacking.replace(".", r"\.")):
        start(job, folder)
    assert not (job.parent / "run").exists()


@pytest.mark.parametrize("damaged", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_model_folder(job: Path, tmp_path: Path, damaged: str) -> None:
    folder = tiny_job.model_folder(tmp_path / "broken")
    content = (folder / damaged).read_bytes()
    (folder / damaged).write_bytes(content[: len(content) // 2])
    done = tiny_job.fivestones(*arguments(job, folder, tmp_path / "run"), cwd=tmp_path)
    one_message(done, ModelError.exit_code, str(folder))


def test_a_missing_model_is_told_before_data_is_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        fivestones.run("soap", {"model.source": "./nowhere"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# data that is still to be made, and code of one's own


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"synth.held_out_style": "ramblin"}, "rambling"),
        ({"evaluate.extra": {"clinic": "real.jsonl"}}, "no column `note`"),
        ({"evaluate.examples": 30}, "examples in the prompt"),
    ],
)
def test_a_mistake_about_made_data_leaves_the_run_directory_free(
    model: Path, tmp_path: Path, changes: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_job.write_jsonl(tmp_path / "real.jsonl", [{"dialogue": "Doctor: Well?\nPatient: A cough."}])
    few = {**tiny_job.COUNTS, "model.source": str(model), "synth.train": 40, "synth.test": 4}
    few |= {"warmup.references": 40, "generation.max_tokens": 700}
    with pytest.raises((UsageError, DataError), match=told):
        fivestones.run("soap", {**few, **changes}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


OWN_JUDGE = """
from helper_of_own_judge import POINTS
from fivestones.types import Verdict

class Judge:
    def __init__(self, fields, shift=0.0):
        self.fields, self.shift = fields, shift

    def __call__(self, task, outputs):
        return [Verdict(criteria=dict.fromkeys(self.fields, POINTS + self.shift)) for _ in outputs]
"""


def installed_script() -> list[str]:
    """As the installed command starts: the working folder is not on the path."""
    return [sys.executable, "-P", "-c", "from fivestones.cli import main; main()"]


def scripted(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*installed_script(), *arguments],
        cwd=cwd,
        env=tiny_job.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def with_own_judge(job: Path, source: str = OWN_JUDGE) -> Path:
    """The recipe names it; the module and one that it imports lie beside the recipe."""
    (job.parent / "own_judge_beside.py").write_text(source)
    (job.parent / "helper_of_own_judge.py").write_text("POINTS = 0.5\n")
    tree = yaml.safe_load(job.read_text())
    tree["judge"] = {"kind": "own_judge_beside:Judge"}
    for criterion in tree["environment"]["structured"]["criteria"]:
        criterion["kind"] = "facts"
    job.write_text(yaml.safe_dump(tree))
    return job


def test_code_of_ones_own_is_found_beside_the_recipe_and_from_its_copy_in_the_run(
    job: Path, model: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = arguments(
        with_own_judge(job), model, job.parent / "run", evaluate__contestants=["trained"], train__steps=1
    )
    done = scripted(*run, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    for again in (["eval", str(job.parent / "run")], [*run, "--resume"]):
        done = scripted(*again, cwd=elsewhere)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("def Judge(:\n", {}, r"own_judge_beside\.py, line 1: "),
        ("\nimport no_such_thing\n", {}, r"own_judge_beside\.py, line 2: No module named 'no_such_thing'"),
        ("JUDGE = 1\n", {}, "no attribute 'Judge'"),
        ("1 / 0\n", {}, r"line 1: ZeroDivisionError"),
        ("Judge = 1\n", {}, "is 1; allowed: a class or a function"),
        (OWN_JUDGE, {"shifts": 1}, r"options shifts, fields: .*'shifts'; it takes \(fields, shift=0\.0\)"),
    ],
)
def test_mistakes_in_code_of_ones_own_are_told(
    job: Path, model: Path, source: str, options: dict[str, Any], told: str
) -> None:
    sys.modules.pop("own_judge_beside", None)
    importlib.invalidate_caches()
    own = with_own_judge(job, source)
    try:
        with pytest.raises(UsageError, match=told):
            start(own, model, judge__options=options)
    finally:
        sys.path.remove(str(job.parent))
    assert not (job.parent / "run").exists()


# run directories


def test_a_run_directory_that_exists(job: Path, model: Path) -> None:
    out = job.parent / "run"
    start(job, model, train__steps=0)
    before = sorted(p.stat().st_mtime_ns for p in out.rglob("*"))
    done = tiny_job.fivestones(*arguments(job, model, out), cwd=job.parent)
    one_message(done, RunExistsError.exit_code, "holds a run", "--resume", "--out")
    other = tiny_job.fivestones(*arguments(job, model, out, train__steps=1), "--resume", cwd=job.parent)
    one_message(other, UsageError.exit_code, "another recipe", "train.steps", "--out")
    assert sorted(p.stat().st_mtime_ns for p in out.rglob("*")) == before


def test_a_folder_that_is_no_run(job: Path, model: Path) -> None:
    (job.parent / "run").mkdir()
    (job.parent / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(RunExistsError, match="is not a run"):
        start(job, model)
    for verb in ("train", "eval", "report"):
        done = tiny_job.fivestones(verb, str(job.parent / "run"), cwd=job.parent)
        one_message(done, RunExistsError.exit_code, "not a run directory")


# a full disk, and Ctrl-C


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many KiB, which a second call makes larger."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def sized(kib: int) -> Path:
        option = f"remount,size={kib}k" if folder.is_mount() else f"size={kib}k"
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("mounting a small file system needs root")
        return folder

    try:
        yield sized
    finally:
        if folder.is_mount():
            subprocess.run(["umount", "-l", str(folder)], check=True)


def has_mount() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and os.path.exists("/proc/mounts")


@pytest.mark.skipif(not has_mount(), reason="mounting a small file system needs root")
@pytest.mark.parametrize(
    "kib", [4, 500, pytest.param(300, marks=pytest.mark.slow), pytest.param(700, marks=pytest.mark.slow)]
)
def test_a_full_disk(job: Path, model: Path, small_disk: Callable[[int], Path], kib: int) -> None:
    run = arguments(job, model, small_disk(kib) / "run")
    done = tiny_job.fivestones(*run, cwd=job.parent)
    one_message(done, ResourceError.exit_code, "the disk is full", "go on with: fivestones run", "--resume")
    small_disk(64 << 10)
    again = tiny_job.fivestones(*run, "--resume", cwd=job.parent)
    assert again.returncode == 0, again.stderr
    assert same_weights(job.parent / "disk" / "run", start(job, model).path)


def test_a_file_that_may_not_grow(job: Path, model: Path) -> None:
    run = arguments(job, model, job.parent / "run")
    limit = 100 << 10  # bytes: less than the weights
    done = tiny_job.fivestones(
        *run, cwd=job.parent, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    one_message(done, ResourceError.exit_code, "the disk is full", "--resume")
    again = tiny_job.fivestones(*run, "--resume", cwd=job.parent)
    assert again.returncode == 0, again.stderr


def test_ctrl_c_says_how_to_go_on(job: Path, model: Path) -> None:
    out = job.parent / "run"
    run = arguments(job, model, out, train__steps=2000, evaluate__contestants=["base", "trained"])
    process = subprocess.Popen(
        tiny_job.command(*run),
        cwd=job.parent,
        env=tiny_job.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list((out / "checkpoints").glob("train-*")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    line = next(line for line in told.splitlines() if line.startswith("interrupted; go on with: "))
    assert line.endswith("--resume")
    assert f"--out={out}" in line
    steps = [json.loads(row)["step"] for row in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps  # what was computed is there


def same_weights(a: Path, b: Path) -> bool:
    found = [json.loads((run / "stages" / "train.json").read_text())["folder"] for run in (a, b)]
    files = [run / folder / "model.safetensors" for run, folder in zip((a, b), found, strict=True)]
    return files[0].read_bytes() == files[1].read_bytes()
