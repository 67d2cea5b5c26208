"""One thread for torch: tiny tensors gain nothing from more, and results stay equal bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chat_clients import MADE


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    try:
        import torch
    except ImportError:  # the core is installed alone
        return
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_client_left() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()
