"""How time and memory grow with P, C, G and B: each point in a fresh process, with its peak of memory.

    python benchmarks/scaling.py [--base 350/100/4] [--tasks 2] [--factors 1 2 4 8] [--json]

One dimension at a time is multiplied; the token budget stays. `growth` is how much longer a point takes than
the base, divided by how many more tokens there are (each prompt once, and completions): 1 is linear, below 1
better. The peak is the process's maximum resident size, model and optimizer included.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from common import (
    Shape,
    Subject,
    add_repeats,
    interleave,
    machine,
    make_prompts,
    one_shape,
    parser,
    positive,
    report,
    say,
    seconds,
    shown,
    subject,
    table,
)
from peers import own

DIMENSIONS = ("P", "C", "G", "B")
TINY = Shape(prompt=16, completion=4, group=2, tasks=1)


def scaled(base: Shape, dimension: str, factor: int) -> Shape:
    by = dict.fromkeys(DIMENSIONS, 1) | {dimension: factor}
    return Shape(base.prompt * by["P"], base.completion * by["C"], base.group * by["G"], base.tasks * by["B"])


def growth(time: float, tokens: float, base_time: float, base_tokens: float) -> float:
    """1 when the time grows as the tokens do."""
    return (time / base_time) / (tokens / base_tokens)


def measure(args: argparse.Namespace, base: Shape) -> dict[str, Any]:
    have = machine()
    model = subject(args)
    measured: dict[Shape, dict[str, Any]] = {}
    points = []
    for dimension in DIMENSIONS:
        for factor in args.factors:
            shape = scaled(base, dimension, factor)
            if shape not in measured:  # the base is a point of every dimension
                say(f"{dimension} x {factor}: {shape}, {shape.tasks} groups")
                measured[shape] = _point(args, shape, model)
            points.append({"dimension": dimension, "factor": factor, **measured[shape]})
    first = measured[scaled(base, "P", args.factors[0])]
    for point in points:
        for part in ("rollouts", "update"):
            point[f"{part}_growth"] = growth(
                point[part]["median"], point["tokens"], first[part]["median"], first["tokens"]
            )
    return {
        "benchmark": "scaling",
        "machine": have,
        "note": f"seconds: median [min, max]; {args.warmup} warm-up steps of each point are not counted",
        "settings": {
            "model": args.model,
            "seed": args.seed,
            "base": f"{base}, B={base.tasks}",
            "dtype": model.dtype,
            "token_budget": args.token_budget,
            "slots": args.slots,
            "warmup": args.warmup,
            "repeats": args.repeats,
        },
        "points": points,
    }


def _point(args: argparse.Namespace, shape: Shape, model: Subject) -> dict[str, Any]:
    rounds = args.warmup + args.repeats
    ids, _ = make_prompts(model.folder, rounds * shape.tasks, shape.prompt, args.seed)
    with own(model, token_budget=args.token_budget, slots=args.slots) as worker:
        answers = interleave(
            {"step": lambda i: worker.ask(do="step", **shape.request(ids, i, args.seed))},
            repeats=args.repeats,
            warmup=args.warmup,
        )["step"]
        about = worker.about
    return {
        **shape.settings,
        "rollouts": seconds(answers, "rollout_seconds"),
        "update": seconds(answers, "update_seconds"),
        "tokens": shape.shared_tokens,
        # above `tokens` where a group over the budget was split, its prompt computed once a part
        "packed_tokens": answers[0]["packed_tokens"],
        "peak_memory": answers[-1]["peak_memory"],
        "peak_device_memory": answers[-1].get("peak_device_memory"),
        "idle_memory": about["peak_memory"],
        "dense_fallback": answers[-1]["dense"],
        "about": about,
    }


def rendered(result: dict[str, Any]) -> str:
    head = [
        "",
        "P/C/G",
        "B",
        "rollouts s",
        "growth",
        "update s",
        "growth",
        "tokens",
        "peak GiB",
        "loaded GiB",
    ]
    rows = [
        [
            f"{p['dimension']} x {p['factor']}",
            f"{p['P']}/{p['C']}/{p['G']}",
            p["B"],
            shown(p["rollouts"]),
            f"{p['rollouts_growth']:.2f}",
            shown(p["update"]),
            f"{p['update_growth']:.2f}",
            p["tokens"],
            f"{p['peak_memory'] / 2**30:.2f}",
            f"{p['idle_memory'] / 2**30:.2f}",
        ]
        for p in result["points"]
    ]
    return f"rows of {result['settings']['token_budget']} tokens\n\n" + table(head, rows)


def main() -> None:
    made = parser(__doc__)
    add_repeats(made)
    made.add_argument("--base", type=one_shape, default="350/100/4", metavar="P/C/G")
    made.add_argument("--tasks", type=positive, default=2, help="B of the base")
    made.add_argument("--factors", type=positive, nargs="+", default=[1, 2, 4, 8])
    made.add_argument("--token-budget", type=positive, default=4096, help="of a packed row, for every point")
    made.add_argument("--slots", type=positive, default=32, help="sequences decoded at once")
    args = made.parse_args()
    base = replace(args.base, tasks=args.tasks)
    if args.tiny:
        base, args.factors = TINY, [1, 2]
    result = measure(args, base)
    report(result, rendered(result), as_json=args.json)


if __name__ == "__main__":
    main()
