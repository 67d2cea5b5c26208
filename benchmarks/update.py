"""The update alone: each prompt computed once, against this project's own dense path, over P/C/G shapes.

    python benchmarks/update.py [--shapes 700/200/8 1800/350/8 350,700/200/4,8] [--json]

Each side is a process of its own, in turn (A, B, A, B); the dense side takes one sequence to a row. Beside
the measured ratio stands the token ratio S = G(P+C)/(P+GC), what computing each prompt once can save at most.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from typing import Any

from common import (
    Answer,
    Shape,
    add_repeats,
    interleave,
    machine,
    make_prompts,
    parser,
    positive,
    ratio,
    report,
    say,
    seconds,
    shapes,
    shown,
    subject,
    table,
    times,
)
from peers import Worker, own

TINY = [Shape(48, 8, 4)]


def measure(args: argparse.Namespace, wanted: list[Shape]) -> dict[str, Any]:
    have = machine()
    model = subject(args)
    found = []
    for shape in wanted:
        say(f"shape {shape}, {shape.tasks} groups")
        rounds = args.warmup + args.repeats
        ids, _ = make_prompts(model.folder, rounds * shape.tasks, shape.prompt, args.seed)
        budgets = {"shared": args.token_budget or shape.row, "dense": shape.prompt + shape.completion}
        # fresh processes for each shape: its peak of memory is its own
        with (
            own(model, token_budget=budgets["shared"], slots=1) as shared,
            own(model, token_budget=budgets["dense"], slots=1, dense=True) as dense,
        ):

            def call(worker: Worker, i: int, shape: Shape = shape, ids: list[list[int]] = ids) -> Answer:
                return worker.ask(do="update", **shape.request(ids, i, args.seed))

            kept = interleave(
                {"shared": partial(call, shared), "dense": partial(call, dense)},
                repeats=args.repeats,
                warmup=args.warmup,
            )
            about = {"shared": shared.about, "dense": dense.about}
        found.append(_point(shape, budgets["shared"], kept, about))
    return {
        "benchmark": "update",
        "machine": have,
        "note": f"seconds: median [min, max]; {args.warmup} warm-up updates of each side are not counted",
        "settings": {
            "model": args.model,
            "seed": args.seed,
            "dtype": model.dtype,
            "warmup": args.warmup,
            "repeats": args.repeats,
        },
        "ratio_vs_dense": {str(p["shape"]): p["ratio_vs_dense"] for p in found},
        "token_ratio": {str(p["shape"]): p["token_ratio"] for p in found},
        "shapes": found,
    }


def _point(
    shape: Shape, budget: int, kept: dict[str, list[Answer]], about: dict[str, Answer]
) -> dict[str, Any]:
    shared, dense = seconds(kept["shared"]), seconds(kept["dense"])
    if any(a["dense"] for a in kept["shared"]):
        raise SystemExit(f"{shape}: the shared side fell back to dense: there is nothing to compare")
    measured = shared and ratio(dense, shared)
    return {
        "shape": str(shape),
        "tasks": shape.tasks,
        "token_budget": budget,
        "shared": shared,
        "dense": dense,
        "ratio_vs_dense": measured,
        "token_ratio": shape.token_ratio,
        "share_of_token_ratio": measured / shape.token_ratio if measured else None,
        "shared_tokens": shape.shared_tokens,
        "dense_tokens": shape.dense_tokens,
        # a group over the budget is split and its prompt computed once a part: then above `shared_tokens`
        "packed_tokens": kept["shared"][0]["packed_tokens"],
        "shared_peak_memory": max(a["peak_memory"] for a in kept["shared"]),
        "dense_peak_memory": max(a["peak_memory"] for a in kept["dense"]),
        "about": about,
    }


def rendered(result: dict[str, Any]) -> str:
    head = [
        "P/C/G",
        "B",
        "shared s",
        "dense s",
        "ratio",
        "token ratio",
        "share",
        "tokens/s",
        "GiB",
        "dense GiB",
    ]
    rows = [
        [
            p["shape"],
            p["tasks"],
            shown(p["shared"]),
            shown(p["dense"]),
            times(p["ratio_vs_dense"]),
            times(p["token_ratio"]),
            f"{p['share_of_token_ratio']:.0%}",
            f"{p['packed_tokens'] / p['shared']['median']:.0f}",
            f"{p['shared_peak_memory'] / 2**30:.1f}",
            f"{p['dense_peak_memory'] / 2**30:.1f}",
        ]
        for p in result["shapes"]
    ]
    return table(head, rows)


def main() -> None:
    made = parser(__doc__)
    add_repeats(made)
    default = ["700/200/8", "1000/500/4", "1800/350/8", "2500/200/16"]
    made.add_argument("--shapes", nargs="+", default=default, metavar="P/C/G", help="commas make a grid")
    made.add_argument("--tasks", type=positive, default=1, help="B, groups an update")
    made.add_argument("--token-budget", type=int, default=0, help="of a packed row; 0: one group")
    args = made.parse_args()
    try:
        asked = [s for text in args.shapes for s in shapes(text)]
    except argparse.ArgumentTypeError as error:
        made.error(str(error))
    wanted = TINY if args.tiny else [replace(s, tasks=args.tasks) for s in asked]
    result = measure(args, wanted)
    report(result, rendered(result), as_json=args.json)


if __name__ == "__main__":
    main()
