"""Linear layers in the kernel's own layout: the same values, and nothing left behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fivestones.rollout.native.packed import packed_linears


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(48, 96, bias=False), nn.Linear(96, 33)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(x))
        return out


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 8, 300])
@torch.inference_mode()
def test_same_values_bit_for_bit(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    net, x = Net().to(dtype), torch.randn(rows, 48).to(dtype)
    plain = net(x)
    with packed_linears(net, rows=8):
        packed = net(x)
    assert torch.equal(plain, packed)


@torch.inference_mode()
def test_new_weights_count_afterwards() -> None:
    net, x = Net().bfloat16(), torch.ones(2, 48).bfloat16()
    with packed_linears(net, rows=2):
        net(x)
    with torch.no_grad():
        net.b.weight.zero_()
    assert torch.equal(net(x), net.b.bias.expand(2, -1))


def test_restored_after_an_error() -> None:
    net = Net().bfloat16()
    with pytest.raises(RuntimeError), packed_linears(net, rows=2):
        net(torch.ones(2, 47).bfloat16())
    assert "forward" not in vars(net.a)
