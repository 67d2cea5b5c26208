"""float32 masters behind a smaller dtype: equal to plain AdamW where the dtype is float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tiny
from fivestones.errors import ModelError
from fivestones.train.masters import Masters


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def batches(n: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return [torch.randn(6, 4, generator=g) for _ in range(n)]


def test_equals_plain_adamw_with_clipping() -> None:
    ours, theirs = net(), net()
    masters = Masters(ours, torch.float32, weight_decay=0.1)
    plain = torch.optim.AdamW(theirs.parameters(), betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for i, x in enumerate(batches(5)):
        for half in x.split(3):  # micro-batches add up
            ours(half).square().sum().backward()
        assert all(p.grad is None for p in ours.parameters())
        norm = masters.step(0.01 * (i + 1), 0.5)
        theirs(x).square().sum().backward()
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        plain.param_groups[0]["lr"] = 0.01 * (i + 1)
        plain.step()
        plain.zero_grad()
        assert norm == pytest.approx(float(expected), rel=1e-5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_golden_first_step() -> None:
    """Adam's first step is the sign of the gradient times the rate, whatever its size."""
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0]]))
    masters = Masters(layer, torch.float32)
    layer(torch.tensor([[3.0, -4.0]])).sum().backward()
    assert masters.step(0.1, 1.0) == pytest.approx(5.0)
    assert layer.weight.tolist()[0] == pytest.approx([0.9, -0.9], abs=1e-6)


def test_small_steps_are_not_lost_to_bfloat16() -> None:
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    masters = Masters(layer, torch.bfloat16)
    for _ in range(40):  # one step is an eighth of what bfloat16 can tell from 1
        layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        masters.step(5e-4, 1.0)
    assert float(masters.masters["weight"]) == pytest.approx(0.98, abs=1e-4)
    assert masters.masters["weight"].dtype == torch.float32
    assert layer.weight.dtype == torch.bfloat16
    assert float(layer.weight.detach()) == float(torch.tensor(0.98).bfloat16())


def test_micro_batches_add_up_in_float32() -> None:
    layer = nn.Linear(1, 1, bias=False)
    masters = Masters(layer, torch.bfloat16)
    for x in [256.0] + [1.0] * 64:  # in bfloat16 256 + 1 = 256
        layer(torch.full((1, 1), x, dtype=torch.bfloat16)).sum().backward()
    assert float(masters.grads.sums["weight"]) == 320.0


def test_tied_weights_have_one_master() -> None:
    model = tiny.model()
    masters = Masters(model, torch.bfloat16)
    assert "lm_head.weight" not in masters.names
    ids = torch.arange(10)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    masters.step(1e-3, 1.0)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(model.lm_head.weight, masters.masters["model.embed_tokens.weight"].bfloat16())


def test_frozen_parameters_stay() -> None:
    model = net()
    first = model[0]
    assert isinstance(first, nn.Linear)
    first.requires_grad_(False)
    before = first.weight.clone()
    masters = Masters(model, torch.float32, weight_decay=0.5)
    model(batches(1)[0]).sum().backward()
    masters.step(0.1, 1.0)
    assert masters.names == ["2.weight", "2.bias"]
    assert torch.equal(first.weight, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(value: float) -> None:
    model = net()
    before = [p.clone() for p in model.parameters()]
    masters = Masters(model, torch.float32)
    (model(batches(1)[0]).sum() * value).backward()
    with pytest.raises(ModelError, match="not finite"):
        masters.step(0.1, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_no_gradient_at_all() -> None:
    model = net()
    before = [p.clone() for p in model.parameters()]
    assert Masters(model, torch.float32).step(0.1, 1.0) == 0.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_restore_is_exact(dtype: torch.dtype) -> None:
    """The next updates of a restored optimizer equal those of the one that went on, bit for bit."""
    a = net()
    masters = Masters(a, dtype)

    def advance(model: nn.Module, m: Masters, xs: list[torch.Tensor]) -> None:
        for x in xs:
            model(x.to(dtype)).square().sum().backward()
            m.step(0.01, 1.0)

    xs = batches(6)
    advance(a, masters, xs[:3])
    weights = {n: t.clone() for n, t in masters.masters.items()}
    moments = {n: t.clone() for n, t in masters.state().items()}
    advance(a, masters, xs[3:])

    b = net(seed=9)
    other = Masters(b, dtype)
    advance(b, other, xs[:1])  # forgotten by the restore
    other.restore(weights, moments)
    advance(b, other, xs[3:])
    assert all(torch.equal(masters.masters[n], other.masters[n]) for n in masters.names)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
