"""Numbers and judgements in words. An estimate is the JSON of summary.json: {mean, low, high, n}."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figure = Mapping[str, Any]
NONE = "–"

VERDICTS = {
    "superior": "better: the whole interval of the difference is above 0",
    "non-inferior": "not worse by more than the margin",
    "inferior": "worse: the whole interval of the difference is below 0",
    "unclear": "it may be better, or worse by more than the margin",
    "refused": "no verdict: too much is unscored",
}


def number(value: Any, digits: int = 2) -> str:
    """3.14; 4,028; 1.2e-05. A dash where there is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.1e}"
    if value != 0 and abs(value) < 10**-digits / 2:
        return f"{value:.1g}"
    return f"{value:,.{digits}f}"


def points(value: Any) -> str:
    """A maximum as it is: 5, 2.5."""
    return NONE if number(value) == NONE else f"{value:g}"


def percent(value: Any) -> str:
    """98.7; near 0 and 100 with as many digits as it takes not to round to them."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    for digits in (1, 2, 3):
        text = f"{100 * value:.{digits}f}"
        if value in (0, 1) or 0 < abs(float(text)) < 100:
            return text
    return "99.999" if value > 0.5 else "0.001"


def signed(value: Any, digits: int = 2) -> str:
    text = number(value, digits)
    return text if text == NONE or value <= 0 else f"+{text}"


def value_of(figure: Figure | None, kind: str = "number", digits: int = 2) -> str:
    """The mean alone. kind: number, percent, signed, or shift (of shares, in percentage points)."""
    return _shown((figure or {}).get("mean"), kind, digits)


def interval_of(figure: Figure | None, kind: str = "number", digits: int = 2) -> str:
    """'4.33 to 4.48', or 'no interval' where there is a mean alone."""
    figure = figure or {}
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None:
        return "no interval" if figure.get("mean") is not None else ""
    return f"{_shown(low, kind, digits)} to {_shown(high, kind, digits)}"


def _shown(value: Any, kind: str, digits: int) -> str:
    if kind == "percent":
        return percent(value)
    if kind == "shift":
        return NONE if value is None else signed(100 * value + 0.0, digits)  # + 0.0: no minus before 0
    return signed(value, digits) if kind == "signed" else number(value, digits)


def duration(seconds: Any) -> str:
    """'42 s', '3 min 5 s', '2 h 10 min'."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NONE
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True, slots=True)
class Headline:
    """The result in a sentence. tone: good, even, bad or none (no verdict)."""

    verdict: str
    sentence: str
    tone: str
    other: str | None  # the best of the other contestants


def headline(summary: Mapping[str, Any]) -> Headline:
    """Against the best of the others by mean total, whichever that is."""
    contestants = summary.get("contestants") or {}
    trained = summary.get("trained", "trained")
    if trained not in contestants:
        return Headline(
            "no result yet", "The trained model has not been evaluated in this run.", "none", None
        )
    mine = contestants[trained]
    maximum = points(summary.get("max_score"))
    out_of = "" if maximum == NONE else f" of {maximum}"
    said = (
        f"{trained} scores {value_of(mine['total'])}{out_of} points "
        f"(95% interval {interval_of(mine['total'])}, {number(mine['total']['n'])} tasks)"
    )
    strict = mine["strict"]
    valid = (
        f" Its output has the form asked for in {value_of(strict, 'percent')}% "
        f"({interval_of(strict, 'percent')})."
    )
    other = best_other(summary)
    pair = next((p for p in paired(summary, "total") if p["b"] == other), None)
    if other is None or pair is None:
        return Headline("no comparison", f"{said}; no other contestant was evaluated.{valid}", "none", other)
    if pair["verdict"] == "refused":
        return Headline(
            "no verdict", f"{said}. No verdict: {pair.get('why', 'too much is unscored')}.", "none", other
        )
    over = "over" if pair["mean"] >= 0 else "against"
    sentence = (
        f"{said}: {value_of(pair, 'signed')} points {over} {other}, the best of the others "
        f"({interval_of(pair, 'signed')}, {number(pair['clusters'])} clusters).{valid}"
    )
    if "why" in pair:
        sentence += f" No clear verdict: {pair['why']}."
    tone = {"superior": "good", "non-inferior": "even", "inferior": "bad"}.get(pair["verdict"], "none")
    return Headline(str(pair["verdict"]), sentence, tone, other)


def overrides(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the evaluation was asked for instead of what the recipe declared: key -> {declared, used}."""
    return dict((summary.get("contract") or {}).get("overrides") or {})


def margin_declared(summary: Mapping[str, Any]) -> str:
    """When the margin was chosen, in words."""
    changed = overrides(summary).get("evaluate.margin")
    if changed is None:
        return "declared before the run"
    return f"set at the evaluation; declared before the run: {number(changed['declared'])}"


def best_other(summary: Mapping[str, Any]) -> str | None:
    """The other contestant with the highest mean total; the first by name among equals."""
    trained = summary.get("trained", "trained")
    scored = [
        (-c["total"]["mean"], name)
        for name, c in (summary.get("contestants") or {}).items()
        if name != trained and c["total"]["mean"] is not None
    ]
    return min(scored)[1] if scored else None


def paired(part: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """The paired entries of one metric."""
    return [entry for entry in part.get("paired") or [] if entry["metric"] == metric]


def wanted_order(recipe: Mapping[str, Any]) -> list[str]:
    """The contestants as the recipe lists them, or as it does by default."""
    evaluate = recipe.get("evaluate")
    named = evaluate.get("contestants") if isinstance(evaluate, Mapping) else None
    return (
        [str(name) for name in named] if isinstance(named, list) else ["base", "base_examples", "imitation"]
    )


def contestants_in_order(part: Mapping[str, Any], trained: str, wanted: list[str]) -> list[str]:
    """As the recipe lists them, then any other by name; the trained model last."""
    names = list(part.get("contestants") or {})
    first = [n for n in wanted if n in names and n != trained]
    rest = sorted(n for n in names if n not in first and n != trained)
    return first + rest + ([trained] if trained in names else [])
