"""Decode steps as CUDA graphs: the hundreds of small kernels of a step are started by one call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fivestones.rollout.native.caches import LaneCaches

log = logging.getLogger(__name__)
Forward = Callable[[Tensor, Tensor, LaneCaches], Tensor]
"""(ids [R, 1], position_ids [R, 1], caches) -> hidden states [R, 1, E]."""
Record = Callable[[Forward, Tensor, Tensor, LaneCaches], Callable[[Tensor, Tensor], Tensor]]
BUCKET = 64  # slots by which a step's shape grows: one graph for that many tokens


class Replay:
    """For the caches of one `generate`; on other devices the forward itself.

    The first step of a shape runs as it is, which also prepares what may not happen while recording; the
    second is recorded, and replayed from then on. A model that cannot be recorded goes on unrecorded.
    """

    def __init__(self, forward: Forward, record: Record | None) -> None:
        """record: None leaves every step as it is."""
        self.forward, self.record = forward, record
        self._seen: set[Any] = set()
        self._steps: dict[Any, Callable[[Tensor, Tensor], Tensor]] = {}

    @classmethod
    def on(cls, device: torch.device, forward: Forward) -> Replay:
        return cls(forward, _Recorded if device.type == "cuda" else None)

    def __call__(self, ids: Tensor, positions: Tensor, caches: LaneCaches) -> Tensor:
        shape = caches.shape
        if self.record and shape in self._seen and shape not in self._steps:
            try:
                self._steps[shape] = self.record(self.forward, ids, positions, caches)
            except RuntimeError as error:
                self.record = None
                log.warning("decode steps are not recorded (%s): slower", str(error).splitlines()[0])
        self._seen.add(shape)
        if shape in self._steps:
            return self._steps[shape](ids, positions)
        return self.forward(ids, positions, caches)

    def forget(self) -> None:
        """After the caches have moved: what was recorded reads the old ones."""
        self._seen.clear()
        self._steps.clear()


class _Recorded:
    def __init__(self, forward: Forward, ids: Tensor, positions: Tensor, caches: LaneCaches) -> None:
        self.ids, self.positions = ids.cuda(), positions.cuda()
        self.graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph):
            self.hidden = forward(self.ids, self.positions, caches)

    def __call__(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The result is overwritten by the next step."""
        self.ids.copy_(ids)
        self.positions.copy_(positions)
        self.graph.replay()
        return self.hidden
