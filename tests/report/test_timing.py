from __future__ import annotations

from typing import Any

import pytest

from fivestones.report.timing import times

GIB = 1 << 30


def line(phase: str, total: float, **more: Any) -> dict[str, Any]:
    return {"phase": phase, "total": total, **more}


def test_every_stage_is_counted_and_what_was_done_twice_twice() -> None:
    lines = [
        line("synth", 10.0),
        line("warmup", 20.0, step=1, update=19.0, peak_memory_bytes=1.0 * GIB),
        line("train", 30.0, step=1, rollout=20.0, update=6.0, peak_memory_bytes=2.5 * GIB),
        line("train", 9.0, step=2, rollout=5.0, update=3.0),  # killed before a checkpoint
        line("train", 11.0, step=2, rollout=6.0, update=4.0, peak_memory_bytes=2.0 * GIB),
        line("imitation", 5.0, step=1, update=4.0),
        line("evaluate", 4.0, contestant="base", dataset="test", tasks=128),
        line("evaluate", 3.0, contestant="base", dataset="real", tasks=9),
        line("evaluate", 8.0, contestant="trained", dataset="test", tasks=128),
    ]
    found = times(lines)
    assert {s.name: s.seconds for s in found.stages} == {
        "synthesis": 10.0,
        "warm-up": 20.0,
        "GRPO": 50.0,
        "imitation": 5.0,
        "evaluation of base": 7.0,
        "evaluation of trained": 8.0,
    }
    assert found.seconds == 100.0
    assert sum(s.share for s in found.stages) == pytest.approx(1.0)
    assert {s.name: s.peak for s in found.stages if s.peak} == {"warm-up": 1.0, "GRPO": 2.5}
    assert found.peak == 2.5


def test_parts_of_a_step_and_the_rest_of_it() -> None:
    lines = [
        line("train", 30.0, step=1, rollout=20.0, update=6.0),
        line("train", 9.0, step=2, rollout=5.0, update=3.0),
        line("train", 10.0, step=2, rollout=6.0, update=4.0),  # done again: the chart shows it once
    ]
    found = times(lines)
    parts = {p.name: (p.seconds, p.share) for p in found.parts}
    assert parts == {"rollout": (26.0, 0.65), "update": (10.0, 0.25), "other": (4.0, 0.1)}
    assert found.chart is not None
    assert [name for name, _ in found.chart.legend] == ["rollout", "update"]


def test_no_timings() -> None:
    found = times([])
    assert (found.seconds, found.peak, found.stages, found.parts, found.chart) == (None, None, [], [], None)
