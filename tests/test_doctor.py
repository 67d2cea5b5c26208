"""The doctor: each check on its own, the estimates, and the whole on recipes that cannot work."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import tiny_job
from fivestones.doctor import examine
from fivestones.errors import UsageError
from fivestones.estimate import (
    FILLED,
    HELD,
    RUNTIME_BYTES,
    Measured,
    ModelSize,
    Rates,
    Rows,
    cost,
    memory,
    memory_after,
    seconds,
    synth_rows,
)
from fivestones.machine import (
    CORE,
    MOST,
    TRAIN,
    available_memory,
    check_disk,
    check_load,
    check_memory,
    check_peak,
    check_python,
    check_threads,
    check_versions,
    cores,
    pinned,
)
from fivestones.recipe_load import load_recipe

GIB = 1 << 30
SMOLLM2 = ModelSize(
    layers=30, hidden=576, feed_forward=1536, heads=9, kv_heads=3, head_dim=64, vocabulary=49152, tied=True
)
ROWS = Rows(train=400, test=240, prompt=450.0)


def test_parameters_of_the_embedded_model() -> None:
    assert SMOLLM2.parameters == 134_515_008  # what transformers counts


def test_a_size_is_read_from_a_hugging_face_config() -> None:
    config = {
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    }
    assert ModelSize.of(config) == SMOLLM2
    with pytest.raises(KeyError):
        ModelSize.of({"hidden_size": 3})


def test_the_designs_measured_step_is_estimated_within_a_factor_of_two() -> None:
    # measured by the design: P/C/G 700/200/8, forward + backward 7.0 s at 2.4 TFLOP/s; 240 to 300 tokens/s
    full = ["generation.max_tokens=333", "train.tasks_per_step=1", "train.steps=1", "rollout.slots=32"]
    recipe = load_recipe("soap", None, full)
    told = seconds(recipe, SMOLLM2, Rows(train=1, test=0, prompt=700.0), Rates.assumed(2.4e12))
    assert 0.5 * (7.0 + 1600 / 270) < told["training"] < 2 * (7.0 + 1600 / 270)


def test_estimates_follow_the_recipe() -> None:
    few = "evaluate.slots=8"  # so that training has the peak
    laptop = load_recipe("soap", None, ["train.steps=40", few])
    base = cost(laptop, SMOLLM2, ROWS, Rates.assumed(2e12))
    assert set(base.seconds) == {"synthesis", "warm-up", "training", "evaluation"}
    more = load_recipe("soap", None, ["train.steps=80", few])
    assert seconds(more, SMOLLM2, ROWS, Rates.assumed(2e12))["training"] == pytest.approx(
        2 * base.seconds["training"]
    )
    assert seconds(laptop, SMOLLM2, ROWS, Rates.assumed(4e12))["training"] == pytest.approx(
        base.seconds["training"] / 2
    )
    for frugal in ("model.gradient_checkpointing=true", "model.lora.rank=8", "train.token_budget=512"):
        assert memory(load_recipe("soap", None, [frugal, few]), SMOLLM2, ROWS) < base.memory
    assert 2 * GIB < base.memory < 8 * GIB
    kl = load_recipe("soap", None, ["train.kl=0.1", few])
    assert memory(kl, SMOLLM2, ROWS) == base.memory + 2 * SMOLLM2.parameters


def test_a_run_comes_to_hold_more_than_its_first_step() -> None:
    small = ["evaluate.slots=1"]  # else evaluation has the peak
    full = load_recipe("soap", None, small)
    standing = RUNTIME_BYTES + 18 * SMOLLM2.parameters
    for passing in (GIB // 2, GIB):
        told = memory_after(standing + passing, full, SMOLLM2, ROWS)
        assert told == pytest.approx(standing + HELD * passing)
    # free pages are given back above MOST
    assert memory_after(standing + 6 * GIB, full, SMOLLM2, ROWS) == standing + 6 * GIB > MOST
    # with LoRA loading took more than the step, which then shows nothing: as estimated
    lora = load_recipe("soap", None, [*small, "model.lora.rank=8"])
    loading = RUNTIME_BYTES + 6 * SMOLLM2.parameters
    assert memory_after(loading, lora, SMOLLM2, ROWS) == memory(lora, SMOLLM2, ROWS)
    none = load_recipe("soap", None, ["warmup.kind=none"])
    assert seconds(none, SMOLLM2, ROWS, Rates.assumed(2e12))["warm-up"] == 0


def test_longer_dialogues_have_longer_prompts() -> None:
    short, long = synth_rows(load_recipe("soap")), synth_rows(load_recipe("soap", "full"))
    assert short is not None
    assert long is not None
    assert long.prompt > 3 * short.prompt


def test_versions() -> None:
    have = dict.fromkeys(CORE + TRAIN, "1.0")
    assert check_versions(have, have).state == "ok"
    assert check_versions({**have, "torch": "1.0+cpu"}, have).state == "ok"
    other = check_versions({**have, "torch": "1.1"}, have)
    assert (other.state, other.found) == ("warn", "torch 1.1 (tested: 1.0)")
    lacking = check_versions(dict.fromkeys(CORE, "1.0"), have)
    assert lacking.failed
    assert "fivestones[train]" in lacking.advice


def test_every_package_that_is_checked_is_pinned() -> None:
    assert set(CORE + TRAIN) <= pinned().keys()


def test_python_threads_memory_and_disk() -> None:
    assert check_python((3, 12)).state == "ok"
    assert check_python((3, 13)).failed
    assert check_threads(cores() + 1, {}).state == "warn"
    assert check_threads(0, {}).state == "ok"
    assert (check_load(cores() * 0.6).state, check_load(cores() * 0.4).state) == ("warn", "ok")
    assert [check_memory(n * GIB, 8 * GIB).state for n in (4, 8, 13)] == ["ok", "warn", "fail"]
    assert [check_peak(n * GIB, (n + 1) * GIB, 10 * GIB).state for n in (4, 9, 11)] == ["ok", "warn", "fail"]
    assert check_memory(GIB, None).state == check_peak(GIB, GIB, None).state == "ok"
    assert [check_disk(n * GIB, Path(), 8 * GIB).state for n in (4, 8, 9)] == ["ok", "warn", "fail"]
    free = available_memory()
    assert free is None or free > 0


def states(folder: Path, recipe: dict[str, object]) -> dict[str, tuple[str, str]]:
    path = folder / "job.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    return {check.name: (check.state, check.found) for check in examine(str(path), probe=False)}


def test_a_missing_data_file_and_a_missing_model_fail_with_their_names(tmp_path: Path) -> None:
    found = states(tmp_path, {"name": "a", "files": {"train": "no.jsonl"}, "model": {"source": "./none"}})
    assert found["data"][0] == "fail"
    assert "no.jsonl" in found["data"][1]
    assert found["model"][0] == "fail"


def test_a_data_file_is_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join('{"text": "hello"}\n' for _ in range(250)), encoding="utf-8")
    found = states(tmp_path, {"name": "a", "files": {"train": "rows.jsonl"}, "model": {"source": "./none"}})
    assert found["data"][0] == "ok"
    assert "225 + 25 rows" in found["data"][1]


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe\.yaml"):
        examine(str(tmp_path))


def test_the_longest_sample_is_tried_and_the_run_estimated_from_it(tmp_path: Path) -> None:
    job = tiny_job.tickets(tmp_path)
    model = tiny_job.model_folder(tmp_path / "model")
    changes = {**tiny_job.COUNTS, "model.source": str(model)}
    found = {check.name: check for check in examine(str(job), changes)}
    assert found["prompts"].state == "ok"
    assert "the context 16,384" in found["prompts"].found
    tried = found["longest sample"]
    assert tried.state == "ok"
    assert "480 new tokens" in tried.found  # 2 groups of 2, to the last of 120 tokens
    assert found["memory (measured)"].found.endswith("free")
    assert found["memory (measured)"].state == "ok"
    assert "training" in found["time (measured)"].found
    assert not list(tmp_path.glob("runs"))


def test_clinical_notes_that_are_not_made_yet_are_sampled(tmp_path: Path) -> None:
    model = tiny_job.model_folder(tmp_path / "model")
    changes = {**tiny_job.COUNTS, "model.source": str(model), "generation.max_tokens": 800}
    found = {check.name: check for check in examine("soap", {**changes, "synth.test": 5}, probe=False)}
    assert found["prompts"].state == "ok"
    assert "longest sample" not in found


@pytest.mark.parametrize(("split", "state"), [("test", "fail"), ("train", "warn")])
def test_a_prompt_longer_than_the_context_is_named(tmp_path: Path, split: str, state: str) -> None:
    rows = {"train": tiny_job.rows(24)[:16], "test": tiny_job.rows(24)[16:]}
    rows[split][2]["ticket"] *= 300
    for name, part in rows.items():
        tiny_job.write_jsonl(tmp_path / f"{name}.jsonl", part)
    job = tiny_job.tickets(tmp_path, tmp_path / "train.jsonl")
    changes = {"files.test": str(tmp_path / "test.jsonl"), "evaluate.tasks": 0}
    model = str(tiny_job.model_folder(tmp_path / "model"))
    checks = examine(str(job), {**tiny_job.COUNTS, **changes, "model.source": model}, probe=False)
    found = next(check for check in checks if check.name == "prompts")
    assert found.state == state
    assert (f"`{rows[split][2]['id']}`" if split == "test" else "1 of 16 train prompts") in found.found


def test_measured_rates_reproduce_what_was_measured() -> None:
    recipe = load_recipe("soap", None, ["evaluate.contestants=[base]", "warmup.kind=none", "train.steps=1"])
    rows = Rows(train=4, test=0, prompt=500.0)
    new = int(FILLED * recipe.generation.max_tokens * 32)  # 4 tasks of 8 rollouts
    rates = Rates.measured(
        SMOLLM2,
        prefill=Measured(2000, 3.0, 4, 500.0),
        decode=Measured(new, 20.0),
        update=Measured(2000 + new, 50.0, 4, 500.0),
        sequences=32,
    )
    assert seconds(recipe, SMOLLM2, rows, rates)["training"] == pytest.approx(73.0, rel=1e-3)


def test_a_trial_that_would_not_fit_is_not_made(tmp_path: Path) -> None:
    job, model = tiny_job.tickets(tmp_path), tiny_job.model_folder(tmp_path / "model")
    large = {"rollout.slots": 10**9, "model.source": str(model)}
    found = {check.name: check for check in examine(str(job), {**tiny_job.COUNTS, **large})}
    assert found["memory (estimate)"].failed
    assert found["longest sample"].found.startswith("not tried")
    assert "time (measured)" not in found


def test_a_trial_on_a_cpu_is_bounded_and_adds_the_memory_that_it_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from fivestones import preflight

    job, model = tiny_job.tickets(tmp_path), tiny_job.model_folder(tmp_path / "model")
    long = {
        **tiny_job.COUNTS,
        "model.source": str(model),
        "model.device": "cpu",
        "generation.max_tokens": 9000,
        "train.token_budget": 64,
    }
    stages = preflight.stages_for(load_recipe(job, None, long))
    plain = preflight.trial(stages)
    assert not caplog.records  # answers that were made up are no rollouts of the policy
    assert plain.new_tokens <= preflight.TRIED_TOKENS < 4 * 9000
    missing = 4 * 9000 - plain.new_tokens
    assert preflight.trial(stages, 1000).memory >= plain.memory + 1000 * missing


def test_a_model_on_the_hub_is_looked_for_there(tmp_path: Path) -> None:
    """The command line shuts the hub before the recipe is read; the cause of a failure is the true one."""
    (tmp_path / "rows.jsonl").write_text('{"text": "hello"}\n' * 20)
    tree = {
        "name": "a",
        "files": {"train": "rows.jsonl"},
        "model": {"source": "nobody/nothing", "online": True},
    }
    (tmp_path / "job.yaml").write_text(json.dumps(tree))
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"), "COLUMNS": "400"}
    done = subprocess.run(
        tiny_job.command("doctor", "job.yaml", "--quick"),
        cwd=tmp_path,
        env=tiny_job.environment(**closed),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "model.online is true: the hub may be asked" in done.stdout, done.stderr
    assert "offline" not in done.stdout.lower()
