"""What a run remembers of its inputs, and what an evaluation may change: on a tiny model, end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import fivestones
import tiny_job
from fivestones.errors import RunExistsError, UsageError
from fivestones.evaluate.records import EvalRecord, read_records
from fivestones.runlog import read_jsonl

COUNTS = {**tiny_job.COUNTS, "evaluate.contestants": ["base", "base_examples", "trained"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its rows, real cases, a model, and the finished run of it."""
    folder = tmp_path_factory.mktemp("api")
    tiny_job.model_folder(folder / "model")
    tiny_job.write_jsonl(folder / "tickets.jsonl", tiny_job.rows(24))
    tiny_job.tickets(folder, folder / "tickets.jsonl")
    tiny_job.write_jsonl(folder / "real.jsonl", tiny_job.rows(3))
    start(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy whose recipe and run name the copy's own files."""
    copy = Path(shutil.copytree(whole, tmp_path / "job"))
    for path in (copy / "tickets.yaml", copy / "run" / "recipe.yaml"):
        path.write_text(path.read_text().replace(str(whole), str(copy)))
    return copy


def start(folder: Path, *, resume: bool = False, **changes: Any) -> fivestones.Run:
    counts = {
        **COUNTS,
        "model.source": str(folder / "model"),
        "evaluate.extra": {"real": str(folder / "real.jsonl")},
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return fivestones.run(folder / "tickets.yaml", counts, out=folder / "run", resume=resume)


def records(run: Path, name: str) -> list[EvalRecord]:
    return read_records(run / "eval" / f"{name}.jsonl")


def edit(path: Path) -> None:
    """One byte more, or another weight: still readable."""
    content = path.read_bytes()
    path.write_bytes(
        content[:-1] + bytes([content[-1] ^ 1]) if path.suffix == ".safetensors" else content + b"\n"
    )


# inputs


def test_the_manifest_holds_the_digests_of_all_inputs(whole: Path) -> None:
    manifest = json.loads((whole / "run" / "manifest.json").read_text())
    assert set(manifest["inputs"]) == {"files.train", "evaluate.extra.real", "model", "judge"}
    summary = json.loads((whole / "run" / "summary.json").read_text())
    assert summary["contract"]["inputs"] == manifest["inputs"]


def test_a_finished_run_with_the_same_inputs_resumes_and_makes_nothing_anew(folder: Path) -> None:
    before = (folder / "run" / "eval" / "trained.jsonl").read_bytes()
    start(folder, resume=True)
    assert (folder / "run" / "eval" / "trained.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tickets.jsonl", "files.train"),
        ("real.jsonl", "evaluate.extra.real"),
        ("model/model.safetensors", "model"),
    ],
)
def test_resume_refuses_other_inputs_and_names_them(folder: Path, file: str, name: str) -> None:
    edit(folder / file)
    with pytest.raises(RunExistsError, match=f"since it was started, {name} changed"):
        start(folder, resume=True)


def test_the_verb_train_refuses_other_rows_but_not_other_real_cases(folder: Path) -> None:
    edit(folder / "real.jsonl")
    fivestones.train(folder / "run")
    edit(folder / "tickets.jsonl")
    with pytest.raises(RunExistsError, match=r"files\.train changed"):
        fivestones.train(folder / "run")


@pytest.mark.parametrize(
    ("file", "name"), [("tickets.jsonl", "files.train"), ("model/model.safetensors", "model")]
)
def test_eval_refuses_other_rows_and_another_base_model(folder: Path, file: str, name: str) -> None:
    """The test split is drawn from the rows of `files.train`: with more of them trained ones could enter."""
    edit(folder / file)
    with pytest.raises(RunExistsError, match=f"{name} changed".replace(".", r"\.")):
        fivestones.evaluate(folder / "run")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"started": "x"}'])
def test_a_run_without_a_readable_manifest_cannot_go_on(folder: Path, content: str | None) -> None:
    manifest = folder / "run" / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    with pytest.raises(RunExistsError, match=r"manifest\.json cannot be read"):
        start(folder, resume=True)


def test_a_mended_judge_goes_on_and_is_recorded_with_its_step(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = folder / "run"
    first = json.loads((run / "manifest.json").read_text())
    assert first["judges"] == [{"digest": first["inputs"]["judge"], "from_step": 1}]
    start(folder, resume=True, judge__retries=2)
    second = json.loads((run / "manifest.json").read_text())
    assert second["judges"] == [
        *first["judges"],
        {"digest": second["inputs"]["judge"], "from_step": COUNTS["train.steps"] + 1},
    ]
    assert caplog.text.count("the judge is another one from step 3 on") == 1
    assert fivestones.Run(run).recipe.judge.retries == 2
    caplog.clear()
    start(folder, resume=True, judge__retries=2)
    assert "judge" not in caplog.text
    with pytest.raises(UsageError, match=r"train\.lr"):
        start(folder, resume=True, judge__retries=2, train__lr=0.5)


def test_metrics_are_those_of_the_run(whole: Path) -> None:
    rows = fivestones.Run(whole / "run").metrics
    assert [row["step"] for row in rows if row["phase"] == "train"] == [1, 2]


# what eval may change


def test_other_examples_in_the_prompt_are_asked_anew(folder: Path) -> None:
    run = folder / "run"
    before = {name: len(records(run, name)) for name in ("base", "base_examples")}
    fivestones.evaluate(run, {"evaluate.examples": 1})
    after = {name: len(records(run, name)) for name in before}
    assert after == {"base": before["base"], "base_examples": 2 * before["base_examples"]}


def test_other_real_cases_with_the_same_ids_are_asked_anew(folder: Path) -> None:
    other = [{**row, "ticket": f"again: {row['ticket']}"} for row in tiny_job.rows(3)]
    path = tiny_job.write_jsonl(folder / "other.jsonl", other)
    fivestones.evaluate(folder / "run", {"evaluate.extra": {"real": str(path)}})
    made = [r for r in records(folder / "run", "trained") if r.dataset == "real"]
    assert len(made) == 6
    assert len({r.key for r in made}) == 6


def test_a_checkpoint_of_other_weights_is_asked_anew(folder: Path) -> None:
    run = folder / "run"
    (weights,) = (run / "checkpoints").glob("train-*/model.safetensors")
    edit(weights)
    fivestones.evaluate(run)
    assert len(records(run, "trained")) == 2 * len(records(run, "base"))


def test_passes_of_the_imitation_cannot_change_at_eval(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"imitation_passes is a setting of training: .* has 1, asked 2"):
        fivestones.evaluate(folder / "run", {"evaluate": {"imitation_passes": 2}})


def test_another_margin_is_recorded_beside_the_declared_one(folder: Path) -> None:
    run = fivestones.evaluate(folder / "run", {"evaluate.margin": 0.7})
    assert run.summary["method"]["margin"] == 0.7
    assert run.summary["paired"][0]["margin"] == 0.7
    assert run.summary["contract"]["overrides"] == {"evaluate.margin": {"declared": 0.1, "used": 0.7}}
    assert "set at the evaluation; declared before the run: 0.10" in run.report.read_text()
    again = fivestones.evaluate(folder / "run")
    assert (again.summary["method"]["margin"], again.summary["contract"]["overrides"]) == (0.1, {})


# time and progress


def test_every_stage_is_timed_and_the_report_tells_what_it_cost(whole: Path) -> None:
    rows = read_jsonl(whole / "run" / "timings.jsonl")
    stages = {(row["phase"], row.get("contestant"), row.get("dataset")) for row in rows}
    asked = {("evaluate", name, data) for name in COUNTS["evaluate.contestants"] for data in ("test", "real")}
    assert stages == {("warmup", None, None), ("train", None, None), *asked}
    assert all(row["total"] > 0 and row["peak_memory_bytes"] > 1 << 20 for row in rows)
    page = fivestones.report(whole / "run", price_per_hour=2.0).report.read_text()
    for stage in ("warm-up", "GRPO", "evaluation of base_examples", "all stages", "at 2.00 an hour"):
        assert stage in page


def test_synthesis_is_timed_once(whole: Path, tmp_path: Path) -> None:
    few = {
        **COUNTS,
        "model.source": str(whole / "model"),
        "synth.train": 6,
        "synth.test": 4,
        "synth.workers": 1,
        "evaluate.tasks": 1,
        "evaluate.contestants": ["base"],
        "generation.max_tokens": 700,
        "train.steps": 0,
        "warmup.kind": "none",
    }
    for resume in (False, True):
        fivestones.run("soap", few, out=tmp_path / "run", resume=resume)
    rows = read_jsonl(tmp_path / "run" / "timings.jsonl")
    assert [row["phase"] for row in rows] == ["synth", "evaluate"]


def test_progress_of_an_evaluation_moves_with_each_completion(folder: Path) -> None:
    told: list[tuple[int, int, str]] = []
    fivestones.evaluate(
        folder / "run",
        {"evaluate.tasks": 4, "evaluate.examples": 1, "evaluate.extra": {}},
        progress=lambda *now: told.append(now),
    )
    moved = [done for done, total, text in told if (total, text) == (4, "evaluate base_examples on test")]
    assert moved == sorted(moved)
    assert (moved[0], moved[-1]) == (0, 4)
    assert len(moved) > 2
