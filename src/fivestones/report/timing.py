"""timings.jsonl -> what each stage took, and the parts of a training step.

Every line has `total`: the seconds that it accounts for. Steps that a resumed run did twice were paid twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fivestones.report.charts import stacked_bars
from fivestones.report.files import last_of_each
from fivestones.report.training import Chart, number_of, steps_of

Json = Mapping[str, Any]

STAGES = {"synth": "synthesis", "warmup": "warm-up", "train": "GRPO", "imitation": "imitation"}
NOT_PARTS = ("step", "tasks", "total", "peak_memory_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str
    seconds: float
    share: float  # of all stages
    peak: float | None  # GiB that the process had held at most, by the end of the stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    name: str
    seconds: float
    share: float  # of the training steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    seconds: float | None  # of all stages; None without timings
    peak: float | None  # GiB
    stages: list[Stage]
    parts: list[Part]  # of the training steps
    chart: Chart | None


def times(timings: Sequence[Json]) -> Time:
    """The stages in the order in which they began."""
    lines: dict[str, list[Json]] = {}
    for line in timings:
        lines.setdefault(_stage(line), []).append(line)
    seconds = {name: sum(_seconds(line) for line in found) for name, found in lines.items()}
    whole = sum(seconds.values())
    stages = [
        Stage(name=name, seconds=s, share=s / whole if whole else 0.0, peak=_peak(lines[name]))
        for name, s in seconds.items()
    ]
    steps = last_of_each([line for line in timings if line.get("phase") == "train"])
    return Time(
        seconds=whole if timings else None,
        peak=_peak(timings),
        stages=stages,
        parts=_parts(steps),
        chart=_chart(steps),
    )


def _stage(line: Json) -> str:
    phase = str(line.get("phase"))
    if phase == "evaluate":
        return f"evaluation of {line.get('contestant')}"
    return STAGES.get(phase, phase)


def _seconds(line: Json) -> float:
    return number_of(line.get("total")) or 0.0


def _peak(lines: Sequence[Json]) -> float | None:
    found = [v for line in lines if (v := number_of(line.get("peak_memory_bytes"))) is not None]
    return max(found) / (1 << 30) if found else None


def _names(steps: Sequence[Json]) -> list[str]:
    """The parts that some step has, in order of appearance."""
    return list(
        dict.fromkeys(
            k for line in steps for k, v in line.items() if k not in NOT_PARTS and number_of(v) is not None
        )
    )


def _column(steps: Sequence[Json], name: str) -> list[float]:
    return [number_of(line.get(name)) or 0.0 for line in steps]


def _parts(steps: Sequence[Json]) -> list[Part]:
    """Parts of the steps, and what is left: loading, checkpoints, logs."""
    whole = sum(map(_seconds, steps))
    sums = {name: sum(_column(steps, name)) for name in _names(steps)}
    if sums:
        sums["other"] = max(0.0, whole - sum(sums.values()))
    return [Part(name=k, seconds=v, share=v / whole if whole else 0.0) for k, v in sums.items()]


def _chart(steps: Sequence[Json]) -> Chart | None:
    names = _names(steps)
    if not names:
        return None
    columns = {name: _column(steps, name) for name in names}
    svg = stacked_bars(steps_of(steps), columns, title="Time per step", unit="s")
    return Chart("Time per step", "seconds", svg, [(name, i % 8) for i, name in enumerate(names)])
