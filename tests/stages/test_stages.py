"""What the stages share, on a tiny random model: several turns, seeds, retries, and where a phase goes on."""

from __future__ import annotations

import json
import signal
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tiny
import tiny_job
from fivestones.build import Job
from fivestones.build_data import Data
from fivestones.errors import JudgePausedError, UsageError
from fivestones.recipe import Recipe
from fivestones.rollout.chat import Chat
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.runlog import RunDir, read_jsonl
from fivestones.stages import Shared
from fivestones.stages.evaluation import evaluate
from fivestones.stages.grpo import run_grpo
from fivestones.stages.warmup import run_warmup
from fivestones.train.warmup import with_examples
from fivestones.types import Group, Rollout

START, END = 257, 258
STOP = tuple("abcdefghijklmnop ")  # a random model says one of them soon


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_job.model_folder(tmp_path_factory.mktemp("model"), context=400)


def shared(
    folder: Path, model: Path, *, answers: bool = False, options: dict[str, Any] | None = None, **parts: Any
) -> Shared:
    rows = [{"id": f"t{i}", "text": f"Say {i}.", **({"answer": "ttt"} if answers else {})} for i in range(4)]
    made: dict[str, Any] = {
        "name": "own",
        "files": {"train": tiny_job.write_jsonl(folder / "rows.jsonl", rows)},
        "model": {"source": str(model), "dtype": "float32"},
        "environment": {"kind": "own_parts:TwoTurns", "options": options or {}, "max_turns": 2},
        "generation": {"max_tokens": 24, "stop": STOP},
        "rollout": {"group_size": 4},
        "judge": {"wait": 0.0},
        "train": {"steps": 1, "tasks_per_step": 2, "refill": 0, "checkpoint_every": 1},
    }
    recipe = Recipe.model_validate({**made, **{k: {**made.get(k, {}), **v} for k, v in parts.items()}})
    job = Job(recipe, Data({"train": rows, "test": rows}))
    return Shared(job, RunDir(folder / "run"), lambda done, total, text: None)


def engine(stage: Shared) -> tuple[NativeSampler, Chat]:
    model = stage.policy(stage.base).model
    chat = stage.chat(model)
    return stage.sampler(model, 32, chat), chat


def rolled(stage: Shared, times: int = 1) -> list[Group]:
    return stage.rollouts(stage.train_tasks * times, *engine(stage), "x", 4)[0]


def masked(rollout: Rollout) -> list[int]:
    return [t for t, m in zip(rollout.completion_ids, rollout.loss_mask, strict=True) if not m]


def plain(text: str) -> list[int]:
    return list(tiny.tokenizer()(text, add_special_tokens=False)["input_ids"])


def roles(rollouts: Sequence[Rollout]) -> set[tuple[str, ...]]:
    return {tuple(m.role for m in r.messages) for r in rollouts}


def test_training_rollouts_have_the_turns_of_the_recipe(tmp_path: Path, model: Path) -> None:
    rollouts = [r for g in rolled(shared(tmp_path, model)) for r in g.rollouts]
    long = [r for r in rollouts if len(r.messages) == 4]
    assert len(long) > 8 and roles(long) == {("user", "assistant", "user", "assistant")}
    heard = [*plain("\n"), START, *plain("user\nGo on."), END, *plain("\n"), START, *plain("assistant\n")]
    for r in long:
        first = r.completion_ids[: r.loss_mask.index(False)]
        # a stop string ended the turn: the template's end token is between the turns all the same
        assert masked(r) == ([] if first[-1] == END else [END]) + heard
        assert r.finish in ("stop", "length") and all(r.loss_mask[len(first) + len(masked(r)) :])
    assert any(r.completion_ids[r.loss_mask.index(False)] == END for r in long)


def test_without_more_turns_nobody_goes_on(tmp_path: Path, model: Path) -> None:
    groups = rolled(shared(tmp_path, model, environment={"max_turns": 1}))
    assert roles([r for g in groups for r in g.rollouts]) == {("user", "assistant")}
    assert {r.finish for g in groups for r in g.rollouts} <= {"turns", "length"}


def test_evaluations_answers_have_the_same_turns_and_are_greedy(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model)
    sampler, chat = engine(stage)
    answers: dict[int, Rollout] = {}
    stage.answer(stage.train_tasks, sampler, chat, answers.__setitem__)
    assert [answers[i].task_id for i in range(4)] == ["t0", "t1", "t2", "t3"]
    assert max(len(r.messages) for r in answers.values()) == 4
    again: dict[int, Rollout] = {}
    stage.answer(stage.train_tasks[1:], sampler, chat, again.__setitem__)
    assert [again[i].messages for i in range(3)] == [answers[i].messages for i in range(1, 4)]


def test_a_task_that_comes_twice_in_a_step_is_answered_anew(tmp_path: Path, model: Path) -> None:
    groups = rolled(shared(tmp_path, model), times=2)
    first, second = groups[0], groups[4]
    assert first.task.id == second.task.id
    assert not {r.completion_ids for r in first.rollouts} & {r.completion_ids for r in second.rollouts}


@pytest.mark.parametrize(("retries", "known"), [(0, False), (1, True)])
def test_an_outage_of_one_call_costs_no_rollout(
    tmp_path: Path, model: Path, retries: int, known: bool
) -> None:
    stage = shared(tmp_path, model, options={"outages": 1}, judge={"retries": retries})
    assert {s.reward is not None for g in rolled(stage) for s in g.scores} == {known}


def test_grpo_updates_from_several_turns_and_logs_them(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model)
    folder = run_grpo(stage, stage.base)
    (row,) = read_jsonl(stage.run.metrics_path)
    assert row["mismatch_k3"] < 1e-6 and row["grad_norm"] > 0
    lines = read_jsonl(stage.run.path / "rollouts" / "step-000001.jsonl")
    assert {tuple(m["role"] for m in line["prompt"]) for line in lines} >= {("user", "assistant", "user")}
    assert folder == stage.run.path / "checkpoints" / "train-000001"
    assert json.loads((stage.run.path / "stages" / "train.json").read_text()) == {
        "folder": "checkpoints/train-000001"
    }


def test_a_resumed_run_remembers_what_was_unscored(tmp_path: Path, model: Path) -> None:
    allowed = {"max_unscored": 0.3}
    first = shared(tmp_path, model, options={"unscored": 1}, train=allowed)
    run_grpo(first, first.base)
    (first.run.path / "stages" / "train.json").unlink()
    second = shared(tmp_path, model, options={"unscored": 2}, train={**allowed, "steps": 2})
    with pytest.raises(JudgePausedError, match="6 of the last 16 rollouts"):
        run_grpo(second, second.base)


def test_a_pause_of_the_judge_saves_the_last_whole_step(tmp_path: Path, model: Path) -> None:
    more = {"steps": 3, "checkpoint_every": 100}
    paused = shared(tmp_path, model, train=more)

    def fail_after_the_first(done: int, total: int, text: str) -> None:
        if text.startswith("train: reward"):
            paused.job.environment.unscored = 4

    paused.progress = fail_after_the_first
    with pytest.raises(JudgePausedError):
        run_grpo(paused, paused.base)
    latest = paused.run.latest("train")
    assert latest is not None and latest[0] == 1
    mended = shared(tmp_path, model, train=more)
    folder = run_grpo(mended, mended.base)
    (tmp_path / "whole").mkdir()
    whole = shared(tmp_path / "whole", model, train=more)
    expected = run_grpo(whole, whole.base)
    assert (folder / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()


def test_a_step_tells_how_far_its_rollouts_are(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model)
    told: list[tuple[int, int, str]] = []
    stage.progress = lambda *now: told.append(now)
    run_grpo(stage, stage.base)
    inside = [now for now in told if "rollout" in now[2]]
    assert len(inside) > 1 and {now[:2] for now in inside} == {(0, 1)}
    assert inside[-1][2] == "train: step 1, 8 of 8 rollouts"


def test_each_prompt_is_tokenized_once_to_be_measured(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model)
    told: list[tuple[int, int, str]] = []
    stage.progress = lambda *now: told.append(now)
    prompts = [t.prompt for t in stage.train_tasks]
    lengths = [stage.prompt_tokens(p) for p in prompts]
    del stage.tokenizer  # nothing is left to tokenize with
    assert stage.lengths(prompts, "train") == lengths
    assert told == [(4, 4, "prompts of train")] * 2


def test_a_step_in_which_nothing_was_scored_has_no_mean(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model, options={"unscored": 4}, train={"max_unscored": 1.0})
    run_grpo(stage, stage.base)
    assert "NaN" not in stage.run.metrics_path.read_text()
    (row,) = read_jsonl(stage.run.metrics_path)
    assert row["unscored"] == 8 and "reward_mean" not in row


SELF = {"kind": "self", "passes": 1, "batch": 4, "references": 1}


def test_self_warm_up_needs_no_reference(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model, warmup=SELF)
    assert run_warmup(stage) == stage.run.path / "checkpoints" / "warmup-000001"
    (row,) = read_jsonl(stage.run.metrics_path)
    assert row["winners"] > 0 and row["loss"] > 0
    with pytest.raises(UsageError, match="reference output"):
        stage.examples(stage.train_tasks)


def test_examples_that_do_not_fit_are_left_out_of_self_warm_up(tmp_path: Path) -> None:
    small = tiny_job.model_folder(tmp_path / "small", context=70)
    stage = shared(tmp_path, small, answers=True, warmup=SELF, environment={"max_turns": 1})
    prompt = stage.train_tasks[0].prompt
    shown = with_examples(prompt, stage.examples(stage.train_tasks))
    assert stage.prompt_tokens(prompt) <= stage.room < stage.prompt_tokens(shown)
    assert run_warmup(stage).is_dir()


def test_the_constants_of_training_count_all_turns(tmp_path: Path, model: Path) -> None:
    stage = shared(tmp_path, model)
    assert stage.most_tokens == 48
    assert stage.policy(stage.base).loss_constant == 2 * 4 * 48


def test_ctrl_c_in_an_evaluation_keeps_what_is_answered(model: Path, tmp_path: Path) -> None:
    stage = shared(tmp_path, model, evaluate={"contestants": ["base"]})
    stage.progress = lambda done, total, text: signal.raise_signal(signal.SIGINT) if done == 2 else None
    with pytest.raises(KeyboardInterrupt):
        evaluate(stage, {"base": stage.base})
    kept = read_jsonl(tmp_path / "run" / "eval" / "base.jsonl")
    assert len(kept) == 4 and all(row["total"] is not None for row in kept)


def test_an_earlier_contestant_is_gone_when_the_next_is_loaded(model: Path, tmp_path: Path) -> None:
    stage = shared(tmp_path, model, evaluate={"contestants": ["base", "trained"]})
    alive: list[int] = []
    models = weakref.WeakSet[Any]()

    class Counting(Shared):
        def sampler(self, model: Any, slots: int, chat: Chat) -> NativeSampler:
            models.add(model)
            alive.append(len(models))
            return super().sampler(model, slots, chat)

    counting = Counting(stage.job, stage.run, stage.progress)
    evaluate(counting, {"base": stage.base, "trained": stage.base})
    assert alive == [1, 1]
