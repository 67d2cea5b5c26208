"""Episodes a second of the tool environment under a scripted policy: parsing, tools, grading; no model.

    python benchmarks/tool_episodes.py [--processes 2] [--episodes 4000] [--repeats 3] [--json]

The policy follows the reference plan of each question word for word: calls in the raw text of assistant
turns, answered by `reply`, the final answer graded by the scorer. Each process has databases of its own.
The target is 1,000 a second on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

import common


def texts_of(environment: Any, task: Any) -> list[str]:
    """The assistant turns of the oracle, as a model would write them."""
    from fivestones.rollout.tools import written
    from fivestones.types import Message

    turns: Sequence[Message] = environment.demonstration(task)
    return [written(turn) for turn in turns if turn.role == "assistant"]


def played(environment: Any, task: Any, texts: Sequence[str]) -> float:
    """One episode as `collect` would play it; its reward."""
    from fivestones.types import Message, Rollout

    messages = list(task.prompt)
    for text in texts:
        messages.append(Message("assistant", text))
        messages += environment.reply(task, messages)
    rollout = Rollout(
        task_id=task.id,
        messages=tuple(messages),
        prompt_messages=len(task.prompt),
        prompt_ids=(),
        completion_ids=(),
        loss_mask=(),
        logprobs=(),
        finish="stop",
        policy_version=0,
    )
    (score,) = environment.scorer(task, [rollout])
    return float(score.reward or 0.0)


def work(arguments: tuple[str, int, int, int]) -> dict[str, float]:
    """One process: its world, one warm-up episode of each task, then `episodes` timed ones."""
    profile, seed, episodes, start = arguments
    from fivestones.build import Job
    from fivestones.build_data import sample_data
    from fivestones.recipe_load import load_recipe

    recipe = load_recipe("finqa", profile, {"seed": seed + start})
    environment = Job(recipe, sample_data(recipe, 200)).environment
    tasks = [t for t in environment.tasks("test")]
    scripts = [(t, texts_of(environment, t)) for t in tasks]
    right = [played(environment, *script) for script in scripts]
    assert min(right) == 1.0, "the oracle is always right"
    began = time.perf_counter()
    for i in range(episodes):
        played(environment, *scripts[i % len(scripts)])
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "episodes": episodes,
        "calls": sum(len(s) - 1 for _, s in scripts) / len(tasks),
    }


def run(args: argparse.Namespace, i: int) -> dict[str, Any]:
    each = args.episodes // args.processes
    jobs = [(args.profile, args.seed, each, p) for p in range(args.processes)]
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        found = pool.map(work, jobs, chunksize=1)
    slowest = max(f["seconds"] for f in found)
    done = sum(f["episodes"] for f in found)
    return {"seconds": slowest, "rate": done / slowest, "calls": found[0]["calls"]}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--profile", default="laptop", help="of the recipe finqa")
    made.add_argument("--processes", type=common.positive, default=2)
    made.add_argument("--episodes", type=common.positive, default=4000, help="of all processes together")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--json", action="store_true", help="JSON instead of a table")
    common.add_repeats(made)
    args = made.parse_args()
    kept = common.interleave({"episodes": lambda i: run(args, i)}, repeats=args.repeats, warmup=args.warmup)[
        "episodes"
    ]
    rates = common.spread([k["rate"] for k in kept])
    result = {
        "machine": common.machine(),
        "note": "target: 1,000 episodes a second on two cores",
        "settings": json.loads(json.dumps(vars(args), default=str)),
        "rate": rates,
        "calls": kept[0]["calls"],
    }
    text = common.table(
        ["processes", "episodes/s", "calls an episode"],
        [[args.processes, common.shown(rates, 0), f"{kept[0]['calls']:.1f}"]],
    )
    common.report(result, text, as_json=args.json)


if __name__ == "__main__":
    main()
