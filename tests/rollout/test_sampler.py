"""The native sampler against transformers' generate, the trainer's log-probs and the softmax itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from fivestones.errors import DataError
from fivestones.models.attention import install
from fivestones.rollout.native.caches import LaneCaches
from fivestones.rollout.native.sampler import NativeSampler, lane_width
from fivestones.train.check import dense_logprobs
from fivestones.train.pack import pack
from fivestones.types import Completion, Generation
from tiny import FAMILIES, VOCABULARY, WINDOW, model, sample, tokenizer

END = 258


def prompts(
    lengths: Sequence[int], seed: int = 0, prefix: Sequence[int] = (7, 9, 11)
) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [(*prefix, *rng.integers(0, 256, n).tolist()) for n in lengths]


def sampler_of(m: Any, *, ends: Sequence[int] = (END,), slots: int = 8, **more: Any) -> NativeSampler:
    install(m)
    return NativeSampler(m, tokenizer(), ends, slots=slots, **more)


def run(
    sampler: NativeSampler, chats: Sequence[Sequence[int]], group: int, **generation: Any
) -> list[Completion]:
    flat = [p for p in chats for _ in range(group)]
    return sampler.generate(flat, Generation(**generation), list(range(len(flat))))


def trainer_logprobs(m: Any, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    with torch.no_grad():
        return dense_logprobs(m, pack([sample(prompt, completion)], 4096)[0])[0].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("slots", "group"), [(1, 1), (8, 1), (8, 8), (12, 3)])
def test_logprobs_equal_the_trainers(family: str, slots: int, group: int) -> None:
    """More groups than lanes, prompts of mixed length, answers of mixed length (an end token is likely)."""
    m = model(family)
    sampler = sampler_of(m, slots=slots, ends=range(0, VOCABULARY, 12))
    chats = prompts([3, 20, 1, 9, 30, 2, 14])
    done = run(sampler, chats, group, max_tokens=14)
    assert len({len(c.token_ids) for c in done}) > 2
    for i, c in enumerate(done):
        expected = trainer_logprobs(m, chats[i // group], c.token_ids)
        assert c.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate(family: str) -> None:
    original, m = model(family), model(family)
    sampler = sampler_of(m, ends=(END, 3, 40))
    chats = prompts([5, 17, 2, 40])
    done = run(sampler, chats, 1, max_tokens=20, temperature=0.0)
    for prompt, c in zip(chats, done, strict=True):
        ids = torch.tensor([prompt])
        out = original.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=20,
            do_sample=False,
            eos_token_id=[END, 3, 40],
            pad_token_id=0,
        )
        assert c.token_ids == tuple(out[0, len(prompt) :].tolist())


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_completion_depends_on_its_prompt_and_seed_only(family: str) -> None:
    sampler = sampler_of(model(family), slots=6, ends=range(0, VOCABULARY, 20))
    chats = prompts([3, 20, 9, 30])
    g = Generation(max_tokens=12)
    flat = [p for p in chats for _ in range(3)]
    seeds = list(range(100, 112))
    together = sampler.generate(flat, g, seeds)
    alone = [sampler.generate([p], g, [s])[0] for p, s in zip(flat, seeds, strict=True)]
    back = sampler.generate(flat[::-1], g, seeds[::-1])[::-1]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone] == [c.token_ids for c in back]
    assert len({c.token_ids for c in together}) > 6  # seeds matter
    again = sampler.generate(flat, g, seeds)
    assert again == together  # bit for bit


def test_groups_of_unequal_size_and_order() -> None:
    """Equal prompts far from each other, and groups over several lanes: each is as when it is alone."""
    m = model()
    sampler = sampler_of(m, slots=6, ends=range(0, VOCABULARY, 12))
    a, b, c, d = prompts([3, 20, 9, 14])
    flat = [a, b, a, a, c, a, d, a, b, a]
    seeds = list(range(50, 60))
    together = sampler.generate(flat, Generation(max_tokens=12), seeds)
    for prompt, seed, got in zip(flat, seeds, together, strict=True):
        assert got.token_ids == sampler.generate([prompt], Generation(max_tokens=12), [seed])[0].token_ids
        assert got.logprobs == pytest.approx(trainer_logprobs(m, prompt, got.token_ids), abs=1e-4)


def test_lanes_are_as_wide_as_groups_are_alike() -> None:
    assert lane_width([8] * 6, 48) == 8
    assert lane_width([8] * 6, 4) == 4  # no wider than what is decoded at once
    assert lane_width([1] * 40, 48) == 1
    assert lane_width([8, 1, 1, 1, 1], 48) == 1  # eight wide, most rows would idle
    assert lane_width([8, 7, 8, 8], 48) == 8
    assert lane_width([4, 4, 8, 2], 48) == 4
    assert lane_width([], 48) == 1


def test_prompts_without_a_common_start_and_of_one_token() -> None:
    m = model()
    chats = [(5,), (9, 9, 4), (200, 1), (9, 3)]
    done = run(sampler_of(m), chats, 2, max_tokens=6)
    for i, c in enumerate(done):
        assert c.logprobs == pytest.approx(trainer_logprobs(m, chats[i // 2], c.token_ids), abs=1e-4)


def test_nothing_to_do() -> None:
    assert sampler_of(model()).generate([], Generation(), []) == []


def test_finish_and_text() -> None:
    """An end token is kept in token_ids and left out of the text; without one the answer is cut at
    max_tokens."""
    text = tokenizer()
    chats = prompts([4, 8])
    free = run(sampler_of(model(), ends=(END,)), chats, 1, max_tokens=10, temperature=0.0)
    assert [c.finish for c in free] == ["length", "length"]
    assert [len(c.token_ids) for c in free] == [10, 10]
    assert free[0].text == text.decode(free[0].token_ids)
    end = free[0].token_ids[4]
    cut = run(sampler_of(model(), ends=(end,)), chats[:1], 1, max_tokens=10, temperature=0.0)[0]
    at = free[0].token_ids.index(end)
    assert cut.finish == "stop" and cut.token_ids == free[0].token_ids[: at + 1]
    assert cut.text == text.decode(free[0].token_ids[:at])
    exact = run(sampler_of(model(), ends=(end,)), chats[:1], 1, max_tokens=at + 1, temperature=0.0)[0]
    assert exact.finish == "stop"


def test_stop_strings_end_the_answer_and_leave_its_text() -> None:
    chats = prompts([6])
    free = run(sampler_of(model(seed=3)), chats, 1, max_tokens=16, temperature=0.0)[0]
    stop = free.text[5:7]
    cut = run(sampler_of(model(seed=3)), chats, 1, max_tokens=16, temperature=0.0, stop=(stop,))[0]
    assert cut.finish == "stop"
    assert cut.text == free.text.split(stop)[0]
    assert len(cut.token_ids) < 16


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_sampling_frequencies_match_the_softmax(temperature: float) -> None:
    """Chi-square over the first token of many seeds, against the softmax at the temperature."""
    m = model(vocabulary=40, spread=0.12)
    sampler = sampler_of(m, ends=(), slots=500)
    prompt, n = (3, 1, 4, 1, 5), 4000
    done = sampler.generate([prompt] * n, Generation(max_tokens=1, temperature=temperature), list(range(n)))
    with torch.no_grad():
        logits = model(vocabulary=40, spread=0.12)(torch.tensor([prompt])).logits[0, -1]
    p = (logits.double() / temperature).softmax(-1).numpy()
    counts = np.bincount([c.token_ids[0] for c in done], minlength=40)
    rare = p * n < 5  # pooled, as the test wants
    expected = np.append(p[~rare], p[rare].sum()) * n
    seen = np.append(counts[~rare], counts[rare].sum())
    keep = expected > 0
    chi2 = float((((seen - expected) ** 2)[keep] / expected[keep]).sum())
    df = int(keep.sum()) - 1
    assert df > 3
    assert chi2 < df + 3.7 * (2 * df) ** 0.5 + 4  # beyond the 99.9% point
    for c in done[:50]:
        assert c.logprobs[0] == pytest.approx(float(np.log(p[c.token_ids[0]])), abs=1e-4)


def test_the_second_token_follows_the_conditional_softmax() -> None:
    m = model(vocabulary=16, spread=0.12)
    sampler = sampler_of(m, ends=(), slots=500)
    prompt, n = (3, 1, 4), 4000
    done = sampler.generate([prompt] * n, Generation(max_tokens=2), list(range(n)))
    first = np.bincount([c.token_ids[0] for c in done]).argmax()
    follow = [c.token_ids[1] for c in done if c.token_ids[0] == first]
    with torch.no_grad():
        ids = torch.tensor([[*prompt, int(first)]])
        p = model(vocabulary=16, spread=0.12)(ids).logits[0, -1].double().softmax(-1).numpy()
    seen = np.bincount(follow, minlength=16) / len(follow)
    assert np.abs(seen - p).max() < 4 * (0.25 / len(follow)) ** 0.5


def test_a_uniform_next_to_one_never_draws_an_impossible_token() -> None:
    """float32 rounds 1 - 1e-9 to 1, past the end of the distribution: the last possible token is the
    answer."""
    m = model(vocabulary=8)
    sampler = sampler_of(m, ends=())
    from fivestones.rollout.native.sampler import _Member

    logits = torch.tensor([[0.0, 1.0, 2.0, -torch.inf, -200.0]])
    member = _Member(0, np.array([1.0 - 1e-12]))
    sampler._sample(logits, [member], Generation(max_tokens=1))
    assert member.token_ids == [2] and np.isfinite(member.logprobs[0])


@pytest.mark.parametrize("prefix_len", [0, 3, 20])
@pytest.mark.parametrize("window", [None, WINDOW, 1000])
def test_both_decode_attentions_equal_the_definition(window: int | None, prefix_len: int) -> None:
    """Lanes of unequal prompt length and progress behind a common prefix."""
    g = torch.Generator().manual_seed(0)
    lanes, members, heads, rep, d = 3, 2, 2, 2, 8
    lengths, steps = (11, 4, 7), (0, 3, 5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g)

    prefix = (draw(heads, prefix_len, d), draw(heads, prefix_len, d))
    caches = LaneCaches(lanes, members, {0: prefix}, 12, 9)
    caches.prompt[0] = (draw(lanes, heads, 12, d), draw(lanes, heads, 12, d))
    caches.own[0] = (draw(lanes * members, heads, 9, d), draw(lanes * members, heads, 9, d))
    caches.prompt_len, caches.at = torch.tensor(lengths), torch.tensor(steps)
    q = draw(lanes * members, heads * rep, 1, d)
    k, v = draw(lanes * members, heads, 1, d), draw(lanes * members, heads, 1, d)
    positions = caches.begin_step()
    got = caches.attend(0, q, k, v, 0.3, window)
    assert positions[:, 0].tolist() == [
        prefix_len + p + s for p, s in zip(lengths, steps, strict=True) for _ in range(members)
    ]

    for row in range(lanes * members):
        lane = row // members
        keys, values = (
            torch.cat(
                [
                    prefix[i],
                    caches.prompt[0][i][lane, :, : lengths[lane]],
                    caches.own[0][i][row, :, : steps[lane] + 1],
                ],
                dim=1,
            )
            for i in (0, 1)
        )
        if window:
            keys, values = keys[:, -window:], values[:, -window:]
        for h in range(heads * rep):
            weights = (keys[h // rep] @ q[row, h, 0] * 0.3).softmax(0)
            assert torch.allclose(got[row, h, 0], weights @ values[h // rep], atol=1e-5)


def test_a_prompt_past_the_context_is_an_error() -> None:
    sampler = sampler_of(model(), context=20)
    run(sampler, prompts([7]), 1, max_tokens=10)  # 10 + 10 just fit
    with pytest.raises(DataError, match=r"11 tokens and 10 new tokens.*context of 20"):
        run(sampler, prompts([8]), 1, max_tokens=10)


def test_each_completion_is_told_of_when_it_has_ended() -> None:
    told: dict[int, Completion] = {}
    m = model().train()
    sampler = sampler_of(m, slots=4)
    flat = [p for p in prompts([3, 5, 8]) for _ in range(2)]
    done = sampler.generate(flat, Generation(max_tokens=4), list(range(6)), told.__setitem__)
    assert [told[i] for i in range(6)] == done
    assert set(list(told)[:4]) == {2, 3, 4, 5}  # the shortest prompt waited for a lane
    assert m.training
    sampler.sync(m, 5)
    assert sampler.version == 5
