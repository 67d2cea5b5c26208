"""Static decode steps: what a CUDA graph would replay, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fivestones.models.attention import install
from fivestones.rollout.native.caches import LaneCaches
from fivestones.rollout.native.replay import Forward, Record, Replay
from fivestones.rollout.native.sampler import NativeSampler
from fivestones.types import Completion, Generation
from tiny import FAMILIES, model, tokenizer

PROMPTS = [(7, 9, *range(20, 20 + n)) for n in (3, 14, 6, 9, 1)]


def sampled(m: Any, bucket: int, recorder: Record | None = None) -> list[Completion]:
    install(m)
    sampler = NativeSampler(m, tokenizer(), (258,), slots=6)
    sampler.bucket = bucket
    if recorder:
        sampler.replay = Replay(sampler._forward, recorder)
    flat = [p for p in PROMPTS for _ in range(3)]
    return sampler.generate(flat, Generation(max_tokens=13), range(len(flat)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bucket", [4, 64])
def test_slots_read_in_buckets_change_nothing(family: str, bucket: int) -> None:
    m = model(family)
    plain, static = sampled(m, 1), sampled(m, bucket)
    assert [c.token_ids for c in static] == [c.token_ids for c in plain]
    for a, b in zip(plain, static, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)


def caches_of(lanes: int = 2, members: int = 2, heads: int = 2, size: int = 8) -> LaneCaches:
    made = LaneCaches(lanes, members, {0: (torch.zeros(heads, 1, size),) * 2}, 8, 12, bucket=4)
    for lane, n in enumerate((3, 6)):
        made.store_prompt(lane, {0: (torch.randn(heads, n, size), torch.randn(heads, n, size))})
    return made


def places(caches: LaneCaches) -> tuple[int, ...]:
    """Where all is that a step reads and writes."""
    masks = [x for kept in caches.step._masks.values() for x in kept if x is not None]
    tensors = [caches.step.row_at, *masks]
    buffers = [x for kind in (caches.prompt, caches.own) for pair in kind.values() for x in pair]
    return tuple(x.data_ptr() for x in (*tensors, *buffers))


def test_a_step_of_the_same_shape_finds_its_tensors_in_place() -> None:
    torch.manual_seed(0)
    caches, q = caches_of(), torch.randn(4, 4, 1, 8)
    found, shapes = set(), []
    for _ in range(6):
        caches.begin_step()
        for window in (None, 5):
            caches.attend(0, q, torch.randn(4, 2, 1, 8), torch.randn(4, 2, 1, 8), 0.3, window)
        found.add((caches.step.shape, places(caches)))
        shapes.append(caches.step.shape)
        seen = caches.step.masks(None)[2][:, 0, 0, 0] == 0
        assert seen.sum(-1).tolist() == (caches.at + 1).tolist()
        caches.end_step()
    assert len(found) == len(set(shapes)) == 2  # the second bucket from the fifth token on


class Recorder:
    """Runs what it recorded on copies of its own, and refuses when anything has moved, as a graph would."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.recorded, self.replayed = fails, 0, 0

    def __call__(
        self, forward: Forward, ids: Tensor, positions: Tensor, caches: LaneCaches
    ) -> Callable[[Tensor, Tensor], Tensor]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        own_ids, own_positions = ids.clone(), positions.clone()
        step, pinned = caches.step, places(caches)

        def replay(ids: Tensor, positions: Tensor) -> Tensor:
            self.replayed += 1
            assert caches.step is step and places(caches) == pinned
            own_ids.copy_(ids)
            own_positions.copy_(positions)
            return forward(own_ids, own_positions, caches)

        return replay


def stepped(replay: Replay, caches: LaneCaches, steps: int) -> list[float]:
    out = []
    for i in range(steps):
        positions = caches.begin_step()
        out.append(float(replay(torch.full((4, 1), i), positions, caches).sum()))
        caches.end_step()
    return out


def forward(ids: Tensor, positions: Tensor, caches: LaneCaches) -> Tensor:
    return (ids * 10 + positions).float()


def test_each_shape_is_recorded_at_its_second_step() -> None:
    recorder = Recorder()
    replay = Replay(forward, recorder)
    caches = caches_of()
    got = stepped(replay, caches, 6)  # four steps of one shape, two of the next
    assert (recorder.recorded, recorder.replayed) == (2, 4)
    assert got == stepped(Replay(forward, None), caches_of(), 6)
    caches.keep([1, 0])  # the buffers have moved
    stepped(replay, caches, 2)
    assert recorder.recorded == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sampler_replays_through_refills_and_freed_lanes(family: str) -> None:
    m = model(family)
    plain = sampled(m, 4)
    recorder = Recorder()
    assert sampled(m, 4, recorder) == plain
    assert recorder.replayed > recorder.recorded > 2


def test_what_cannot_be_recorded_runs_on_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    replay = Replay(forward, Recorder(fails=True))
    for _ in range(2):
        assert stepped(replay, caches_of(), 6) == stepped(Replay(forward, None), caches_of(), 6)
    assert [r.message for r in caplog.records] == [
        "decode steps are not recorded (operation not permitted when stream is capturing): slower"
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_steps_equal_plain_ones(family: str, caplog: pytest.LogCaptureFixture) -> None:
    on_cpu = sampled(model(family), 1)
    on_gpu = sampled(model(family).cuda(), 4)
    assert [c.token_ids for c in on_gpu] == [c.token_ids for c in on_cpu]
    assert not caplog.records  # none refused
