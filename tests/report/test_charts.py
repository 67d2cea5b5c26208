from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.report import charts, text
from fivestones.report.training import name_of, training

FINITE = st.floats(-1e6, 1e6)


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.just(math.nan), FINITE), max_size=60))
def test_any_curve_draws_well_formed_svg_inside_its_box(ys: list[float | None]) -> None:
    line = charts.Line(name="a<b>&", xs=list(range(len(ys))), ys=ys)
    svg = charts.line_chart([line], title='t"<', unit="u")
    root = ET.fromstring(svg)
    if root.tag != "svg":
        assert not [y for y in ys if y is not None and not math.isnan(y)]
        return
    assert "nan" not in svg.lower().replace("nats", "")
    for dot in root.iter("circle"):
        assert 0 <= float(dot.attrib["cx"]) <= 720
        assert 0 <= float(dot.attrib["cy"]) <= 280


@settings(max_examples=60)
@given(FINITE, st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_within_and_not_too_many(low: float, span: float, about: int) -> None:
    found = charts.ticks(low, low + span, about)
    assert len(found) <= about + 1
    slack = 1e-6 * (abs(low) + span)
    assert all(low - slack <= t <= low + span + slack for t in found)


def test_ticks_golden() -> None:
    assert charts.ticks(0, 5, 5) == [0, 1, 2, 3, 4, 5]
    assert charts.ticks(3, 3, 5) == [3]


def test_bars_stand_for_their_values() -> None:
    figures = {("S", "a"): {"mean": 0.5, "low": 0.4, "high": 0.6}, ("S", "b"): {"mean": 1.0}, ("O", "a"): {}}
    svg = charts.grouped_bars(["S", "O"], ["a", "b"], figures, title="t", colours={"a": 0, "b": 1})
    heights = [float(r.attrib["height"]) for r in ET.fromstring(svg).iter("rect")]
    assert len(heights) == 2  # the unknown ones leave a gap
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert svg.count('class="whisker"') == 1


def test_a_running_mean_skips_unknown_values() -> None:
    assert charts.running_mean([1, None, 3], 3) == [1, 2, 3]
    assert charts.running_mean([None], 3) == [None]


def test_stacked_bars_merge_many_steps_and_keep_the_mean() -> None:
    svg = charts.stacked_bars(list(range(500)), {"rollout": [2.0] * 500}, title="t", unit="s")
    bars = list(ET.fromstring(svg).iter("rect"))
    assert len(bars) <= 60
    assert len({b.attrib["height"] for b in bars}) == 1


def test_training_draws_any_numeric_key_and_only_those() -> None:
    metrics = [
        {"step": i, "phase": "train", "reward_mean": i, "odd": i, "text": "x", "flag": True} for i in range(3)
    ]
    found = training([{"phase": "warmup", "step": 0, "loss": 1.0}, *metrics], 5.0)
    assert (found.steps, [c.title for c in found.main], [c.title for c in found.others]) == (
        3,
        ["Reward"],
        ["odd"],
    )
    assert [c.title for c in found.warmup] == ["Loss"]


def test_names_of_metrics() -> None:
    assert (
        name_of("completion_tokens") == name_of("completion_tokens_mean") == ("Length of an output", "tokens")
    )
    assert name_of("completion_tokens/p90")[0] == "Length of an output (p90)"
    assert name_of("anything") == ("anything", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (4027 / 4028, "99.98"),
        (0.99996, "99.996"),
        (1.0, "100.0"),
        (0.987, "98.7"),
        (0.9999999, "99.999"),
        (0.0, "0.0"),
        (0.0004, "0.04"),
        (1e-9, "0.001"),
        (None, "–"),
    ],
)
def test_percent_never_rounds_to_all_or_none(value: float | None, shown: str) -> None:
    assert text.percent(value) == shown


def test_numbers() -> None:
    assert [text.number(v) for v in (4028, 3.14159, 0.0, 0.003, 1e-7, None, math.nan)] == [
        "4,028",
        "3.14",
        "0.00",
        "0.003",
        "1.0e-07",
        "–",
        "–",
    ]
    assert [text.signed(v) for v in (0.5, -0.5, 0.0)] == ["+0.50", "-0.50", "0.00"]
    assert [text.duration(v) for v in (3.21, 42, 185, 7800)] == ["3.2 s", "42 s", "3 min 5 s", "2 h 10 min"]


def test_an_estimate_without_interval_says_so() -> None:
    assert text.interval_of({"mean": 1.0, "low": None, "high": None}) == "no interval"
    assert text.interval_of({"mean": None, "low": None, "high": None}) == ""
