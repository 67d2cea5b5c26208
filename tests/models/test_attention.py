"""Shared prompts are exact: log-probs and gradients equal those of transformers' own attention, sequence by
sequence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fivestones.models import partial
from fivestones.models.attention import PackedLayout, install
from fivestones.models.lora import ADAPTER, add_lora
from fivestones.train.check import dense_logprobs
from fivestones.train.logprobs import chunked_logprobs
from fivestones.train.pack import Row, pack
from fivestones.types import Sample
from tiny import FAMILIES, WINDOW, model, sample

# (prompt length, completion lengths): prompts longer and shorter than the window, completions of one token
GROUPS = ((23, (5, 1, 9)), (4, (12,)), (17, (3, 3)), (1, (2, 6)))


def draw(groups: Sequence[tuple[int, Sequence[int]]], vocabulary: int = 200, seed: int = 0) -> list[Sample]:
    g = torch.Generator().manual_seed(seed)

    def ids(n: int) -> list[int]:
        return torch.randint(vocabulary, (n,), generator=g).tolist()

    out = []
    for prompt, lengths in groups:
        shared = ids(prompt)
        for n in lengths:
            advantage = float(torch.randn((), generator=g))
            out.append(sample(shared, ids(n), advantage=advantage))
    return out


def reference(model: Any, samples: Sequence[Sample]) -> tuple[list[Tensor], Tensor]:
    """Log-probs [C] of each sample and the weighted sum, by the model's own attention, one sequence at a
    time."""
    logprobs, total = [], torch.zeros(())
    for s in samples:
        ids = torch.tensor([[*s.prompt_ids, *s.completion_ids]])
        logits = model(input_ids=ids, use_cache=False).logits[0, len(s.prompt_ids) - 1 : -1]
        chosen = torch.tensor(s.completion_ids)[:, None]
        logprobs.append(logits.float().log_softmax(-1).gather(1, chosen)[:, 0])
        total = total + (logprobs[-1] * torch.tensor(s.advantages)).sum()
    return logprobs, total


def shared(model: Any, rows: Sequence[Row], *, plain: bool = False) -> tuple[Tensor, Tensor]:
    """Log-probs of all completion tokens in the order of the rows, and the weighted sum."""
    logprobs, total = [], torch.zeros(())
    for row in rows:
        layout = PackedLayout([(s.prompt, s.lengths) for s in row.layout.segments], plain=plain)
        out = model.get_decoder()(
            input_ids=row.input_ids, position_ids=layout.position_ids(), layout=layout, use_cache=False
        )
        hidden = out.last_hidden_state[0, row.predicting]
        head = model.get_output_embeddings().weight
        logprobs.append(chunked_logprobs(hidden, head, row.targets)[0])
        total = total + (logprobs[-1] * row.advantages).sum()
    return torch.cat(logprobs), total


def gradients(model: Any, total: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    total.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def in_row_order(samples: Sequence[Sample], rows: Sequence[Row], logprobs: Sequence[Tensor]) -> Tensor:
    """The reference's log-probs in the order in which the rows hold the completions."""
    by_tokens = {(s.prompt_ids, s.completion_ids): lp for s, lp in zip(samples, logprobs, strict=True)}
    out = []
    for row in rows:
        for s in row.layout.segments:
            prompt = tuple(row.input_ids[0, s.start : s.start + s.prompt].tolist())
            at = s.start + s.prompt
            for n in s.lengths:
                out.append(by_tokens[prompt, tuple(row.input_ids[0, at : at + n].tolist())])
                at += n
    return torch.cat(out)


def assert_same_gradients(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    largest = max(float(g.abs().max()) for g in a.values())
    for name, grad in a.items():
        size = max(float(grad.abs().max()), largest / 100)
        assert float((grad - b[name]).abs().max()) <= 1e-5 * size, name


def with_lora(model: Any) -> Any:
    add_lora(model, rank=3, alpha=6.0)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if f"lora_B.{ADAPTER}" in name:  # starts at zero, where half of the gradients vanish
                p.normal_(std=0.2, generator=g)
    return model


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_row_of_groups_equals_dense(family: str, lora: bool, checkpointing: bool) -> None:
    original = model(family)
    if lora:
        with_lora(original)
    original.train()
    packed = copy.deepcopy(original)
    if checkpointing:
        packed.gradient_checkpointing_enable({"use_reentrant": False})
        if lora:
            packed.enable_input_require_grads()
    install(packed)
    samples = draw(GROUPS)
    rows = pack(samples, 1000)
    assert len(rows) == 1

    expected, total = reference(original, samples)
    got, packed_total = shared(packed, rows)

    assert torch.allclose(got, in_row_order(samples, rows, expected), atol=1e-5, rtol=1e-5)
    assert_same_gradients(gradients(original, total), gradients(packed, packed_total))


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_and_dense_check_equal_the_fast_path(family: str) -> None:
    m = model(family)
    install(m)
    rows = pack(draw(GROUPS), 1000)
    fast, total = shared(m, rows)
    by_fast = gradients(m, total)
    plain, total = shared(m, rows, plain=True)
    assert torch.allclose(fast, plain, atol=1e-5)
    assert_same_gradients(by_fast, gradients(m, total))
    assert torch.allclose(fast, dense_logprobs(m, rows[0])[0], atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
@pytest.mark.parametrize("budget", [1, 30, 45])
def test_splitting_into_rows_does_not_change_the_gradient(family: str, budget: int) -> None:
    m = model(family)
    install(m)
    samples = draw(GROUPS)
    whole = gradients(m, shared(m, pack(samples, 1000))[1])
    rows = pack(samples, budget)
    assert len(rows) > 1
    assert sum(len(r.targets) for r in rows) == sum(sum(s.loss_mask) for s in samples)
    assert_same_gradients(whole, gradients(m, shared(m, rows)[1]))


@settings(max_examples=12, derandomize=True)
@given(
    groups=st.lists(
        st.tuples(st.integers(1, 20), st.lists(st.integers(1, 12), min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    ),
    family=st.sampled_from(["llama", "gemma3"]),
    seed=st.integers(0, 99),
)
def test_any_lengths(groups: list[tuple[int, list[int]]], family: str, seed: int) -> None:
    original = model(family)
    packed = copy.deepcopy(original)
    install(packed)
    samples = draw(groups, seed=seed)
    rows = pack(samples, 1000)
    expected, total = reference(original, samples)
    got, packed_total = shared(packed, rows)
    assert torch.allclose(got, in_row_order(samples, rows, expected), atol=1e-5, rtol=1e-5)
    assert_same_gradients(gradients(original, total), gradients(packed, packed_total))


def test_backward_in_blocks_equals_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks of queries, and one completion at a time."""
    monkeypatch.setattr(partial, "BLOCK", 4)
    monkeypatch.setattr(partial, "CHUNK_SCORES", 1)
    test_one_row_of_groups_equals_dense("llama", lora=False, checkpointing=False)


def test_gradients_in_bfloat16_are_as_near_to_float32_as_rounding_allows() -> None:
    g = torch.Generator().manual_seed(0)
    layout = PackedLayout([(90, (40, 25, 31))])
    exact = [torch.randn(1, h, layout.tokens, 16, generator=g).bfloat16() for h in (6, 2, 2, 6)]

    def gradients_in(dtype: torch.dtype) -> list[Tensor]:
        q, k, v, grad = (x.to(dtype).requires_grad_() for x in exact)
        out = partial.packed_attention(q, k, v, layout.segments, 0.25)
        return [x.float() for x in torch.autograd.grad(out, (q, k, v), grad)]

    for small, wide in zip(gradients_in(torch.bfloat16), gradients_in(torch.float32), strict=True):
        assert float((small - wide).norm() / wide.norm()) < 0.015


def test_the_window_matters() -> None:
    """Guards the tests above: with the window widened past the sequence, the numbers differ."""
    samples = draw([(WINDOW * 4, (WINDOW * 2,))])
    narrow, wide = model("gemma3"), model("gemma3")
    wide.config.sliding_window = 1000
    for layer in wide.model.layers:
        if getattr(layer.self_attn, "sliding_window", None):
            layer.self_attn.sliding_window = 1000
    install(narrow)
    install(wide)
    rows = pack(samples, 1000)
    gap = (shared(narrow, rows)[0] - shared(wide, rows)[0]).abs().max()
    assert float(gap.detach()) > 0.01


def test_position_ids_restart_after_each_prompt() -> None:
    layout = PackedLayout([(3, (2, 1)), (2, ())])
    assert layout.position_ids().tolist() == [[0, 1, 2, 3, 4, 3, 0, 1]]
    assert layout.tokens == 8


def test_a_call_without_a_layout_is_an_error() -> None:
    m = model()
    install(m)
    with pytest.raises(ValueError, match="layout"):
        m(input_ids=torch.tensor([[1, 2, 3]]))


def test_bfloat16_is_close_to_float32() -> None:
    """Same log-probs within the dtype's noise; the fast path's gradients are finite."""
    full, half = model(), model().to(torch.bfloat16)
    install(full)
    install(half)
    rows = pack(draw(GROUPS), 1000)
    a, b = shared(full, rows)[0], shared(half, rows)
    assert float((a - b[0]).detach().abs().mean()) < 0.1
    assert all(torch.isfinite(g).all() for g in gradients(half, b[1]).values())
