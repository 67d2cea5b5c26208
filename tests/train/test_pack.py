"""Packing loses nothing, shares each prompt and keeps to the budget."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.train.pack import Row, from_one_prompt, pack
from fivestones.types import Sample
from tiny import sample

Found = tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...], tuple[float, ...], tuple[float, ...]]


def test_golden() -> None:
    a = sample([1, 2], [3, 4, 5], advantage=2.0, mask=[True, False, True], logprobs=[-1.0, 0.0, -2.0])
    b = sample([1, 2], [6], advantage=-1.0)
    c = sample([7], [8, 9])
    (row,) = pack([a, b, c], 100)
    assert row.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert row.counted.tolist() == [True, False, True, True, True, True]
    assert row.predicting.tolist() == [1, 3, 1, 6, 7]
    assert row.targets.tolist() == [3, 5, 6, 8, 9]
    assert row.old_logprobs.tolist() == [-1.0, -2.0, 0.0, 0.0, 0.0]
    assert row.advantages.tolist() == [2.0, 2.0, -1.0, 1.0, 1.0]
    assert row.layout.position_ids().tolist() == [[0, 1, 2, 3, 4, 2, 0, 1, 2]]
    assert row.tokens == 9


def test_no_samples_no_rows() -> None:
    assert pack([], 10) == []


def unpack(row: Row) -> list[Found]:
    out: list[Found] = []
    t = done = 0
    for s in row.layout.segments:
        prompt = tuple(row.input_ids[0, s.start : s.start + s.prompt].tolist())
        at = s.start + s.prompt
        for n in s.lengths:
            tokens = row.input_ids[0, at : at + n]
            counted = row.counted[done : done + n]
            cut = slice(t, t + int(counted.sum()))
            assert row.targets[cut].equal(tokens[counted])
            before = torch.tensor([s.start + s.prompt - 1, *range(at, at + n - 1)])
            assert row.predicting[cut].equal(before[counted])
            rest = (row.advantages[cut], row.old_logprobs[cut])
            out.append((prompt, *(tuple(x.tolist()) for x in (tokens, counted, *rest))))  # type: ignore[arg-type]
            at, t, done = at + n, cut.stop, done + n
    assert t == len(row.targets) == int(row.counted.sum())
    return out


def counted(s: Sample, values: Sequence[float]) -> tuple[float, ...]:
    return tuple(v for v, m in zip(values, s.loss_mask, strict=True) if m)


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


@settings(max_examples=60, derandomize=True)
@given(
    groups=st.lists(
        st.tuples(st.integers(0, 12), st.lists(st.integers(1, 8), min_size=1, max_size=5)), max_size=5
    ),
    budget=st.integers(1, 60),
)
def test_every_sample_is_in_exactly_one_row(groups: list[tuple[int, list[int]]], budget: int) -> None:
    samples = drawn(groups)
    rows = pack(samples, budget)
    wanted = [
        (s.prompt_ids, s.completion_ids, s.loss_mask, counted(s, s.advantages), counted(s, s.logprobs))
        for s in samples
    ]
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


def test_a_sample_of_which_nothing_counts_is_left_out() -> None:
    a, b = sample([1], [2, 3], mask=[False, False]), sample([1], [4])
    assert [r.input_ids.tolist() for r in pack([a, b], 100)] == [[[1, 4]]]
    assert pack([a], 100) == []


def test_what_all_prompts_begin_with_becomes_the_prompt() -> None:
    a = sample([1, 2, 3], [7, 8], mask=[True, False], logprobs=[-1.0, 0.0])
    b = sample([1, 2, 4, 5], [9])
    alone = [sample([1, 2], [3]), sample([1, 5], [6])]
    assert len(from_one_prompt(alone)[0].prompt_ids) == 1
    groups = [sample([1, 2, n], [7] * 5) for n in (3, 4) for _ in range(8)]
    assert from_one_prompt(groups) == groups  # each prompt is shared as it is
    long = [sample([1, 2], [7] * 50), sample([1, 5], [8] * 50)]
    assert from_one_prompt(long) == long  # saves next to nothing
    first, second = from_one_prompt([a, b])
    assert first.prompt_ids == second.prompt_ids == (1, 2)
    assert first.completion_ids == (3, 7, 8) and second.completion_ids == (4, 5, 9)
    assert first.loss_mask == (False, True, False) and first.logprobs == (0.0, -1.0, 0.0)
    assert second.advantages == (0.0, 0.0, 1.0)
    assert from_one_prompt([a, a]) == [a, a] and from_one_prompt([]) == []
    apart = [a, sample([9], [9])]
    assert from_one_prompt(apart) == apart  # nothing in common
    inside = from_one_prompt([sample([1], [5]), sample([1, 2], [6])])
    assert [s.completion_ids for s in inside] == [(5,), (2, 6)]
