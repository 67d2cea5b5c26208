"""How fast this machine multiplies matrices, in the dtype and on the device of a recipe."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from fivestones.models.load import compute_dtype, device_of
from fivestones.recipe import ModelPart

SIDE = 1024
SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    device: str
    dtype: str
    threads: int
    flops: float  # FLOP/s, the best of several


def speed(part: ModelPart, threads: int) -> Speed:
    """Half a second of square products; `threads` 0 leaves torch's own choice."""
    if threads:
        torch.set_num_threads(threads)
    device = device_of(part)
    dtype = compute_dtype(part, device)
    a = torch.ones(SIDE, SIDE, dtype=dtype, device=device)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Speed(
        device=name,
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        flops=2 * SIDE**3 / best,
    )
