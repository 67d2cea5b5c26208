"""How far a GRPO step is from what this machine could do at best.

    python benchmarks/bound.py [--shape 700/200/8] [--tasks 4] [--json]

The bound of each part comes from the machine's own measured rates: F FLOP/s of matrix products in the run's
dtype, and W bytes a second over as much memory as the weights take (what each token step has to read).
N parameters, L layers, hidden size d, B prompts of P tokens, R = B G completions of C tokens:

    prefill  B (2 N P + 2 L d P^2) / F
    decode   max(2 N R C / F, C (2 N + kappa (B P + R C / 2)) / W),  kappa = 4 L n_kv d_head bytes a token
    update   3 * 2 N (B P + R C) / F

Measured beside it: a generation of one token (prefill), the rest of a generation of C tokens (decode), and an
update.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from common import (
    Shape,
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
    spread,
    subject,
    table,
)
from peers import own

if TYPE_CHECKING:
    from fivestones.estimate import ModelSize

TINY = Shape(prompt=24, completion=6, group=2, tasks=2)
SIDES = (1024, 2048, 4096)  # of the square products
TRIALS = 12
LARGE = 2 << 30  # bytes: more than any cache holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Seconds that no program can go below."""

    prefill: float
    decode: float
    update: float

    @property
    def step(self) -> float:
        return self.prefill + self.decode + self.update


def prefill_flops(size: ModelSize, shape: Shape, prompts: int) -> float:
    p = shape.prompt
    return prompts * (2.0 * size.parameters * p + 2.0 * size.layers * size.hidden * p**2)


def decode_flops(size: ModelSize, shape: Shape) -> float:
    return 2.0 * size.parameters * shape.rollouts * shape.completion


def decode_bytes(size: ModelSize, shape: Shape, prompts: int) -> float:
    """Weights, and keys and values so far, once for each token position; bf16."""
    entry = 4.0 * size.layers * size.kv_heads * size.head_dim
    held = prompts * shape.prompt + shape.rollouts * shape.completion / 2
    return shape.completion * (2.0 * size.parameters + entry * held)


def update_flops(size: ModelSize, tokens: int) -> float:
    return 3 * 2.0 * size.parameters * tokens


def bound(size: ModelSize, shape: Shape, flops: float, bandwidth: float, *, shared: bool = True) -> Bound:
    """flops: FLOP/s; bandwidth: bytes/s; `shared=False`: each prompt computed once a completion."""
    prompts = shape.tasks if shared else shape.rollouts
    return Bound(
        prefill=prefill_flops(size, shape, prompts) / flops,
        decode=max(decode_flops(size, shape) / flops, decode_bytes(size, shape, prompts) / bandwidth),
        update=update_flops(size, shape.shared_tokens if shared else shape.dense_tokens) / flops,
    )


# the machine's rates


def _fastest(run: Callable[[], object], device: str) -> float:
    """Seconds of the fastest of several runs: a rate that a bound rests on is the best ever seen."""
    import torch

    best = float("inf")
    for _ in range(TRIALS):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def matrix_rate(device: str, dtype: str) -> dict[str, float]:
    """FLOP/s of square products, by side."""
    import torch

    found = {}
    for side in SIDES:
        a = torch.randn(side, side, device=device).to(getattr(torch, dtype))
        out = torch.empty_like(a)

        def product(a: torch.Tensor = a, out: torch.Tensor = out) -> None:
            torch.matmul(a, a, out=out)

        found[str(side)] = 2 * side**3 / _fastest(product, device)
    return found


def bandwidth(device: str, count: int) -> dict[str, float]:
    """Bytes a second over a working set of `count` bytes, by what was done with it."""
    import torch

    half = torch.ones(count // 8, device=device)
    other = torch.empty_like(half)
    columns = 4096
    matrix = torch.ones(max(1, count // 4 // columns), columns, device=device)
    vector = torch.ones(columns, device=device)
    return {
        "copy": count / _fastest(lambda: other.copy_(half), device),
        "matrix_vector": 4 * matrix.numel() / _fastest(lambda: torch.mv(matrix, vector), device),
        "sum": 4 * matrix.numel() / _fastest(matrix.sum, device),
    }


def measure(args: argparse.Namespace, shape: Shape) -> dict[str, Any]:
    from fivestones.estimate import ModelSize

    have = machine()
    model = subject(args)
    size = ModelSize.of(json.loads((model.folder / "config.json").read_text()))
    say("measuring the machine")
    products = matrix_rate(model.device, model.dtype)
    weights = 2 * size.parameters
    near, far = bandwidth(model.device, weights), bandwidth(model.device, weights if args.tiny else LARGE)
    flops, rate = max(products.values()), max(near.values())
    rounds = args.warmup + args.repeats
    ids, _ = make_prompts(model.folder, 2 * rounds * shape.tasks, shape.prompt, args.seed)
    budget = args.token_budget or shape.row
    first_token = replace(shape, completion=1)
    with own(model, token_budget=budget, slots=shape.rollouts) as worker:
        kept = interleave(
            {
                "prefill": lambda i: worker.ask(
                    do="rollout", **first_token.request(ids, rounds + i, args.seed)
                ),
                "rollouts": lambda i: worker.ask(do="rollout", **shape.request(ids, i, args.seed)),
                "update": lambda i: worker.ask(do="update", **shape.request(ids, i, args.seed)),
            },
            repeats=args.repeats,
            warmup=args.warmup,
        )
        about = worker.about
    decode = [
        whole["seconds"] - first["seconds"]
        for whole, first in zip(kept["rollouts"], kept["prefill"], strict=True)
    ]
    measured = {
        "prefill": seconds(kept["prefill"]),
        "decode": spread(decode),
        "update": seconds(kept["update"]),
    }
    at_best, dense = (bound(size, shape, flops, rate, shared=s) for s in (True, False))
    least = {part: getattr(at_best, part) for part in measured}
    total = sum(m["median"] for m in measured.values())
    return {
        "benchmark": "bound",
        "machine": have,
        "note": f"seconds: median [min, max]; {args.warmup} warm-up runs of each part are not counted",
        "settings": {
            "model": args.model,
            "seed": args.seed,
            **shape.settings,
            "dtype": model.dtype,
            "token_budget": budget,
            "warmup": args.warmup,
            "repeats": args.repeats,
        },
        "rates": {
            "flops": flops,
            "flops_by_side": products,
            "bandwidth": rate,
            "bandwidth_weights": near,
            "bandwidth_large": far,
        },
        "parameters": size.parameters,
        "measured": measured,
        "bound": least,
        "share": {part: least[part] / measured[part]["median"] for part in measured},
        "step": {"measured": total, "bound": at_best.step, "share": at_best.step / total},
        "step_bound_dense": dense.step,
        "about": about,
    }


def rendered(result: dict[str, Any]) -> str:
    rates, settings, step = result["rates"], result["settings"], result["step"]
    rows = [
        [part, shown(time), f"{result['bound'][part]:.2f}", f"{result['share'][part]:.0%}"]
        for part, time in result["measured"].items()
    ]
    rows.append(["step", f"{step['measured']:.2f}", f"{step['bound']:.2f}", f"{step['share']:.0%}"])
    title = ", ".join(f"{k}={settings[k]}" for k in ("P", "C", "G", "B", "dtype"))
    near, far = rates["bandwidth"] / 1e9, max(rates["bandwidth_large"].values()) / 1e9
    lines = [
        title,
        f"{rates['flops'] / 1e12:.2f} TFLOP/s of matrix products; {near:.0f} GB/s over the weights' size, "
        f"{far:.0f} GB/s over {LARGE >> 30} GiB",
        "",
        table(["", "measured s", "bound s", "share of bound"], rows),
        "",
        f"bound of the step with prompts computed once a completion: {result['step_bound_dense']:.2f} s",
    ]
    return "\n".join(lines)


def main() -> None:
    made = parser(__doc__)
    add_repeats(made)
    made.add_argument("--shape", type=one_shape, default="700/200/8", metavar="P/C/G")
    made.add_argument("--tasks", type=positive, default=4, help="B, prompts a step")
    made.add_argument("--token-budget", type=int, default=0, help="of a packed row; 0: one group")
    args = made.parse_args()
    result = measure(args, TINY if args.tiny else replace(args.shape, tasks=args.tasks))
    report(result, rendered(result), as_json=args.json)


if __name__ == "__main__":
    main()
