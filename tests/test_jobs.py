"""Whole jobs end to end on a tiny random model, with the network shut: a user's own rows, and clinical
notes."""

from __future__ import annotations

import ipaddress
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import fivestones
import tiny_job
from fivestones.build_data import load_data
from fivestones.errors import DataError
from fivestones.recipe_load import load_recipe

CONTESTANTS = {"base", "base_examples", "imitation", "trained"}
SOAP = {
    "synth.train": 6,
    "synth.test": 4,
    "synth.workers": 1,
    "evaluate.tasks": 3,
    "evaluate.examples": 1,
    "generation.max_tokens": 700,
    "train.steps": 1,
    "train.tasks_per_step": 1,
    "warmup.references": 2,
    "rollout.group_size": 2,
}
_reached: list[str] = []  # addresses outside this machine that somebody asked for


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"  # a Unix socket is local
    elif event == "socket.getaddrinfo":
        host = arguments[0] or "127.0.0.1"
    else:
        return
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        local = ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        local = text == "localhost"
    if not local:
        _reached.append(text)
        raise OSError(f"the network is shut: {event} to {text}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _shut_network() -> Any:
    """Nothing outside this machine is reached, by whatever code and even if the attempt is swallowed."""
    _reached.clear()
    yield
    assert not _reached


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_job.model_folder(tmp_path_factory.mktemp("model"))


def changed(model: Path, **changes: Any) -> dict[str, Any]:
    return {
        **tiny_job.COUNTS,
        "model.source": str(model),
        **{key.replace("__", "."): value for key, value in changes.items()},
    }


def check_estimate(value: dict[str, Any], top: float) -> None:
    assert {"mean", "low", "high", "n"} <= value.keys()
    assert 0 <= value["low"] <= value["mean"] <= value["high"] <= top


def check_summary(run: fivestones.Run, contestants: set[str], sections: list[str], points: float) -> None:
    summary = run.summary
    assert set(summary["contestants"]) == contestants
    for found in summary["contestants"].values():
        check_estimate(found["strict"], 1)
        check_estimate(found["lenient"], 1)
        check_estimate(found["total"], points)
        assert list(found["sections"]) == sections
        for section in found["sections"].values():
            check_estimate(section, 1)
    pairs = {(p["a"], p["b"]) for p in summary["paired"]}
    assert {("trained", other) for other in contestants - {"trained"}} <= pairs
    for pair in summary["paired"]:
        assert {"a", "b", "metric", "mean", "low", "high", "n", "clusters"} <= pair.keys()
    assert "<html" in run.report.read_text("utf-8")
    assert (run.path / "report.md").read_text("utf-8")
    assert json.loads((run.path / "manifest.json").read_text())["finished"]
    assert fivestones.Run(run.path).recipe == run.recipe


def metrics(run: fivestones.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def phases(run: fivestones.Run) -> list[str]:
    return list(dict.fromkeys(row["phase"] for row in metrics(run)))


def asked(run: fivestones.Run, step: int) -> set[str]:
    """The levels of the tasks of a training step of finqa."""
    rows = load_data(load_recipe(run.path / "recipe.yaml"), run.path / "data").rows["train"]
    levels = {row["id"]: row["level"] for row in rows}
    lines = (run.path / "rollouts" / f"step-{step:06}.jsonl").read_text().splitlines()
    return {levels[json.loads(line)["task_id"]] for line in lines}


def test_a_network_that_is_asked_for_is_noticed() -> None:
    import socket

    with pytest.raises(OSError, match="the network is shut"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert _reached.pop() == "192.0.2.1"


def test_a_job_without_code_runs_from_its_rows_to_its_report(model: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    run = fivestones.run(
        tiny_job.tickets(tmp_path),
        changed(model),
        out=tmp_path / "run",
        progress=lambda done, total, text: told.append((done, total, text)),
    )
    check_summary(run, CONTESTANTS, ["category", "priority", "summary"], 4.0)
    assert run.summary["contestants"]["trained"]["strict"]["n"] == 4
    assert phases(run) == ["warmup", "train", "imitation"]
    assert {text.split(":")[0] for _, _, text in told} >= {"warmup", "imitation", "train"}
    assert all(done <= total for done, total, _ in told)


def test_tool_use_runs_from_its_world_to_its_report(tmp_path: Path) -> None:
    """The real templates and tools with a model that knows nothing: the way is whole, the figures are not."""
    wide = tiny_job.model_folder(tmp_path / "model", context=32768)
    counts = changed(wide, generation__max_tokens=300, evaluate__examples=1, warmup__references=2)
    few = {"world.train": 12, "world.test": 4, "world.multi_test": 2, "evaluate.tasks": 0}
    few = {**few, "environment.finqa.curriculum": True, "environment.finqa.levels": ["L0", "L1"]}
    run = fivestones.run("finqa", {**counts, **few}, profile="smoke", out=tmp_path / "run")
    check_summary(run, {"base", "trained"}, [], 1.0)
    summary = run.summary
    assert {s["value"] for s in summary["slices"] if s["tag"] == "tables"} == {"single", "multi"}
    assert {s["value"] for s in summary["slices"] if s["held_out"]} == {"multi", "held out"}
    told = summary["behaviours"]
    assert set(told["described"]) >= {"no_tool_answer", "uninspected_query", "mental_arithmetic"}
    assert "What it learned" in run.report.read_text("utf-8")
    assert phases(run) == ["warmup", "train"]
    rows = [row for row in metrics(run) if row["phase"] == "train"]
    assert all(0 <= row["behaviours/no_final_answer"] <= 1 for row in rows)
    assert asked(run, 1) == {"L0"} and asked(run, 2) == {"L0", "L1"}
    again = fivestones.run(
        "finqa", {**counts, **few}, profile="smoke", out=tmp_path / "run", resume=True
    )  # all that is there is used
    assert again.summary == summary


def test_the_trained_folder_is_loaded_by_transformers_alone(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    few = changed(model, train__steps=1, evaluate__contestants=["trained"])
    run = fivestones.run(tiny_job.tickets(tmp_path), few, out=tmp_path / "run")
    (folder,) = (run.path / "checkpoints").glob("train-*")
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert loaded.num_parameters() == AutoModelForCausalLM.from_pretrained(model).num_parameters()


@pytest.mark.parametrize("kind", ["self", "auto", "none"])
def test_each_kind_of_warm_up_runs(model: Path, tmp_path: Path, kind: str) -> None:
    job = changed(model, warmup__kind=kind, evaluate__contestants=["base", "trained"], train__steps=1)
    run = fivestones.run(tiny_job.tickets(tmp_path), job, out=tmp_path / "run")
    check_summary(run, {"base", "trained"}, ["category", "priority", "summary"], 4.0)
    chosen = json.loads((run.path / "stages" / "warmup.json").read_text())["kind"]
    # a random model never passes the gate, and the tickets have references
    assert chosen == {"auto": "references"}.get(kind, kind)
    assert phases(run) == (["train"] if kind == "none" else ["warmup", "train"])
    assert "NaN" not in (run.path / "metrics.jsonl").read_text()  # it is no JSON


@pytest.mark.parametrize("constrained", [True, False])
def test_constrained_decoding_makes_a_random_model_pass_the_gate(
    model: Path, tmp_path: Path, constrained: bool
) -> None:
    job = changed(
        model,
        warmup__kind="self",
        warmup__constrained=constrained,
        generation__max_tokens=400,
        evaluate__contestants=["trained"],
        train__steps=0,
    )
    run = fivestones.run(tiny_job.tickets(tmp_path), job, out=tmp_path / "run")
    rows = metrics(run)
    rates = [row["scaffold_gate_rate"] for row in rows if row["phase"] == "warmup"]
    assert (min(rates) > 0.9) if constrained else (max(rates) == 0.0)


def test_lora_trains_and_is_merged(model: Path, tmp_path: Path) -> None:
    job = changed(model, model__lora={"rank": 2}, evaluate__contestants=["base", "trained"])
    run = fivestones.run(tiny_job.tickets(tmp_path), job, out=tmp_path / "run")
    check_summary(run, {"base", "trained"}, ["category", "priority", "summary"], 4.0)
    assert not list((run.path / "checkpoints").rglob("adapter_config.json"))


def test_evaluating_again_with_more_data_does_not_train_again(model: Path, tmp_path: Path) -> None:
    job = changed(model, evaluate__contestants=["base", "trained"])
    run = fivestones.run(tiny_job.tickets(tmp_path), job, out=tmp_path / "run")
    metrics = (run.path / "metrics.jsonl").read_bytes()
    real = tiny_job.write_jsonl(tmp_path / "real.jsonl", tiny_job.rows(3))
    again = fivestones.evaluate(run.path, {"evaluate.extra": {"real": str(real)}})
    assert (run.path / "metrics.jsonl").read_bytes() == metrics
    assert again.summary["extra"]["real"]["contestants"]["trained"]["strict"]["n"] == 3


def test_clinical_notes_run_with_real_cases_beside_them(model: Path, tmp_path: Path) -> None:
    real = tiny_job.write_jsonl(
        tmp_path / "real.jsonl",
        [
            {
                "dialogue": "Doctor: What is it?\nPatient: A cough for three days.",
                "note": "Cough for 3 days.",
            },
            {"dialogue": "Doctor: Any fever?\nPatient: No, no fever.", "note": "Denies fever."},
        ],
    )
    job = changed(model, **SOAP, evaluate__extra={"clinic": str(real)})
    run = fivestones.run("soap", job, out=tmp_path / "run")
    check_summary(run, CONTESTANTS, ["S", "O", "A", "P"], 5.0)
    assert run.summary["contestants"]["trained"]["total"]["n"] == 3
    clinic = run.summary["extra"]["clinic"]["contestants"]["trained"]
    assert clinic["total"]["n"] == 2
    assert list(clinic["sections"]) == ["note"]  # a clinician's note is judged as one text
    for name in ("train.parquet", "test.parquet", "certificate.json"):
        assert (run.path / "data" / name).is_file()
    assert phases(run) == ["warmup", "train", "imitation"]


@pytest.mark.parametrize("lacking", ["dialogue", "note"])
def test_real_cases_without_their_column_are_refused_before_training(
    model: Path, tmp_path: Path, lacking: str
) -> None:
    row = {"dialogue": "Doctor: What is it?\nPatient: A cough.", "note": "Cough."}
    del row[lacking]
    real = tiny_job.write_jsonl(tmp_path / "real.jsonl", [row])
    with pytest.raises(DataError, match=f"`{lacking}`"):
        fivestones.run(
            "soap", changed(model, **SOAP, evaluate__extra={"clinic": str(real)}), out=tmp_path / "run"
        )
    assert not (tmp_path / "run" / "checkpoints").exists()
