"""Rollouts of several turns: lanes as wide as groups are alike, against lanes as wide as the largest group.

    python benchmarks/tool_rollouts.py --model RUN/checkpoints/WARMUP [--tasks 6] [--repeats 3] [--json]

The model should have been warmed up on the recipe finqa, so that its episodes go on after the first turn.
The chats of a group part from turn to turn: with one width for all, most rows of a lane are then without a
member. Both sides roll out the same tasks with the same seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import common


def rollouts(args: argparse.Namespace) -> Callable[[float], dict[str, Any]]:
    """Share of idle rows that is allowed -> seconds and tokens of a step's rollouts."""
    from fivestones.build import Job
    from fivestones.build_data import sample_data
    from fivestones.models.attention import install
    from fivestones.models.load import cast, compute_dtype, device_of, end_tokens, load
    from fivestones.recipe_load import load_recipe
    from fivestones.rollout.chat import Chat
    from fivestones.rollout.collect import collect
    from fivestones.rollout.native import sampler as native
    from fivestones.train.schedule import stream

    recipe = load_recipe("finqa", args.profile, {"seed": args.seed})
    job = Job(recipe, sample_data(recipe, args.tasks))
    loaded = load(args.model)
    cast(loaded.model, compute_dtype(recipe.model, device_of(recipe.model)))
    install(loaded.model)
    ends = end_tokens(loaded.tokenizer, loaded.model)
    chat = Chat(loaded.tokenizer, ends, job.generation.template)
    sampler = native.NativeSampler(
        loaded.model, loaded.tokenizer, ends, slots=recipe.rollout.slots, several_turns=True
    )
    tasks = list(job.tasks("train"))[: args.tasks]
    generation = replace(job.generation, temperature=recipe.rollout.temperature)

    def once(idle: float) -> dict[str, Any]:
        native.IDLE = idle
        began = time.perf_counter()
        done = collect(
            job.environment,
            tasks,
            sampler,
            chat,
            generation,
            lambda task, member, turn: stream(args.seed, "benchmark", task.id, member, turn),
            group_size=recipe.rollout.group_size,
            max_turns=recipe.environment.max_turns,
        )
        sampler.forget()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "tokens": sum(sum(rollout.loss_mask) for rollout in done)}

    return once


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", type=Path, required=True, help="folder of a warmed-up checkpoint")
    made.add_argument("--profile", default="laptop", help="of the recipe finqa")
    made.add_argument("--tasks", type=common.positive, default=6)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--json", action="store_true", help="JSON instead of a table")
    common.add_repeats(made)
    args = made.parse_args()
    from fivestones.rollout.native.sampler import IDLE

    once = rollouts(args)
    sides = {"one width": lambda i: once(1.0), "as alike": lambda i: once(IDLE)}
    kept = common.interleave(sides, repeats=args.repeats, warmup=args.warmup)
    seconds = {name: common.spread([k["seconds"] for k in rows]) for name, rows in kept.items()}
    tokens = {name: rows[0]["tokens"] for name, rows in kept.items()}
    result = {
        "machine": common.machine(),
        "settings": json.loads(json.dumps(vars(args), default=str)),
        "seconds": seconds,
        "tokens": tokens,
        "ratio": common.ratio(seconds["one width"], seconds["as alike"]),
    }
    rows = [[name, common.shown(seconds[name]), tokens[name]] for name in sides]
    common.report(result, common.table(["lanes", "seconds", "sampled tokens"], rows), as_json=args.json)


if __name__ == "__main__":
    main()
