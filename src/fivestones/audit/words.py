"""An audit in words: what the terminal and the page both say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
UNKNOWN = "–"

HALVES = {
    "all": "all rows, those that a judge was tuned on included",
    "tune": "the half for tuning",
    "report": "the half for reporting",
}
BEHAVIOUR = {
    ("consistency", "identical"): "asked again, the same score (share of outputs)",
    ("consistency", "sd"): "asked again, standard deviation of the score",
    ("order", "group"): "gain of standing earlier in the group",
    ("order", "sentences"): "gain of turning the sentences round",
    ("length", "spearman"): "rank correlation of score and words",
    ("length", "given_human"): "the same, given what people said",
    ("length", "doubled"): "gain of saying all of it twice",
}


def heading(found: Json) -> str:
    return (
        f"judge {found['judge']}: {found['n']} outputs of {found['dialogues']} dialogues "
        f"({HALVES[found['half']]}), {found['unscored']['n']} unscored; 95% intervals by dialogue"
    )


def behaviour(found: Json) -> list[tuple[str, Json | None]]:
    """(what, estimate) of each probe that was made."""
    return [(words, found[part][key]) for (part, key), words in BEHAVIOUR.items() if found.get(part)]


def attacks_heading(table: Json) -> str:
    return (
        f"Adversarial table, the judge knows: {table['mode']}; {table['passed']} pass, {table['failed']} "
        f"fail, {table['unknown']} unknown"
    )


def bound(name: str, row: Json) -> str:
    """What the mean of an attack must keep to; the reference note must reach its own."""
    return f"{'at least' if name == 'reference' else 'below'} {row['bound']:.2f}"


def cost(found: Json) -> str:
    latency = found["latency_ms"]
    told = f"latency: {UNKNOWN}, since answers came out of the cache, which cost nothing"
    if latency is not None:
        told = f"latency: {latency['median']:.1f} ms an output, 90% within {latency['p90']:.1f}"
    if found["cost"] is None:
        return f"{told}; cost: this judge counts none"
    return f"{told}; cost: {', '.join(f'{name} {value:g}' for name, value in found['cost'].items())}"


def estimate(value: Json | None, *, signed: bool = False) -> str:
    """'0.61 [0.46, 0.74]'; a dash where nothing could be measured."""
    if value is None:
        return UNKNOWN
    plus = "+" if signed else ""
    shown = [f"{value[key]:{plus}.2f}" for key in ("value", "low", "high") if value[key] is not None]
    return shown[0] if len(shown) < 3 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def mean_of(row: Json) -> str:
    """Of an attack."""
    return UNKNOWN if row["mean"] is None else estimate({**row, "value": row["mean"]})


def baseline(found: Json) -> Json:
    """ROUGE-1 F in the judge's place; {} when it was not computed."""
    return found["baselines"].get("rouge1_f") or {}
