"""Packing loses nothing, shares each prompt and keeps to the budget."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train.pack import Row, pack
from fivestones.types import Sample
from tiny import sample

Found = tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[float, ...], tuple[float, ...]]


def test_golden() -> None:
    a = sample([1, 2], [3, 4, 5], advantage=2.0, mask=[True, False, True], logprobs=[-1.0, 0.0, -2.0])
    b = sample([1, 2], [6], advantage=-1.0)
    c = sample([7], [8, 9])
    (row,) = pack([a, b, c], 100)
    assert row.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert row.predicting.tolist() == [1, 2, 3, 1, 6, 7]
    assert row.targets.tolist() == [3, 4, 5, 6, 8, 9]
    assert row.loss_mask.tolist() == [True, False, True, True, True, True]
    assert row.old_logprobs.tolist() == [-1.0, 0.0, -2.0, 0.0, 0.0, 0.0]
    assert row.advantages.tolist() == [2.0, 0.0, 2.0, -1.0, 1.0, 1.0]
    assert row.layout.position_ids().tolist() == [[0, 1, 2, 3, 4, 2, 0, 1, 2]]
    assert row.tokens == 9


def test_no_samples_no_rows() -> None:
    assert pack([], 10) == []


def unpack(row: Row) -> list[Found]:
    out: list[Found] = []
    t = 0
    for s in row.layout.segments:
        prompt = tuple(row.input_ids[0, s.start : s.start + s.prompt].tolist())
        at = s.start + s.prompt
        for n in s.lengths:
            cut = slice(t, t + n)
            tokens = tuple(row.input_ids[0, at : at + n].tolist())
            assert tuple(row.targets[cut].tolist()) == tokens
            assert row.predicting[cut].tolist() == [s.start + s.prompt - 1, *range(at, at + n - 1)]
            rest = (row.loss_mask[cut], row.advantages[cut], row.old_logprobs[cut])
            out.append((prompt, tokens, *(tuple(x.tolist()) for x in rest)))  # type: ignore[arg-type]
            at, t = at + n, t + n
    assert t == len(row.targets)
    return out


def drawn(groups: Sequence[tuple[int, Sequence[int]]]) -> list[Sample]:
    g = torch.Generator().manual_seed(0)
    out = []
    for i, (p, lengths) in enumerate(groups):
        prompt = [i, *torch.randint(9, (p,), generator=g).tolist()]
        for n in lengths:
            mask = [*(torch.rand(n - 1, generator=g) > 0.3).tolist(), True]
            out.append(
                sample(prompt, torch.randint(9, (n,), generator=g).tolist(), advantage=float(i), mask=mask)
            )
    return out


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    groups=st.lists(
        st.tuples(st.integers(0, 12), st.lists(st.integers(1, 8), min_size=1, max_size=5)), max_size=5
    ),
    budget=st.integers(1, 60),
)
def test_every_sample_is_in_exactly_one_row(groups: list[tuple[int, list[int]]], budget: int) -> None:
    samples = drawn(groups)
    rows = pack(samples, budget)
    wanted = [(s.prompt_ids, s.completion_ids, s.loss_mask, s.advantages, s.logprobs) for s in samples]
    assert sorted(x for r in rows for x in unpack(r)) == sorted(wanted)
    for row in rows:
        # over the budget only where a single sample is
        assert row.tokens <= budget or sum(len(s.lengths) for s in row.layout.segments) == 1
    assert [r.tokens for r in rows] == sorted((r.tokens for r in rows), reverse=True)


def test_a_prompt_is_computed_once_a_row() -> None:
    samples = drawn([(30, [5] * 8)])
    assert pack(samples, 1000)[0].tokens == 31 + 40
    split = pack(samples, 50)  # three completions beside each copy of the prompt
    assert sorted(len(r.layout.segments[0].lengths) for r in split) == [2, 3, 3]
