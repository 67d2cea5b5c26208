"""Chunked log-probs against log_softmax, values and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train import logprobs
from fivestones.train.logprobs import chunked_logprobs


@settings(max_examples=20, derandomize=True)
@given(
    n=st.sampled_from([1, 5, logprobs.ROWS - 1, logprobs.ROWS, logprobs.ROWS + 1, 2 * logprobs.ROWS + 3]),
    temperature=st.sampled_from([0.3, 1.0, 2.0]),
    frozen_head=st.booleans(),
    vocabulary=st.sampled_from([30, logprobs.TILE, logprobs.TILE + 1]),
    seed=st.integers(0, 99),
)
def test_equal_to_log_softmax(
    n: int, temperature: float, frozen_head: bool, vocabulary: int, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, 8, generator=g, requires_grad=True)
    head = torch.randn(vocabulary, 8, generator=g, requires_grad=not frozen_head)
    targets, weights = torch.randint(vocabulary, (n,), generator=g), torch.randn(n, generator=g)
    leaves = [hidden] if frozen_head else [hidden, head]

    full = (hidden @ head.T / temperature).log_softmax(-1)
    expected = full.gather(1, targets[:, None])[:, 0]
    wanted = torch.autograd.grad((expected * weights).sum(), leaves)
    got, entropy = chunked_logprobs(hidden, head, targets, temperature)
    grads = torch.autograd.grad((got * weights).sum(), leaves)

    assert torch.allclose(got, expected, atol=1e-5)
    assert torch.allclose(entropy, -(full.exp() * full).sum(-1), atol=1e-5)
    assert not entropy.requires_grad
    for a, b in zip(wanted, grads, strict=True):
        assert torch.allclose(a, b, atol=1e-5 * max(1.0, float(a.abs().max())))


def test_golden() -> None:
    hidden = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    head = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    got, entropy = chunked_logprobs(hidden, head, torch.tensor([0, 2]))
    z = math.log(math.e + 2), math.log(math.exp(2) + 2)
    assert got.tolist() == pytest.approx([1 - z[0], -z[1]], abs=1e-6)
    assert entropy.tolist() == pytest.approx(
        [z[0] - math.e / (math.e + 2), z[1] - 2 * math.exp(2 - z[1])], abs=1e-6
    )


def test_large_logits_do_not_overflow() -> None:
    hidden = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    got, entropy = chunked_logprobs(hidden, torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 0]))
    got.sum().backward()
    assert got.tolist() == pytest.approx([0.0, -400.0])
    assert torch.isfinite(entropy).all() and hidden.grad is not None and torch.isfinite(hidden.grad).all()


def test_bfloat16_rounds_the_product_only() -> None:
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(40, 16, generator=g).bfloat16().requires_grad_()
    head = torch.randn(50, 16, generator=g).bfloat16().requires_grad_()
    targets = torch.randint(50, (40,), generator=g)
    got, _ = chunked_logprobs(hidden, head, targets)
    exact = (hidden.float() @ head.float().T).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    assert got.dtype == torch.float32
    assert float((got - exact).detach().abs().max()) < 0.08
    got.sum().backward()
    assert hidden.grad is not None and hidden.grad.dtype == torch.bfloat16
    assert head.grad is not None and head.grad.dtype == torch.bfloat16
