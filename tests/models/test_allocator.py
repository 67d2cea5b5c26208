"""Freed memory stays for the next step, and goes back when there is much of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

# many blocks below the size that malloc maps one by one, all freed; a small one at the end keeps the top
PROGRAM = """
import torch
from fivestones.models.allocator import _resident, keep_memory, release_memory
keep_memory()
blocks = [torch.ones(1 << 18) for _ in range(200)]
last, high = torch.ones(1 << 16), _resident()
del blocks
release_memory(1.0)
kept = _resident()
release_memory(0.0)
print(high, kept, _resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_pages_are_kept_then_given_back() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    high, kept, after = map(int, out.stdout.split())
    block_pages = 200 * (1 << 20) // 4096
    assert high - kept < block_pages * 0.1
    assert kept - after > block_pages * 0.8
