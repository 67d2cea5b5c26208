"""Metrics of training -> charts. Any numeric key is drawn; known ones get a name and a unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fivestones.report.charts import Line, line_chart

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
    "second/training": ("Watched sample, training judge", "share of the greatest reward"),
    "second/judge": ("Watched sample, second judge", "share of the greatest reward"),
    "second/alarm": ("Hacking alarm", "1: raised"),
    "second/p_training": ("The training judge's scores rise", "one-sided p"),
    "second/p_gap": ("The second judge's do not follow", "one-sided p"),
    "second/rollouts": ("Watched sample", "rollouts"),
    "second/unscored": ("Watched sample, unscored", "rollouts"),
}
HEALTH = ("completion_tokens", "truncated", "zero_contrast")
NOT_CURVES = ("step", "phase", "time", "timestamp", "seed")
SCHEDULED = ("lr",)  # set, not measured: nothing to smooth
COMPONENT_COLOURS = (0, 3, 2, 4, 6, 5, 7, 1)


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
    drawn = {"reward_mean", *shown, *health}
    return Training(
        steps=len(steps),
        main=main,
        health=[_single(steps, k) for k in health],
        others=[_single(steps, k) for k in keys if k not in drawn],
        warmup=[_single(warmup, k) for k in numeric_keys(warmup)],
    )


def numeric_keys(lines: Sequence[Json]) -> list[str]:
    """Keys with a number in some line, in order of appearance."""
    keys = {
        k: None for line in lines for k, v in line.items() if k not in NOT_CURVES and number_of(v) is not None
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


def _reward(steps: Sequence[Json], max_score: float | None) -> Chart:
    ys = [number_of(m.get("reward_mean")) for m in steps]
    line = Line(name="reward", xs=steps_of(steps), ys=ys)
    unit = f"points, 0 to {max_score:g}" if max_score else "points"
    return _chart("Reward", unit, [line], y_range=(0.0, max_score) if max_score else None)


def _single(steps: Sequence[Json], key: str) -> Chart:
    name, unit = name_of(key)
    return _chart(name, unit, [_line(steps, key, name, 0)], small=True)


def _line(steps: Sequence[Json], key: str, name: str, colour: int) -> Line:
    ys = [number_of(m.get(key)) for m in steps]
    return Line(name=name, xs=steps_of(steps), ys=ys, colour=colour, noisy=key not in SCHEDULED)


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


def steps_of(lines: Sequence[Json]) -> list[float]:
    """The step of each line; its place where it has none."""
    return [s if (s := number_of(line.get("step"))) is not None else float(i) for i, line in enumerate(lines)]


def number_of(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
