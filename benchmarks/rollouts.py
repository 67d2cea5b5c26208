"""Rollouts alone, new tokens a second, against transformers' `generate` and vLLM, by number of sequences.

    python benchmarks/rollouts.py --peers-dir peers [--json]

Groups of 8 share a prompt (a single sequence is a group of 1); the time is that of the whole call, prompt and
completions. Every call has new prompts: nothing is left in a prefix cache. bf16, T = 1, the full softmax, no
end tokens. fivestones also records log-probs; the peers are not asked to. vLLM keeps its defaults
(compilation, prefix caching); its start-up is stated apart.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
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
    parser,
    positive,
    ratio,
    report,
    say,
    shown,
    spread,
    subject,
    table,
    times,
)
from peers import Missing, PeerError, Worker, own, start

HEADLINE = 32  # sequences of `ratio_vs_hf` and `ratio_vs_vllm`
SIDES = ("fivestones", "hf", "vllm")
GIB = 1 << 30


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from fivestones.estimate import ModelSize

    have = machine()
    model = subject(args)
    size = ModelSize.of(json.loads((model.folder / "config.json").read_text()))
    most = max(args.sequences)
    entry = 4 * size.layers * size.kv_heads * size.head_dim  # bytes of keys and values a token, bf16
    settings: dict[str, dict[str, Any]] = {
        "hf": {"folder": str(model.folder), "device": model.device, "dtype": model.dtype},
        "vllm": {
            "folder": str(model.folder),
            "dtype": model.dtype,
            "max_tokens": args.prompt + args.new,
            "sequences": most,
            "kv_gib": 1 + math.ceil(1.5 * most * (args.prompt + args.new) * entry / GIB),
        },
    }
    workers: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    vllm = start("vllm", "vllm_generate.py", settings["vllm"], args.peers_dir)
    if isinstance(vllm, Missing):
        missing["vllm"] = vllm.reason
    try:
        workers["fivestones"] = own(model, token_budget=args.prompt + args.new, slots=most)
        workers["hf"] = Worker("hf_generate.py", settings["hf"])
        if isinstance(vllm, Worker):
            workers["vllm"] = vllm
        about = {name: worker.about for name, worker in workers.items()}
        by_sequences = [_point(args, model.folder, n, workers, missing) for n in args.sequences]
    finally:
        for worker in workers.values():
            worker.close()
    headline = next((p for p in by_sequences if p["sequences"] == HEADLINE), None)
    return {
        "benchmark": "rollouts",
        "machine": have,
        "note": f"new tokens a second: median [min, max]; {args.warmup} warm-up calls a size are not counted",
        "settings": {
            "model": args.model,
            "seed": args.seed,
            "P": args.prompt,
            "C": args.new,
            "group": args.group,
            "dtype": model.dtype,
            "warmup": args.warmup,
            "repeats": args.repeats,
        },
        "about": about,
        "missing": missing,
        "by_sequences": by_sequences,
        "ratio_vs_hf": headline and headline["ratio_vs_hf"],
        "ratio_vs_vllm": headline and headline["ratio_vs_vllm"],
        "ratio_note": None if headline else f"{HEADLINE} sequences were not among those measured",
    }


def _point(
    args: argparse.Namespace,
    folder: Path,
    sequences: int,
    workers: dict[str, Worker],
    missing: dict[str, str],
) -> dict[str, Any]:
    """All sides at one number of sequences; a peer that fails moves from `workers` to `missing`."""
    group = math.gcd(args.group, sequences)
    shape = Shape(args.prompt, args.new, group, sequences // group)
    rounds = args.warmup + args.repeats
    # the seed is the size's own, so that no call repeats a prompt of another size
    ids, _ = make_prompts(folder, rounds * shape.tasks, args.prompt, args.seed * 1000 + sequences)

    def call(worker: Worker, i: int) -> Answer:
        return worker.ask(do="rollout", **shape.request(ids, i, args.seed))

    say(f"{sequences} sequences, {shape.tasks} groups of {group}")
    while True:
        sides: dict[str, Callable[[int], Answer]] = {n: partial(call, w) for n, w in workers.items()}
        try:
            kept = interleave(sides, repeats=args.repeats, warmup=args.warmup)
            break
        except PeerError as error:
            failed = next(
                (n for n, w in workers.items() if n != "fivestones" and w.script in str(error)), None
            )
            if failed is None:
                raise
            missing[failed] = str(error)
            workers.pop(failed).close()
            say(f"{failed} failed: {error}")
    tokens = sequences * args.new
    rate: dict[str, Any] = {
        name: spread([tokens / a["seconds"] for a in kept[name]]) if name in kept else None for name in SIDES
    }
    return {
        "sequences": sequences,
        "group": group,
        "tokens_per_second": rate,
        "ratio_vs_hf": ratio(rate["fivestones"], rate["hf"]),
        "ratio_vs_vllm": ratio(rate["fivestones"], rate["vllm"]),
    }


def rendered(result: dict[str, Any]) -> str:
    rows = [
        [
            p["sequences"],
            *(shown(p["tokens_per_second"][name], 0) for name in SIDES),
            times(p["ratio_vs_hf"]),
            times(p["ratio_vs_vllm"]),
        ]
        for p in result["by_sequences"]
    ]
    settings = result["settings"]
    title = f"P={settings['P']}, C={settings['C']}, groups of {settings['group']}, {settings['dtype']}"
    lines = [title, "", table(["sequences", *SIDES, "vs hf", "vs vllm"], rows)]
    lines += [f"{name}: not measured: {why}" for name, why in result["missing"].items()]
    if "vllm" in result["about"]:
        lines.append(f"vllm: {result['about']['vllm']['start_seconds']:.0f} s to start, not counted")
    return "\n".join(lines)


def main() -> None:
    made = parser(__doc__)
    add_repeats(made)
    made.add_argument("--sequences", type=positive, nargs="+", default=[1, 8, 32, 64])
    made.add_argument("--group", type=positive, default=8, help="sequences that share a prompt")
    made.add_argument("--prompt", type=positive, default=700, help="P, tokens")
    made.add_argument("--new", type=positive, default=200, help="C, tokens of each completion")
    made.add_argument("--peers-dir", type=Path, help="where vLLM's environment is, or is to be made")
    args = made.parse_args()
    if args.tiny:
        args.sequences, args.group, args.prompt, args.new = [1, 4], 2, 24, 6
    result = measure(args)
    report(result, rendered(result), as_json=args.json)


if __name__ == "__main__":
    main()
