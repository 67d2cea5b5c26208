"""The benchmarks' own arithmetic, and that each script starts; what they measure is no test's business."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import episodes_run
from fivestones.estimate import ModelSize
from fivestones.evaluate.records import append_records, write_cases

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))  # scripts, not a package

import across_runs  # noqa: E402
import bound  # noqa: E402
import common  # noqa: E402
import peers  # noqa: E402
import scaling  # noqa: E402
from common import Shape  # noqa: E402

SIZE = ModelSize(
    layers=2, hidden=4, feed_forward=8, heads=2, kv_heads=1, head_dim=2, vocabulary=10, tied=True
)  # 348 parameters
SHAPE = Shape(prompt=3, completion=2, group=2, tasks=2)


@pytest.mark.parametrize(
    "name",
    [
        *("grpo_step", "rollouts", "update", "scaling", "bound"),
        *("judge_client", "judging", "tool_episodes", "tool_rollouts", "across_runs"),
    ],
)
def test_each_script_tells_its_usage(name: str) -> None:
    script = ROOT / "benchmarks" / f"{name}.py"
    done = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout and f"benchmarks/{name}.py" in done.stdout


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("1000/500/4", 2.0), ("700/200/8", 3.1304), ("1800/350/8", 3.7391), ("2500/200/16", 7.5789)],
)
def test_token_ratio(text: str, ratio: float) -> None:
    assert common.one_shape(text).token_ratio == pytest.approx(ratio, abs=5e-5)


def test_a_shape_with_commas_is_a_grid() -> None:
    grid = common.shapes("350,700/200/4,8")
    assert [str(s) for s in grid] == ["350/200/4", "350/200/8", "700/200/4", "700/200/8"]
    assert (SHAPE.dense_tokens, SHAPE.shared_tokens, SHAPE.row, SHAPE.rollouts) == (20, 14, 7, 4)
    with pytest.raises(argparse.ArgumentTypeError, match="without commas"):
        common.one_shape("350,700/200/4")
    for wrong in ("700/200", "a/b/c", "700/200/0"):
        with pytest.raises(argparse.ArgumentTypeError, match=wrong):
            common.shapes(wrong)


def test_steps_have_prompts_of_their_own() -> None:
    ids = [[i] for i in range(4)]
    assert SHAPE.request(ids, 1, seed=5) == {"prompts": [[2], [3]], "group": 2, "new": 2, "seed": 6}


def test_bound_with_prompts_shared() -> None:
    found = bound.bound(SIZE, SHAPE, 1000.0, 100.0)
    assert found == bound.Bound(prefill=4.464, decode=17.12, update=29.232)
    assert found.step == pytest.approx(50.816)
    fast_memory = bound.bound(SIZE, SHAPE, 1000.0, 1e9)
    assert fast_memory.decode == 5.568  # then the matrix products bound it


def test_bound_with_each_prompt_computed_once_a_completion() -> None:
    assert bound.bound(SIZE, SHAPE, 1000.0, 100.0, shared=False) == bound.Bound(
        prefill=8.928, decode=19.04, update=41.76
    )


def test_sides_take_turns_and_warm_up_is_left_out() -> None:
    order: list[str] = []

    def side(name: str, slow: float) -> common.Answer:
        order.append(name)
        return {"seconds": slow}

    kept = common.interleave(
        {"a": lambda i: side("a", i), "b": lambda i: side("b", 10 * i)}, repeats=3, warmup=1
    )
    assert "".join(order) == "abababab"
    a, b = common.seconds(kept["a"]), common.seconds(kept["b"])
    assert a == {"median": 2, "min": 1, "max": 3, "n": 3, "all": [1, 2, 3]}
    assert common.ratio(b, a) == 10
    assert common.shown(a) == "2.00 [1.00, 3.00] n=3"


def test_a_peer_that_was_not_measured_has_no_number() -> None:
    missing = peers.interpreter("no-such-peer", None)
    assert isinstance(missing, peers.Missing)
    assert "--peers-dir" in missing.reason
    assert common.ratio(None, common.spread([1.0])) is None
    assert common.shown(None) == common.times(None) == "-"


def test_growth_is_one_when_time_grows_as_tokens_do() -> None:
    base = Shape(prompt=350, completion=100, group=4, tasks=2)
    assert scaling.scaled(base, "G", 8) == Shape(prompt=350, completion=100, group=32, tasks=2)
    assert scaling.growth(8.0, 800, 1.0, 100) == 1.0
    assert scaling.growth(12.0, 800, 1.0, 100) == 1.5


# --- contestants of several runs ---


def two_runs(folder: Path, *, other: str = "What is it?") -> list[tuple[str, Path]]:
    """Imitation is wrong on half of the 32 questions of `episodes_run`, the trained one on L5."""
    files = []
    for name, text in (("imitation", "What is it?"), ("trained", other)):
        found = [replace(r, contestant="trained") for r in episodes_run.records((name,))]
        append_records(folder / name / "eval" / "trained.jsonl", found)
        write_cases(folder / name / "eval" / "cases" / "test.jsonl", {r.task_id: text for r in found})
        files.append(across_runs.named(f"{name}={folder / name}"))
    return files


def test_contestants_of_two_runs_are_paired_by_question(tmp_path: Path) -> None:
    summary = across_runs.compared(two_runs(tmp_path))
    assert {name: found["total"]["mean"] for name, found in summary["contestants"].items()} == {
        "imitation": 0.25,
        "trained": 0.75,
    }
    (total,) = [p for p in summary["paired"] if p["metric"] == "total"]
    assert (total["a"], total["b"], total["mean"], total["n"]) == ("trained", "imitation", 0.5, 32)
    assert any(p["metric"] == "blind_repeat" for p in summary["behaviours"]["paired"])


def test_what_is_not_comparable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="other questions are called q00"):
        across_runs.compared(two_runs(tmp_path, other="What was it?"))
    files = two_runs(tmp_path / "again")
    with pytest.raises(ValueError, match="each once"):
        across_runs.compared([files[0], files[0]])
    with pytest.raises(ValueError, match="two names"):
        across_runs.compared(files[:1])
    files[0][1].write_text("")
    with pytest.raises(ValueError, match="no records"):
        across_runs.compared(files)
    with pytest.raises(argparse.ArgumentTypeError, match="allowed: NAME=RUN"):
        across_runs.named(f"a={tmp_path / 'none'}")
