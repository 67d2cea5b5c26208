"""Freed memory stays for the next step, and goes back when there is much of it; kernels do not pile up."""

from __future__ import annotations

import subprocess
import sys

import pytest

# many blocks below the size that malloc maps one by one, all freed; a small one at the end keeps the top
PROGRAM = """
import torch
from fivestones.machine import process_memory
from fivestones.models.allocator import keep_memory, release_memory
keep_memory()
blocks = [torch.ones(1 << 18) for _ in range(200)]
last, high = torch.ones(1 << 16), process_memory()
del blocks
release_memory(1 << 40)
kept = process_memory()
release_memory(0)
print(high, kept, process_memory())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_pages_are_kept_then_given_back() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    high, kept, after = map(int, out.stdout.split())
    blocks = 200 * (1 << 20)
    assert high - kept < blocks * 0.1
    assert kept - after > blocks * 0.8


# products of ever new shapes, as rows of ever new lengths make them
KERNELS = """
import torch
from fivestones.machine import process_memory
from fivestones.models.allocator import keep_memory
keep_memory()
weight, rows = torch.ones(576, 576).bfloat16(), torch.ones(1000, 576).bfloat16()
for n in range(200, 500):
    rows[:n] @ weight
full = process_memory()
for n in range(500, 1000):
    rows[:n] @ weight
print(process_memory() - full)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_kernels_of_past_shapes_are_dropped() -> None:
    out = subprocess.run([sys.executable, "-c", KERNELS], capture_output=True, text=True, check=True)
    assert int(out.stdout) < 300 << 20  # measured: 130 MB; 560 MB when all are kept
