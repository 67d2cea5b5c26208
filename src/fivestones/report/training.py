"""Metrics and timings of training -> charts. Any numeric key is drawn; known ones get a name and a unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fivestones.report.charts import Line, line_chart, stacked_bars

Json = Mapping[str, Any]

NAMES = {  # key -> (name, unit); the longest key that starts the metric's name counts
    "reward_mean": ("Reward", "points"),
    "gate_rate": ("Outputs that pass the gates", "share"),
    "completion_tokens": ("Length of an output", "tokens"),
    "truncated": ("Outputs cut at the token limit", "share"),
    "zero_contrast": ("Groups without contrast", "groups a step"),
    "entropy": ("Entropy", "nats a token"),
    "kl": ("Divergence from the reference", "nats a token"),
    "mismatch": ("Sampler against trainer", "nats a token"),
    "grad_norm": ("Gradient norm", "before clipping"),
    "lr": ("Learning rate", "a step"),
    "loss": ("Loss", "a token"),
    "clip": ("Clipped tokens", "share"),
    "unscored": ("Unscored outputs", "rollouts"),
}
HEALTH = ("completion_tokens", "truncated", "zero_contrast")
NOT_CURVES = ("step", "phase", "time", "timestamp", "seed")
TOTALS = ("total", "seconds", "step_seconds", "wall")
SCHEDULED = ("lr",)  # set, not measured: nothing to smooth
COMPONENT_COLOURS = (0, 3, 2, 4, 6, 5, 7, 1)
MEMORY = ("peak", "memory", "rss", "gib", "gb", "mb", "bytes")


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    unit: str
    svg: Markup
    legend: list[tuple[str, int]]  # name, colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    steps: int
    main: list[Chart]  # reward, criteria
    health: list[Chart]  # lengths, truncation, contrast
    others: list[Chart]
    warmup: list[Chart]


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    chart: Chart | None
    seconds: float | None  # of all steps
    parts: list[tuple[str, float, float]]  # name, seconds, share
    peaks: list[tuple[str, float]]  # memory key -> its highest value


def training(metrics: Sequence[Json], max_score: float | None) -> Training:
    warmup = [m for m in metrics if m.get("phase") == "warmup"]
    steps = [m for m in metrics if m.get("phase") == "train"]
    keys = numeric_keys(steps)
    main = [_reward(steps, max_score)] if "reward_mean" in keys else []
    parts = [k for k in keys if k.startswith("criteria/")]
    shown = [*parts, *(["gate_rate"] if "gate_rate" in keys else [])]
    if shown:
        lines = [
            _line(steps, k, k.removeprefix("criteria/"), COMPONENT_COLOURS[i % 8])
            for i, k in enumerate(shown)
        ]
        main.append(_chart("Components of the reward", "mean, 0 to 1", lines, y_range=(0.0, 1.0)))
    health = [k for k in keys if k.startswith(HEALTH)]
    drawn = {"reward_mean", "reward_low", "reward_high", *shown, *health}
    return Training(
        steps=len(steps),
        main=main,
        health=[_single(steps, k) for k in health],
        others=[_single(steps, k) for k in keys if k not in drawn],
        warmup=[_single(warmup, k) for k in numeric_keys(warmup)],
    )


def times(timings: Sequence[Json]) -> Time:
    """Seconds by part of a step. Keys that name memory are peaks; a total is not a part."""
    flat = [_flatten(line) for line in timings if line.get("phase") == "train"]
    keys = numeric_keys(flat)
    memory = [k for k in keys if any(word in k.lower() for word in MEMORY)]
    totals = [k for k in keys if k in TOTALS]
    parts = {k: [_number(line.get(k)) or 0.0 for line in flat] for k in keys if k not in (*memory, *totals)}
    sums = {k: sum(v) for k, v in parts.items()}
    whole = sum(_number(line.get(totals[0])) or 0.0 for line in flat) if totals else sum(sums.values())
    chart = None
    if parts:
        svg = stacked_bars(_steps(flat), parts, title="Time per step", unit="s")
        chart = Chart("Time per step", "seconds", svg, [(k, i % 8) for i, k in enumerate(parts)])
    peaks = [(k, max(v for line in flat if (v := _number(line.get(k))) is not None)) for k in memory]
    shares = [(k, v, v / whole if whole else 0.0) for k, v in sums.items()]
    return Time(chart=chart, seconds=whole if flat else None, parts=shares, peaks=peaks)


def numeric_keys(lines: Sequence[Json]) -> list[str]:
    """Keys with a number in some line, in order of appearance."""
    keys = {
        k: None for line in lines for k, v in line.items() if k not in NOT_CURVES and _number(v) is not None
    }
    return list(keys)


def name_of(key: str) -> tuple[str, str]:
    """Name and unit of a metric; an unknown one keeps its key."""
    known = max((k for k in NAMES if key.startswith(k)), key=len, default=None)
    if known is None:
        return key, ""
    name, unit = NAMES[known]
    rest = key.removeprefix(known).strip("_/ ").removeprefix("mean").strip("_/ ")
    return (f"{name} ({rest})" if rest else name), unit


def _flatten(line: Json) -> dict[str, Any]:
    """Parts may be nested one level: {"step": 1, "seconds": {"rollout": 2.0}}."""
    out: dict[str, Any] = {}
    for key, value in line.items():
        out.update(value if isinstance(value, Mapping) else {key: value})
    return out


def _reward(steps: Sequence[Json], max_score: float | None) -> Chart:
    lows = [_number(m.get("reward_low")) for m in steps]
    highs = [_number(m.get("reward_high")) for m in steps]
    banded = any(v is not None for v in lows) and any(v is not None for v in highs)
    ys = [_number(m.get("reward_mean")) for m in steps]
    line = Line(
        name="reward", xs=_steps(steps), ys=ys, lows=lows if banded else (), highs=highs if banded else ()
    )
    unit = f"points, 0 to {max_score:g}" if max_score else "points"
    return _chart("Reward", unit, [line], y_range=(0.0, max_score) if max_score else None)


def _single(steps: Sequence[Json], key: str) -> Chart:
    name, unit = name_of(key)
    return _chart(name, unit, [_line(steps, key, name, 0)], small=True)


def _line(steps: Sequence[Json], key: str, name: str, colour: int) -> Line:
    ys = [_number(m.get(key)) for m in steps]
    return Line(name=name, xs=_steps(steps), ys=ys, colour=colour, noisy=key not in SCHEDULED)


def _chart(
    title: str,
    unit: str,
    lines: list[Line],
    *,
    y_range: tuple[float, float] | None = None,
    small: bool = False,
) -> Chart:
    svg = line_chart(lines, title=title, unit=unit, y_range=y_range, small=small)
    return Chart(title, unit, svg, [(line.name, line.colour) for line in lines] if len(lines) > 1 else [])


def _steps(lines: Sequence[Json]) -> list[float]:
    """The step of each line; its place where it has none."""
    return [s if (s := _number(line.get("step"))) is not None else float(i) for i, line in enumerate(lines)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
