"""Lean norms are the model's own: values, gradients, and what they keep."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from fivestones.models.norm import PIECE, lean_norms
from tiny import model

SIZE = 48


def both(dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """transformers' norm, the lean one, an input and the gradient of the output."""
    g = torch.Generator().manual_seed(0)
    original = LlamaRMSNorm(SIZE, eps=1e-5)
    original.weight.data.copy_(torch.randn(SIZE, generator=g))
    original.to(dtype)
    lean = copy.deepcopy(original)
    lean_norms(lean)
    x, grad = (torch.randn(*shape, SIZE, generator=g).to(dtype) for _ in range(2))
    return original, lean, x, grad


def results(norm: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, gradient of the input, gradient of the weight."""
    at = x.clone().requires_grad_()
    out = norm(at)
    return [out.detach(), *torch.autograd.grad(out, (at, norm.weight), grad)]


# fewer tokens than a piece, more than one piece, heads apart (Qwen3 norms queries and keys)
SHAPES = [(1, 7), (1, 2 * PIECE // SIZE + 3), (1, 40, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_in_float32(shape: tuple[int, ...]) -> None:
    original, lean, x, grad = both(torch.float32, shape)
    before = x.clone()
    for ours, theirs in zip(results(lean, x, grad), results(original, x, grad), strict=True):
        assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    assert torch.equal(x, before)


def test_bfloat16_gradients_are_nearer_to_float32_than_those_of_autograd() -> None:
    original, lean, x, grad = both(torch.bfloat16, (1, 900))
    exact = results(copy.deepcopy(original).float(), x.float(), grad.float())
    for ours, theirs, true in zip(results(lean, x, grad), results(original, x, grad), exact, strict=True):
        assert (ours - true).norm() <= 1.01 * (theirs - true).norm()


def test_the_values_are_those_of_transformers_bit_for_bit() -> None:
    original, lean, x, _ = both(torch.bfloat16, (1, 9))
    with torch.no_grad():
        without = lean(x)
    assert torch.equal(without, original(x))
    assert torch.equal(without, lean(x.requires_grad_()))


def test_only_the_input_is_kept() -> None:
    original, lean, x, _ = both(torch.bfloat16, (1, 64))

    def kept(norm: nn.Module) -> int:
        at, total = x.clone().requires_grad_(), 0

        def pack(t: Tensor) -> Tensor:
            nonlocal total
            total += t.numel() * t.element_size()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            norm(at)
        return total

    weight, scales = 2 * SIZE, 4 * 64
    assert kept(lean) == 2 * x.numel() + weight + scales
    assert kept(original) > 3 * kept(lean)


def test_a_copy_has_its_own_weights() -> None:
    _, lean, x, _ = both(torch.float32, (1, 4))
    twin = copy.deepcopy(lean)
    twin.weight.data.zero_()
    with torch.no_grad():
        assert twin(x).abs().max() == 0.0 < lean(x).abs().max()


class CountsFromOne(LlamaRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))


class EpsilonOutside(LlamaRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + self.variance_epsilon)


class WithBias(LlamaRMSNorm):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.bias = nn.Parameter(torch.zeros(size))


@pytest.mark.parametrize("kind", [CountsFromOne, EpsilonOutside, WithBias])
def test_a_norm_of_another_kind_stays_as_it_is(kind: type[LlamaRMSNorm]) -> None:
    norm = kind(SIZE)
    lean_norms(norm)
    assert type(norm) is kind


def test_models_are_switched_once() -> None:
    gemma, llama = model("gemma3"), model("llama")
    before = [type(m) for m in gemma.modules()]
    lean_norms(gemma)
    assert [type(m) for m in gemma.modules()] == before
    lean_norms(llama)
    once = [type(m) for m in llama.modules()]
    assert LlamaRMSNorm not in once
    lean_norms(llama)
    assert [type(m) for m in llama.modules()] == once
