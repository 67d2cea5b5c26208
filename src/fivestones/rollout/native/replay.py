"""Decode steps as CUDA graphs: the hundreds of small kernels of a step are started by one call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fivestones.rollout.native.caches import LaneCaches

log = logging.getLogger(__name__)
Forward = Callable[[Tensor, Tensor, LaneCaches], Tensor]
"""(ids [R, 1], position_ids [R, 1], caches) -> hidden states [R, 1, E]."""
Record = Callable[[Forward, Tensor, Tensor, LaneCaches], Callable[[Tensor, Tensor], Tensor]]
BUCKET = 64  # slots by which prompts and completions are read: a step's shape, and its graph, stay that long


class Replay:
    """On devices other than CUDA the forward itself.

    The first step of a shape runs as it is, which also prepares what may not happen while recording; the
    second is recorded, and replayed from then on. A model that cannot be recorded goes on unrecorded.
    """

    def __init__(self, forward: Forward, record: Record | None) -> None:
        """record: None leaves every step as it is."""
        self.forward, self.record = forward, record

    @classmethod
    def on(cls, device: torch.device, forward: Forward) -> Replay:
        if device.type != "cuda":
            return cls(forward, None)
        # one pool: a step's result is used up before the next one is replayed
        return cls(forward, partial(_Recorded, torch.cuda.graph_pool_handle()))

    def __call__(self, ids: Tensor, positions: Tensor, caches: LaneCaches) -> Tensor:
        step = caches.step
        step.runs += 1
        if self.record and step.runs == 2:
            try:
                step.recorded = self.record(self.forward, ids, positions, caches)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.record = None
                log.warning("decode steps are not recorded (%s): slower", str(error).splitlines()[0])
        if step.recorded:
            return step.recorded(ids, positions)
        return self.forward(ids, positions, caches)


class _Recorded:
    def __init__(
        self, pool: Any, forward: Forward, ids: Tensor, positions: Tensor, caches: LaneCaches
    ) -> None:
        self.ids, self.positions = ids.cuda(), positions.cuda()
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(self.graph, pool=pool):
                self.hidden = forward(self.ids, self.positions, caches)
        finally:
            torch.cuda.set_stream(stream)  # a recording that fails leaves its own

    def __call__(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The result is overwritten by the next step."""
        self.ids.copy_(ids)
        self.positions.copy_(positions)
        self.graph.replay()
        return self.hidden
