"""The command line: what it hands to the API, what it prints, how it ends."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from fivestones.cli import app
from fivestones.cli.progress import Bars
from fivestones.errors import DataError, JudgePausedError, ModelError, RunExistsError
from fivestones.own import fault_of
from fivestones.recipe_load import parse_overrides

ESTIMATE = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 8}
SUMMARY = {
    "contestants": {
        "trained": {"strict": ESTIMATE, "lenient": ESTIMATE, "total": ESTIMATE, "sections": {"S": ESTIMATE}}
    },
    "paired": [{"a": "trained", "b": "base", "metric": "total", **ESTIMATE, "clusters": 4}],
}
CERTIFICATE = {
    "summary": {
        "splits": {
            "train": {
                "rows": 24,
                "groups": 20,
                "conditions": 12,
                "specialties": {"ENT": 24},
                "dialogue_words": {"q10": 150, "q50": 200, "q90": 300},
            }
        }
    },
    "made": {"generated": 1030, "removed": {"exact": 1}},
}
METRICS = [
    {"phase": "warmup", "step": 1, "loss": 2.0},
    {"phase": "warmup", "step": 2, "loss": 1.0},
    {"phase": "train", "step": 1, "reward_mean": 0.25, "gate_rate": 0.5},
    {"phase": "train", "step": 2, "reward_mean": 0.75, "gate_rate": 1.0},
]


@dataclass
class Made:
    path: Path = Path("runs/soap")
    report: Path = Path("nowhere/report.html")
    summary: Mapping[str, Any] = field(default_factory=lambda: SUMMARY)
    certificate: Mapping[str, Any] = field(default_factory=lambda: CERTIFICATE)
    message: str = "24 rows, no duplicates"
    metrics: Sequence[Mapping[str, Any]] = field(default_factory=lambda: METRICS)


class FakeApi:
    """Records its calls; `error` is raised by each verb."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._error = error

    def __getattr__(self, verb: str) -> Callable[..., Made]:
        def call(*args: Any, **kwargs: Any) -> Made:
            if progress := kwargs.pop("progress", None):
                progress(1, 2, "training: reward 0.5")
            self.calls.append((verb, args, kwargs))
            if self._error:
                raise self._error
            return Made()

        return call


def invoke(*words: str, api: FakeApi | None = None) -> Result:
    return CliRunner().invoke(app, list(words), obj=api or FakeApi(), env={"COLUMNS": "200"})


def test_run_hands_over_overrides_profile_and_folder() -> None:
    api = FakeApi()
    words = (
        "run",
        "soap",
        "train.lr=1e-5",
        "model.lora.rank=8",
        "--profile",
        "smoke",
        "--out",
        "d",
        "--resume",
    )
    done = invoke(*words, api=api)
    assert done.exit_code == 0, done.output
    overrides = {"train.lr": 1e-5, "model.lora.rank": 8}
    options = {"profile": "smoke", "out": Path("d"), "resume": True, "price_per_hour": None}
    assert api.calls == [("run", ("soap", overrides), options)]
    assert "50.0 [25.0, 75.0]" in done.stdout  # strict, in percent
    assert "+0.50 [+0.25, +0.75]" in done.stdout
    assert "runs/soap" in done.stdout
    assert "training 1/2" in done.stderr


def test_verbs_on_a_run_directory_hand_it_over() -> None:
    api = FakeApi()
    for words in (("train", "r"), ("eval", "r", "evaluate.tasks=3"), ("report", "r")):
        assert invoke(*words, api=api).exit_code == 0
    assert api.calls == [
        ("train", (Path("r"),), {}),
        ("evaluate", (Path("r"), {"evaluate.tasks": 3}), {"price_per_hour": None}),
        ("report", (Path("r"),), {"price_per_hour": None}),
    ]


@pytest.mark.parametrize("words", [("run", "soap"), ("eval", "r"), ("report", "r")])
def test_the_price_of_the_machine_is_handed_over(words: tuple[str, ...]) -> None:
    api = FakeApi()
    assert invoke(*words, "--price-per-hour=2.5", api=api).exit_code == 0
    assert api.calls[0][2]["price_per_hour"] == 2.5


def test_train_ends_with_what_was_learned() -> None:
    shown = invoke("train", "r").stdout
    warmup = next(line for line in shown.splitlines() if "warmup" in line)
    train = next(line for line in shown.splitlines() if "train " in line)
    assert "2.000, 1.000" in warmup and warmup.count(" - ") == 2
    assert "0.25, 0.75" in train and "50.0, 100.0" in train and " 2 " in train


@pytest.mark.parametrize(
    "words",
    [
        ("synth", "soap", "synth.train=9", "--out", "d"),
        ("synth", "--out", "d", "soap", "synth.train=9"),
        ("synth", "make", "soap", "synth.train=9", "--out", "d"),
    ],
)
def test_synth_takes_a_recipe_without_saying_make(words: tuple[str, ...]) -> None:
    api = FakeApi()
    done = invoke(*words, api=api)
    assert done.exit_code == 0, done.output
    assert api.calls == [("synth", ("soap", Path("d"), {"synth.train": 9}), {"profile": None})]
    assert "150, 200, 300" in done.stdout
    assert "generated: 1,030" in done.stdout


def test_synth_verify_of_nothing_is_a_data_error(tmp_path: Path) -> None:
    done = invoke("synth", "verify", str(tmp_path))
    assert done.exit_code == DataError.exit_code
    assert "certificate.json" in done.stderr


@pytest.mark.parametrize("error", [DataError("rows"), ModelError("no config"), RunExistsError("there")])
def test_a_users_mistake_is_one_message_and_its_exit_code(error: Any) -> None:
    done = invoke("run", "soap", api=FakeApi(error))
    assert done.exit_code == error.exit_code
    assert f"error: {error}" in done.stderr
    assert "Traceback" not in done.output


def test_ctrl_c_and_a_pause_say_how_to_go_on() -> None:
    words = ("run", "my job.yaml", "seed=3", "--profile", "smoke", "--out", "d")
    on = "go on with: fivestones run 'my job.yaml' seed=3 --profile=smoke --out=d --resume"
    done = invoke(*words, api=FakeApi(KeyboardInterrupt()))
    assert done.exit_code == 130
    assert f"interrupted; {on}" in done.stderr
    paused = invoke(*words, api=FakeApi(JudgePausedError("too much is unscored")))
    assert paused.exit_code == JudgePausedError.exit_code
    assert on in paused.stderr


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "the disk is full (x)"),
        (RuntimeError("SafetensorError: No space left on device"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "cannot read or write (/x)"),
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "train.token_budget"),
    ],
)
def test_disk_and_memory_are_the_users_to_mend(error: Exception, part: str) -> None:
    done = invoke("run", "soap", api=FakeApi(error))
    assert done.exit_code == 5
    assert part in done.stderr


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("fivestones.doctor"), "examine", int)  # fails in no code of the user's
    assert isinstance(invoke("doctor", "soap").exception, TypeError)
    done = invoke("run", "soap", api=FakeApi(ZeroDivisionError("mine")))
    assert isinstance(done.exception, SystemExit)
    assert f"a fault in code of your own: {__file__}, line" in done.stderr


def test_whose_fault_it_is() -> None:
    def of(call: Callable[[], Any]) -> str | None:
        with pytest.raises(Exception) as caught:
            call()
        return fault_of(caught.value)

    assert "in <lambda>: ZeroDivisionError" in str(of(lambda: 1 / 0))
    assert "in <lambda>: json.decoder.JSONDecodeError" in str(of(lambda: json.loads("{")))  # theirs to mend
    assert of(lambda: parse_overrides(["x"])) is None  # fails in fivestones
    try:
        exec(compile("1 / 0", "numpy/random/_generator.pyx", "exec"))
    except ZeroDivisionError as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this file
        assert fault_of(error) is None


def test_a_bad_override_is_told_before_anything_runs() -> None:
    api = FakeApi()
    done = invoke("run", "soap", "train.steps", api=api)
    assert done.exit_code == 2
    assert "key=value" in done.stderr
    assert api.calls == []


def test_init_writes_a_recipe_that_loads(tmp_path: Path) -> None:
    rows = [{"text": f"printer {i} is on fire", "urgent": i % 2 == 0} for i in range(60)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = invoke("init", "tickets", "--from", str(data), "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    from fivestones.recipe_load import load_recipe

    assert load_recipe(tmp_path / "tickets.yaml").environment.kind == "structured"


def test_plain_progress_tells_stages_and_not_every_step() -> None:
    times = iter([0.0, 1.0, 2.0, 20.0, 21.0, 22.0])
    out = StringIO()
    with Bars(Console(file=out, width=200), clock=lambda: next(times)) as bars:
        for step in range(1, 6):
            bars(step, 5, f"training: reward 0.{step}")
        bars(1, 3, "evaluation: base")
    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["training", "1/5"],
        ["training", "4/5"],
        ["training", "5/5"],
        ["evaluation", "1/3"],
    ]
    assert "reward 0.4" in lines[1]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fivestones.cli import main\nsys.argv = ['fivestones', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('MODULES', *sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = python(code)
    assert "Usage" in done.stdout, done.stderr
    loaded = set(done.stdout.rpartition("MODULES")[2].split())
    assert not loaded & {
        "torch",
        "transformers",
        "duckdb",
        "numpy",
        "jsonschema",
        "jinja2",
        "pydantic",
        "yaml",
    }


def test_switches_stand_before_a_command_runs() -> None:
    from fivestones import environ

    seen: dict[str, str] = {}

    class Api(FakeApi):
        def report(self, path: Path, price_per_hour: float | None) -> Made:
            seen.update(os.environ)
            return Made()

    assert invoke("report", "r", api=Api()).exit_code == 0
    assert environ.unset(environ=seen) == []
    assert environ.unset(online=True, environ=seen) == list(environ.OFFLINE)


def test_version_and_schema() -> None:
    import fivestones

    assert invoke("--version").stdout.split() == ["fivestones", fivestones.__version__]
    assert json.loads(invoke("schema").stdout)["properties"]["train"]


def test_importing_a_stage_does_not_hide_the_verb_of_the_same_name() -> None:
    code = (
        "import fivestones, types, sys\nimport fivestones.evaluate, fivestones.report\n"
        "assert 'fivestones.report' in sys.modules\n"
        "assert 'report' not in vars(fivestones) and 'evaluate' not in vars(fivestones)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
