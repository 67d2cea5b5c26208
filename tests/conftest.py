"""What all tests share. One thread for torch: tiny tensors gain nothing from more, and results stay equal bit
for bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from chat_clients import MADE
from fivestones.machine import cores

MOST_WORKERS = 8
settings.register_profile("house", deadline=None)  # a busy machine fails no example
settings.load_profile("house")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """The cores that this process may use; pytest-xdist would count those of the whole machine."""
    return min(MOST_WORKERS, cores())


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
