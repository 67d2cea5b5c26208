"""One thread for torch: tiny tensors gain nothing from more, and results stay equal bit for bit."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    try:
        import torch
    except ImportError:  # the core is installed alone
        return
    torch.set_num_threads(1)
