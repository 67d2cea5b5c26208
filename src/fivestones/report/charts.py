"""Inline SVG charts. Colours are CSS classes (k0, k1 ...): light, dark and print are the page's matter.

Every function returns safe markup; every text that goes in is escaped. Units are those of the viewBox: a
chart scales with the page. Unknown values (None, NaN) leave a gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from markupsafe import Markup, escape

Number = float | int | None
SMOOTH_FROM = 24  # points from which a line gets a running mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    name: str
    xs: Sequence[float]
    ys: Sequence[Number]
    colour: int = 0
    noisy: bool = True  # False: drawn as it is, however many points


@dataclass(frozen=True, slots=True)
class Frame:
    """Data coordinates -> viewBox coordinates."""

    width: float
    height: float
    left: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]
    top: float = 10
    right: float = 10

    def px(self, x: float) -> float:
        low, high = self.x
        return self.left + (x - low) / ((high - low) or 1) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        low, high = self.y
        inside = min(max(y, low), high)
        return self.height - self.bottom - (inside - low) / ((high - low) or 1) * self.plot_height

    @property
    def plot_height(self) -> float:
        return self.height - self.bottom - self.top


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    unit: str,
    y_range: tuple[float, float] | None = None,
    small: bool = False,
    x_label: str = "step",
) -> Markup:
    """Lines over steps. Many points: the raw line faint, its running mean bold."""
    width, height = (340.0, 170.0) if small else (720.0, 280.0)
    xs = [x for line in lines for x in line.xs]
    seen = [v for line in lines for v in line.ys if _known(v)]
    if not xs or not seen:
        return Markup('<p class="absent">no values</p>')
    low, high = y_range or _padded(min(seen), max(seen))
    frame = Frame(width, height, 52, 34, (min(xs), max(xs)), (low, high))
    parts = [_axes(frame, x_label, 4 if small else 6, 4 if small else 5)]
    for line in lines:
        smooth = line.noisy and len(line.ys) >= SMOOTH_FROM
        parts.append(_path(frame, line.xs, line.ys, f"line k{line.colour}{' faint' if smooth else ''}"))
        if smooth:
            mean = running_mean(line.ys, max(5, len(line.ys) // 15))
            parts.append(_path(frame, line.xs, mean, f"line k{line.colour}"))
        parts.append(_dots(frame, line, unit, visible=len(line.ys) < SMOOTH_FROM))
    last = "; ".join(f"{line.name} ends at {_short(_last(line.ys))}" for line in lines)
    return _svg(frame, f"{title}, {unit}: {last}", parts)


def grouped_bars(
    groups: Sequence[str],
    series: Sequence[str],
    figures: Mapping[tuple[str, str], Mapping[str, Number]],
    *,
    title: str,
    colours: Mapping[str, int],
    maximum: float = 1.0,
) -> Markup:
    """A group of bars a section, a bar a contestant, 95% whiskers. figures: (group, series) -> estimate."""
    frame = Frame(720, 300, 52, 34, (0, len(groups)), (0, maximum))
    parts = [_grid(frame, 5)]
    bar = 0.78 / max(1, len(series))
    said = []
    for g, group in enumerate(groups):
        parts.append(_text(frame.px(g + 0.5), frame.height - 12, group, "label", "middle"))
        for s, name in enumerate(series):
            figure = figures.get((group, name), {})
            mean = figure.get("mean")
            if not _known(mean):
                continue
            x0, x1 = frame.px(g + 0.11 + s * bar), frame.px(g + 0.11 + (s + 1) * bar)
            low, high = figure.get("low"), figure.get("high")
            tip, whisker, top = f"{name}, {group}: {mean:.3f}", "", frame.py(mean)
            if _known(low) and _known(high):
                tip += f" ({low:.3f} to {high:.3f})"
                top = frame.py(high)
                whisker = _whisker((x0 + x1) / 2, frame.py(low), top)
            said.append(tip)
            y = frame.py(mean)
            shape = (
                f'<rect class="bar k{colours.get(name, 0)}" x="{x0 + 1:.1f}" y="{y:.1f}" '
                f'width="{max(1, x1 - x0 - 2):.1f}" height="{frame.py(0) - y:.1f}" rx="2"/>'
            )
            parts.append(f"<g><title>{escape(tip)}</title>{shape}{whisker}</g>")
            parts.append(_text((x0 + x1) / 2, top - 5, f"{mean:.2f}", "value", "middle"))
    return _svg(frame, f"{title}. " + "; ".join(said), parts)


def difference_chart(
    rows: Sequence[tuple[str, Mapping[str, Number]]], *, title: str, margin: float
) -> Markup:
    """Differences with their intervals, one a row; a line at 0 and a dashed one at -margin."""
    known = [(name, f) for name, f in rows if _known(f.get("mean"))]
    if not known:
        return Markup('<p class="absent">no differences</p>')
    marks = [f.get(k) for _, f in known for k in ("mean", "low", "high")]
    ends = [v for v in marks if _known(v)]
    low, high = _padded(min(*ends, -margin, 0), max(*ends, 0))
    frame = Frame(720, 46 + 30 * len(known), 230, 34, (low, high), (0, 1), right=20)
    parts = [_x_ticks(frame, 7)]
    for at, kind in ((0.0, "zero"), (-margin, "margin")):
        x = frame.px(at)
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{frame.height - 34:.1f}"/>')
    for i, (name, figure) in enumerate(known):
        y, mean = 24.0 + 30 * i, float(figure["mean"] or 0)
        parts.append(_text(frame.left - 12, y + 4, name, "label", "end"))
        tip = f"{name}: {mean:+.3f}"
        a, b = figure.get("low"), figure.get("high")
        mark = ""
        if _known(a) and _known(b):
            tip += f" ({a:+.3f} to {b:+.3f})"
            mark = f'<line class="span" x1="{frame.px(a):.1f}" x2="{frame.px(b):.1f}" y1="{y}" y2="{y}"/>'
        mark += f'<circle class="bar k0" cx="{frame.px(mean):.1f}" cy="{y}" r="5"/>'
        parts.append(f"<g><title>{escape(tip)}</title>{mark}</g>")
    return _svg(frame, title, parts)


def stacked_bars(
    xs: Sequence[float], parts: Mapping[str, Sequence[float]], *, title: str, unit: str, most: int = 60
) -> Markup:
    """Parts of a whole over steps; more than `most` steps are averaged in runs of equal length."""
    if not xs or not parts:
        return Markup('<p class="absent">no values</p>')
    run = math.ceil(len(xs) / most)
    starts = range(0, len(xs), run)
    columns = {name: [_mean(values[i : i + run]) for i in starts] for name, values in parts.items()}
    heights = [sum(values) for values in zip(*columns.values(), strict=True)]
    frame = Frame(720, 220, 52, 34, (min(xs), max(xs) + 1), (0, _padded(0, max(heights))[1]))
    out = [_axes(frame, "step", 6, 4)]
    for b, start in enumerate(starts):
        x0 = frame.px(xs[start])
        x1 = frame.px(xs[min(start + run, len(xs)) - 1] + 1)
        base = 0.0
        for colour, (name, values) in enumerate(columns.items()):
            y0, y1 = frame.py(base), frame.py(base + values[b])
            base += values[b]
            tip = escape(f"step {xs[start]:g}, {name}: {values[b]:.2f} {unit}")
            size = f'width="{max(1, x1 - x0 - 1):.1f}" height="{max(0, y0 - y1):.1f}"'
            at = f'x="{x0 + 0.5:.1f}" y="{y1:.1f}"'
            out.append(f'<rect class="bar k{colour % 8}" {at} {size}><title>{tip}</title></rect>')
    return _svg(frame, f"{title}, {unit}", out)


def running_mean(values: Sequence[Number], window: int) -> list[Number]:
    """Centred mean of the known values in the window; None where there is none."""
    half = window // 2
    out: list[Number] = []
    for i in range(len(values)):
        near = [v for v in values[max(0, i - half) : i + half + 1] if _known(v)]
        out.append(_mean(near) if near else None)
    return out


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high]: 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _known(value: Number) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _last(values: Sequence[Number]) -> Number:
    return next((v for v in reversed(values) if _known(v)), None)


def _mean(values: Sequence[Number]) -> float:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else 0.0


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (0.0 if low >= 0 and low < (high - low) else low - pad), high + pad


def _short(value: Number) -> str:
    if value is None:
        return "unknown"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def _svg(frame: Frame, label: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {frame.width:g} {frame.height:g}" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid(frame: Frame, about: int) -> str:
    out = []
    for value in ticks(*frame.y, about):
        y, right = frame.py(value), frame.width - frame.right
        out.append(f'<line class="grid" x1="{frame.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(_text(frame.left - 7, y + 4, _short(round(value, 12)), "tick", "end"))
    return "".join(out)


def _x_ticks(frame: Frame, about: int) -> str:
    return "".join(
        _text(frame.px(v), frame.height - frame.bottom + 16, _short(round(v, 12)), "tick", "middle")
        for v in ticks(*frame.x, about)
    )


def _axes(frame: Frame, x_label: str, x_about: int, y_about: int) -> str:
    name = _text((frame.left + frame.width) / 2, frame.height - 3, x_label, "tick", "middle")
    return _grid(frame, y_about) + _x_ticks(frame, x_about) + name


def _path(frame: Frame, xs: Sequence[float], ys: Sequence[Number], kind: str) -> str:
    out, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if y is None or not math.isfinite(y):
            pen = "M"
            continue
        out.append(f"{pen}{frame.px(x):.1f} {frame.py(y):.1f}")
        pen = "L"
    return f'<path class="{kind}" d="{"".join(out)}"/>' if out else ""


def _dots(frame: Frame, line: Line, unit: str, *, visible: bool) -> str:
    """Points carry the tooltips; at most some 200 of them."""
    every = math.ceil(len(line.ys) / 200)
    radius, kind = (2.5, f"bar k{line.colour}") if visible else (5, "touch")
    out = []
    for x, y in list(zip(line.xs, line.ys, strict=True))[::every]:
        if y is not None and math.isfinite(y):
            tip = escape(f"{line.name}, step {x:g}: {_short(y)} {unit}")
            at = f'cx="{frame.px(x):.1f}" cy="{frame.py(y):.1f}"'
            out.append(f'<circle class="{kind}" {at} r="{radius}"><title>{tip}</title></circle>')
    return "".join(out)


def _whisker(x: float, low: float, high: float) -> str:
    path = f"M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8M{x:.1f} {low:.1f}V{high:.1f}"
    return f'<path class="whisker" d="{path}"/>'
