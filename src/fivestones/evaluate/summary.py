"""Records -> the content of `summary.json`: figures of each contestant, trained model against each other one.

Rules, stated in the summary itself under `method`:
- `strict`, `lenient`, `truncated`: shares with Wilson intervals where each task is a cluster of its own, as
  they take rows as independent. Where tasks share clusters, and for everything else: bootstrap over clusters;
  but for `seconds`, the shares of whole batches, which have no interval.
- Where all values are equal the interval is the rule of three over clusters, and none for tokens and words.
- A section (criterion) of an output that failed a gate counts 0; one the judge abstained on is unknown.
- Paired figures use the tasks where both sides are known. When more than `max_unscored` of the shared tasks
  is unknown, the verdict is `refused` and the numbers are null: failures of a judge correlate with content.
- With fewer than six clusters the verdict is `unclear`: no interval of so few can hold 95%.
- Sections also as counts of passes (at least 0.5): exact McNemar, Holm over the sections of that pair; only
  where each task is a cluster of its own, for the same reason.
- The margin, declared in points of the total, is divided by max_score for shares and sections.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.statistics import (
    MIN_CLUSTERS,
    Array,
    Bounds,
    clustered_means,
    holm,
    mcnemar_exact,
    verdict,
    wilson,
)
from fivestones.runlog import write_atomic
from fivestones.types import Estimate

SECTION_PASS = 0.5
TIE = 1e-9  # totals closer than this are a tie
TEST = "test"
RESERVED = ("total", "strict", "lenient", "truncated", "tokens", "words")

Json = dict[str, Any]
Found = Mapping[tuple[str, ...], Estimate | None]  # (contestant, metric) or (a, b, metric)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What does not change from one part of the records to the next."""

    sections: tuple[str, ...]
    trained: str
    margin: float
    draws: int
    seed: int
    max_score: float
    max_unscored: float


@dataclass(frozen=True, slots=True)
class _Table:
    """The records of one dataset or slice: contestant -> task -> record."""

    rows: Mapping[str, Mapping[str, EvalRecord]]
    tasks: tuple[str, ...]
    clusters: tuple[str, ...]  # of the tasks, in their order

    @property
    def independent(self) -> bool:
        """Each task is a cluster of its own."""
        return len(set(self.clusters)) == len(self.tasks)


def summarize(
    records: Iterable[EvalRecord],
    *,
    margin: float,
    draws: int,
    seed: int,
    max_score: float,
    max_unscored: float = 0.005,
    trained: str = "trained",
    sections: Sequence[str] = (),
    extra_sections: Mapping[str, Sequence[str]] | None = None,
    slice_by: Sequence[str] = ("style",),
    held_out: Mapping[str, str] | None = None,
) -> Json:
    """The content of summary.json; plain JSON values, the same for the same records and seed in any order.

    margin: points of the total. sections: their order; empty = every criterion seen, sorted.
    extra_sections: those of an extra dataset that is scored by other criteria than the test set.
    slice_by: tags to slice the test set by. held_out: tag -> the value that training never saw.
    Of several records of one contestant, dataset and task the last one counts.
    """
    everything = list(records)
    names = tuple(sections) or tuple(sorted({c for r in everything for c in (*r.criteria, *r.unscored)}))
    plan = _Plan(names, trained, margin, draws, seed, max_score, max_unscored)
    datasets = sorted({r.dataset for r in everything})
    test = [r for r in everything if r.dataset == TEST]
    return {
        "trained": trained,
        "max_score": max_score,
        "sections": list(names),
        "method": {
            "interval": "95%: bootstrap over clusters, percentiles expanded for few of them, the rule of "
            "three where all values are equal; shares where each task is a cluster of its own: Wilson",
            "margin": margin,
            "draws": draws,
            "seed": seed,
            "max_unscored": max_unscored,
            "min_clusters": MIN_CLUSTERS,
            "section_pass": SECTION_PASS,
            "sections_of_failed_outputs": 0.0,
            "mcnemar": "exact, two-sided, Holm over the sections of a pair; only where each task is a "
            "cluster of its own",
        },
        **_part(test, plan, "test"),
        "slices": _slices(test, plan, slice_by, held_out or {}),
        "extra": {
            name: _part(
                [r for r in everything if r.dataset == name],
                replace(plan, sections=tuple((extra_sections or {}).get(name, names))),
                f"extra:{name}",
            )
            for name in datasets
            if name != TEST
        },
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Writes summary.json atomically."""
    write_atomic(path, json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def section_metric(section: str) -> str:
    """Name of a section among the paired metrics: its own, unless that is the name of a metric of its own."""
    return f"sections.{section}" if section in RESERVED else section


def _slices(
    records: Sequence[EvalRecord], plan: _Plan, slice_by: Sequence[str], held_out: Mapping[str, str]
) -> list[Json]:
    """One entry a tag value; for a tag with a held-out value also one of all the others together."""
    out: list[Json] = []
    for tag in slice_by:
        values = sorted({r.tags[tag] for r in records if tag in r.tags})
        unseen = held_out.get(tag)
        alone = unseen in values and len(values) == 2  # then the other value is all that was seen
        parts = [(value, value == unseen, alone and value != unseen, {value}) for value in values]
        if unseen in values and len(values) > 2:
            parts.append((f"all but {unseen}", False, True, {v for v in values if v != unseen}))
        for label, apart, seen, members in parts:
            chosen = [r for r in records if r.tags.get(tag) in members]
            body = _part(chosen, plan, f"{tag}={label}")
            out.append({"tag": tag, "value": label, "held_out": apart, "seen": seen, **body})
    return out


def _part(records: Sequence[EvalRecord], plan: _Plan, label: str) -> Json:
    """Contestants and pairs of one dataset or slice. Each has its own random stream: none shifts another."""
    table = _table(records)
    rng = np.random.default_rng([plan.seed, zlib.crc32(label.encode())])
    columns: dict[tuple[str, ...], Array] = {}
    for name in table.rows:
        columns.update({(name, m): v for m, v in _measures(table, name, plan.sections).items()})
    pairs = [(plan.trained, other) for other in table.rows if other != plan.trained]
    if plan.trained not in table.rows:
        pairs = []
    metrics = ("total", "strict", *map(section_metric, plan.sections))
    for a, b in pairs:
        columns.update({(a, b, m): columns[a, m] - columns[b, m] for m in metrics})
    matrix = np.column_stack(list(columns.values())) if columns else np.zeros((0, 0))
    bounds = [_bounds(key, plan) for key in columns]
    estimates = clustered_means(matrix, table.clusters, bounds, plan.draws, rng)
    found = dict(zip(columns, estimates, strict=True))
    return {
        "contestants": {name: _contestant(table, name, plan, found) for name in table.rows},
        "paired": [entry for a, b in pairs for entry in _pair(table, a, b, metrics, plan, columns, found)],
    }


def _bounds(key: tuple[str, ...], plan: _Plan) -> Bounds:
    """What the metric of a contestant, or its difference between two, cannot leave."""
    *contestants, metric = key
    most = math.inf if metric in ("tokens", "words") else plan.max_score if metric == "total" else 1.0
    return (-most if len(contestants) == 2 else 0.0), most


def _table(records: Sequence[EvalRecord]) -> _Table:
    """Sorted by contestant and task, so that the order of the records does not matter."""
    rows: dict[str, dict[str, EvalRecord]] = {}
    for record in records:
        rows.setdefault(record.contestant, {})[record.task_id] = record
    cluster = {r.task_id: r.cluster for r in records}
    tasks = tuple(sorted(cluster))
    ordered = {name: rows[name] for name in sorted(rows)}
    return _Table(ordered, tasks, tuple(cluster[task] for task in tasks))


def _measures(table: _Table, name: str, sections: Sequence[str]) -> dict[str, Array]:
    """Metric -> its value for each task of the table, NaN where unknown or not evaluated."""
    nan = math.nan
    records = [table.rows[name].get(task) for task in table.tasks]

    def column(read: Any) -> Array:
        # an episode that its environment failed tells nothing
        known = [r if r is not None and r.finish != "error" else None for r in records]
        return np.array([nan if r is None else read(r) for r in known], dtype=np.float64)

    out = {
        "total": column(lambda r: nan if r.total is None else r.total),
        "strict": column(lambda r: float(r.strict)),
        "lenient": column(lambda r: float(r.lenient)),
        "truncated": column(lambda r: float(r.finish == "length")),
        "tokens": column(lambda r: r.tokens),
        "words": column(lambda r: len(r.text.split())),
    }
    for section in sections:
        out[section_metric(section)] = column(lambda r, s=section: _section(r, s))
    return out


def _section(record: EvalRecord, section: str) -> float:
    if section in record.criteria:
        return record.criteria[section]
    return 0.0 if record.failed else math.nan


def _contestant(table: _Table, name: str, plan: _Plan, found: Found) -> Json:
    records = list(table.rows[name].values())
    n = len(records)
    unknown = [r for r in records if r.total is None]
    causes = Counter(cause for r in unknown for cause in sorted(set(r.unscored.values())))
    ended = [r for r in records if r.finish != "error"]
    seen = {
        "strict": sum(r.strict for r in ended),
        "lenient": sum(r.lenient for r in ended),
        "truncated": sum(r.finish == "length" for r in ended),
    }
    told = {
        key: _json(wilson(count, len(ended)) if ended and table.independent else found[name, key])
        for key, count in seen.items()
    }
    return {
        "strict": told["strict"],
        "lenient": told["lenient"],
        "total": _json(found[name, "total"]),
        "sections": {s: _json(found[name, section_metric(s)]) for s in plan.sections},
        "truncated": told["truncated"],
        "tokens": _json(found[name, "tokens"]),
        "words": _json(found[name, "words"]),
        "seconds": {"mean": _round(sum(r.seconds for r in records) / n), "n": n},
        "failed": dict(sorted(Counter(gate for r in records for gate in r.failed).items())),
        "unscored": {
            "n": len(unknown),
            "share": _round(len(unknown) / n),
            "causes": dict(sorted(causes.items())),
            "refused": len(unknown) > plan.max_unscored * n,
        },
        "missing": len(table.tasks) - n,
    }


def _pair(
    table: _Table,
    a: str,
    b: str,
    metrics: Sequence[str],
    plan: _Plan,
    columns: Mapping[tuple[str, ...], Array],
    found: Found,
) -> list[Json]:
    shared = np.array([t in table.rows[a] and t in table.rows[b] for t in table.tasks])
    out: list[Json] = []
    for metric in metrics:
        difference = columns[a, b, metric][shared]
        unknown = int(np.isnan(difference).sum())
        estimate = found[a, b, metric]
        margin = plan.margin if metric == "total" else plan.margin / plan.max_score
        entry: Json = {"a": a, "b": b, "metric": metric, "margin": _round(margin), "unscored": unknown}
        shared_n = len(difference)
        if estimate is None or unknown > plan.max_unscored * shared_n:
            why = f"{unknown} of {shared_n} shared tasks unscored, allowed share {plan.max_unscored:g}"
            nothing = {"mean": None, "low": None, "high": None, "n": shared_n - unknown, "clusters": 0}
            out.append({**entry, **nothing, "verdict": "refused", "why": why})
            continue
        entry |= {**_json(estimate), "verdict": verdict(estimate, margin)}
        if estimate.clusters < MIN_CLUSTERS:
            entry["why"] = f"{estimate.clusters} clusters, a verdict takes {MIN_CLUSTERS}"
        if metric == "total":
            wins, losses = int((difference > TIE).sum()), int((difference < -TIE).sum())
            entry |= {"wins": wins, "losses": losses, "ties": estimate.n - wins - losses}
        elif metric != "strict" and table.independent:
            entry["mcnemar"] = _discordant(columns[a, metric][shared], columns[b, metric][shared])
        out.append(entry)
    tested = [entry["mcnemar"] for entry in out if "mcnemar" in entry]
    for test, adjusted in zip(tested, holm([test["p"] for test in tested]), strict=True):
        test["p_holm"] = adjusted
    return out


def _discordant(a: Array, b: Array) -> Json:
    """Tasks that only one side passes, and the exact p of that split."""
    known = ~(np.isnan(a) | np.isnan(b))
    passed_a, passed_b = a[known] >= SECTION_PASS, b[known] >= SECTION_PASS
    only_a, only_b = int((passed_a & ~passed_b).sum()), int((passed_b & ~passed_a).sum())
    return {"a_only": only_a, "b_only": only_b, "p": mcnemar_exact(only_a, only_b)}


def _json(estimate: Estimate | None) -> Json:
    """Null where unknown: a mean of nothing, the interval of a single cluster or of equal lengths."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "n": 0, "clusters": 0}
    ends = {"mean": _round(estimate.mean), "low": _round(estimate.low), "high": _round(estimate.high)}
    return {**ends, "n": estimate.n, "clusters": estimate.clusters}


def _round(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
