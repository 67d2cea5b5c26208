from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train.loss import clipped_loss, k3


def one(ratio: float, advantage: float) -> tuple[float, bool, float]:
    """(loss, clipped, d loss / d log-prob)"""
    lp = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    loss, clipped = clipped_loss(
        lp, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64), 0.2, 0.28
    )
    loss.sum().backward()
    assert lp.grad is not None
    return float(loss.detach()), bool(clipped), float(lp.grad)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped", "gradient"),
    [
        (1.0, 2.0, -2.0, False, -2.0),
        (1.0, -2.0, 2.0, False, 2.0),
        (1.2, 1.0, -1.2, False, -1.2),
        (1.5, 1.0, -1.28, True, 0.0),  # enough is enough
        (1.5, -1.0, 1.5, False, 1.5),  # a bad token that became likelier is still pushed down
        (0.5, -1.0, 0.8, True, 0.0),
        (0.5, 1.0, -0.5, False, -0.5),
        (1.3, 0.0, 0.0, False, 0.0),
    ],
)
def test_golden(ratio: float, advantage: float, loss: float, clipped: bool, gradient: float) -> None:
    got = one(ratio, advantage)
    assert got[0] == pytest.approx(loss, abs=1e-6)
    assert got[1] is clipped
    assert got[2] == pytest.approx(gradient, abs=1e-6)


@settings(max_examples=60, derandomize=True)
@given(st.floats(0.1, 5.0), st.floats(-3, 3))
def test_the_loss_is_pessimistic(ratio: float, advantage: float) -> None:
    loss, clipped, gradient = one(ratio, advantage)
    assert loss >= -ratio * advantage - 1e-9
    if clipped:
        assert gradient == 0.0


def test_k3_golden() -> None:
    p, r = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-1.0, -1.0, -1.5])
    assert k3(p, r).tolist() == pytest.approx([0.0, math.e - 2.0, math.exp(-1.0)], abs=1e-6)


def test_k3_is_an_unbiased_estimate_of_the_divergence() -> None:
    g = torch.Generator().manual_seed(0)
    p = torch.randn(6, generator=g, dtype=torch.float64).log_softmax(-1)
    q = torch.randn(6, generator=g, dtype=torch.float64).log_softmax(-1)
    assert (k3(p, q) >= 0).all()
    assert float((p.exp() * k3(p, q)).sum()) == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-9)
