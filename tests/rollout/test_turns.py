"""Chats of several turns: what is kept between them changes nothing but the work."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

import tiny
from fivestones.models.attention import install
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.rollout.native.turns import OpenChats, Past, known
from fivestones.types import Completion, Generation

END = 258


def sampler(family: str, several_turns: bool, ends: Sequence[int] = (END,)) -> NativeSampler:
    model = tiny.model(family)
    install(model)
    return NativeSampler(model, tiny.tokenizer(), ends, slots=8, several_turns=several_turns)


def episodes(made: NativeSampler, system: int) -> list[list[Completion]]:
    """Three turns of two tasks of three rollouts; those that were cut, and the fifth, end there."""
    prompts = [tuple(range(system)) + p for p in ((50, 51, 52), (60, 61)) for _ in range(3)]
    chats, all_turns = list(prompts), []
    places = list(range(6))
    for turn in range(3):
        seeds = [100 * turn + i for i in places]
        done = made.generate([chats[i] for i in places], Generation(max_tokens=9, stop=("a",)), seeds)
        all_turns.append(done)
        still = []
        for i, completion in zip(places, done, strict=True):
            chats[i] = (*chats[i], *completion.token_ids, *range(70, 74 + turn + i % 2))
            if completion.finish == "stop" and i != 4:
                still.append(i)
        places = still or places[:2]
    return all_turns


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("system", [0, 10])
def test_turns_are_the_same_with_what_was_kept(family: str, system: int) -> None:
    plain, kept = (episodes(sampler(family, several), system) for several in (False, True))
    for turn, (a, b) in enumerate(zip(plain, kept, strict=True)):
        assert [c.token_ids for c in a] == [c.token_ids for c in b], turn
        for one, other in zip(a, b, strict=True):
            assert torch.tensor(one.logprobs) == pytest.approx(torch.tensor(other.logprobs), abs=1e-4)


def computed(made: NativeSampler) -> list[int]:
    """To which each forward from now on adds its tokens."""
    seen: list[int] = []
    forward = made._forward

    def counted(ids: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append(ids.numel())
        return forward(ids, *rest)  # type: ignore[arg-type]

    made._forward = counted  # type: ignore[method-assign]
    return seen


def test_only_what_is_new_is_computed() -> None:
    made = sampler("llama", True, range(tiny.VOCABULARY))  # each turn is one token
    seen = computed(made)
    prompts = [tuple(range(40)), (*range(30), 99, 98)]
    first = made.generate(prompts, Generation(max_tokens=4), [1, 2])
    chats = [(*p, *c.token_ids, 7, 8) for p, c in zip(prompts, first, strict=True)]
    seen.clear()
    made.generate(chats, Generation(max_tokens=1), [3, 4])
    # what all begin with, then of each chat its last sampled token and the reply
    assert seen == [30, 3 + 3]
    made.forget()
    seen.clear()
    made.generate(chats, Generation(max_tokens=1), [3, 4])
    assert seen == [30, 13 + 5]


def test_the_last_open_chat_is_not_computed_anew() -> None:
    made = sampler("llama", True, range(tiny.VOCABULARY))
    seen = computed(made)
    prompts = [tuple(range(40)), (*range(30), 99, 98)]
    first = made.generate(prompts, Generation(max_tokens=4), [1, 2])
    last = (*prompts[0], *first[0].token_ids, 7, 8)
    for _ in range(2):
        seen.clear()
        (done,) = made.generate([last], Generation(max_tokens=4), [3])
        assert seen == [30, 3]  # what both began with, then the sampled token and the reply
        last = (*last, *done.token_ids, 7, 8)


def test_no_more_is_kept_than_memory_allows() -> None:
    keys = torch.empty(1, 100, 1)  # 400 bytes, and values as many
    chats = OpenChats(most=1600)
    for name in range(3):
        chats.keep((name,) * 5, Past(2, {0: (keys, keys)}))
    chats.begin()
    assert known(chats.find((0,) * 6, 1)) == 0  # what is kept begins later
    assert known(chats.find((0,) * 5, 2)) == 0  # nothing new would be left
    assert [known(chats.find((name,) * 6, 2)) for name in (0, 0, 2)] == [100, 0, 0]
    chats.keep((7,) * 5, Past(2, {0: (keys, keys)}))  # in the place of the one that was taken
    chats.keep((8,) * 5, Past(2, {0: (keys, keys)}))  # no room beside the turn before
    chats.begin()
    assert [known(chats.find((name,) * 6, 2)) for name in (7, 8)] == [100, 0]
