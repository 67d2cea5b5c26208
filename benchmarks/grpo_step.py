"""One GRPO step (rollouts, reward, update) against TRL's GRPOTrainer: same model, prompts, group and lengths.

    python benchmarks/grpo_step.py --peers-dir peers [--json]

Both sides: bf16 compute, T = 1, no KL, one update, end tokens kept from ending an answer, and runs in turn
(A, B, A, B). TRL runs as its users run it on one machine: transformers' `generate`, AdamW. Where it has a
choice it gets the faster one, measured on 2 CPU cores: bf16 weights (`--trl-weights float32` gives it float32
masters, as fivestones has, under autocast), 2 sequences a backward pass, no gradient checkpointing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common import (
    Answer,
    Shape,
    add_repeats,
    interleave,
    machine,
    make_prompts,
    one_shape,
    parser,
    positive,
    ratio,
    report,
    say,
    seconds,
    shown,
    subject,
    table,
    times,
)
from peers import Missing, PeerError, Worker, own, start

TINY = Shape(prompt=24, completion=6, group=2, tasks=2)


def measure(args: argparse.Namespace, shape: Shape) -> dict[str, Any]:
    have = machine()
    model = subject(args)
    rounds = args.warmup + args.repeats
    ids, texts = make_prompts(model.folder, rounds * shape.tasks, shape.prompt, args.seed)
    budget = args.token_budget or shape.row
    trl_settings = {
        "folder": str(model.folder),
        "device": model.device,
        "dtype": model.dtype,
        "weights": args.trl_weights,
        "prompts": texts,
        "length": shape.prompt,
        "tasks": shape.tasks,
        "group": shape.group,
        "new": shape.completion,
        "micro_batch": min(args.trl_micro_batch, shape.rollouts),
    }
    peer = start("trl", "trl_step.py", trl_settings, args.peers_dir)
    reason = peer.reason if isinstance(peer, Missing) else None
    try:
        with own(model, token_budget=budget, slots=shape.rollouts) as worker:
            sides = {"fivestones": lambda i: worker.ask(do="step", **shape.request(ids, i, args.seed))}
            if isinstance(peer, Worker):
                sides["trl"] = partial(_trl_step, peer)
            try:
                kept = interleave(sides, repeats=args.repeats, warmup=args.warmup)
            except PeerError as error:
                if not isinstance(peer, Worker) or peer.script not in str(error):
                    raise
                reason = str(error)
                say(f"trl failed, fivestones goes on alone: {reason}")
                del sides["trl"]
                kept = interleave(sides, repeats=args.repeats, warmup=0)
            ours = _side(kept["fivestones"], worker.about)
            theirs = _side(kept["trl"], peer.about) if "trl" in kept and isinstance(peer, Worker) else None
    finally:
        if isinstance(peer, Worker):
            peer.close()
    return {
        "benchmark": "grpo_step",
        "machine": have,
        "note": f"seconds: median [min, max]; {args.warmup} warm-up steps of each side are not counted",
        "settings": {
            "model": args.model,
            "seed": args.seed,
            **shape.settings,
            "dtype": model.dtype,
            "token_budget": budget,
            "warmup": args.warmup,
            "repeats": args.repeats,
            "trl_weights": args.trl_weights,
            "trl_micro_batch": trl_settings["micro_batch"],
        },
        "fivestones": ours,
        "trl": theirs or {"step": None, "reason": reason},
        "ratio_vs_trl": ratio(theirs and theirs["step"], ours["step"]),
        "ratio_vs_trl_rollouts": ratio(theirs and theirs["rollouts"], ours["rollouts"]),
        "ratio_vs_trl_update": ratio(theirs and theirs["update"], ours["update"]),
    }


def _trl_step(peer: Worker, i: int) -> Answer:
    return peer.ask(step=i)


def _side(answers: list[Answer], about: Answer) -> dict[str, Any]:
    return {
        "step": seconds(answers),
        "rollouts": seconds(answers, "rollout_seconds"),
        "update": seconds(answers, "update_seconds"),
        "peak_memory": max(a["peak_memory"] for a in answers),
        "dense_fallback": any(a.get("dense", False) for a in answers),
        "about": about,
    }


def rendered(result: dict[str, Any]) -> str:
    settings = result["settings"]
    rows = []
    for name in ("fivestones", "trl"):
        side = result[name]
        if side["step"] is None:
            rows.append([name, side["reason"], "", "", ""])
            continue
        parts = [shown(side[part]) for part in ("step", "rollouts", "update")]
        rows.append([name, *parts, f"{side['peak_memory'] / 2**30:.1f}"])
    ratios = [times(result[f"ratio_vs_trl{part}"]) for part in ("", "_rollouts", "_update")]
    rows.append(["TRL / fivestones", *ratios, ""])
    title = ", ".join(f"{k}={settings[k]}" for k in ("P", "C", "G", "B", "dtype"))
    return f"{title}\n\n" + table(["", "step s", "rollouts s", "update s", "peak GiB"], rows)


def main() -> None:
    made = parser(__doc__)
    add_repeats(made)
    made.add_argument("--shape", type=one_shape, default="700/200/8", metavar="P/C/G")
    made.add_argument("--tasks", type=positive, default=4, help="B, prompts a step")
    made.add_argument("--token-budget", type=int, default=0, help="of a packed row; 0: one group")
    made.add_argument("--peers-dir", type=Path, help="where TRL's environment is, or is to be made")
    made.add_argument("--trl-micro-batch", type=positive, default=2, help="sequences a backward pass")
    made.add_argument("--trl-weights", choices=("bfloat16", "float32"), default="bfloat16")
    args = made.parse_args()
    result = measure(args, TINY if args.tiny else replace(args.shape, tasks=args.tasks))
    report(result, rendered(result), as_json=args.json)


if __name__ == "__main__":
    main()
