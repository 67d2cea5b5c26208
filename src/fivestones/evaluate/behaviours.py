"""What a model does on its way to an answer, contestant by contestant: the answer to "what did it learn?".

A behaviour is a flag (1.0 it happened, 0.0 it did not), a share, or a count; None where it does not apply,
which is left out and never counted as "did not"; nor is an episode whose environment failed, of which nothing
is told. Figures are means with a bootstrap over clusters, as in `summary`; so are the differences, on the
tasks where the behaviour applies to both sides.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.statistics import Array, Bounds, clustered_means
from fivestones.types import Estimate

COUNTS = ("turns", "calls", "errors", "calls_over_fewest")  # of any job with tools; no greatest value
GOOD = ("recovered",)  # the more of it the better: no error

Json = dict[str, Any]
Rows = Mapping[str, Mapping[str, EvalRecord]]  # contestant -> task -> record
Key = tuple[str, ...]  # (contestant, behaviour) or (a, b, behaviour)


def behaviour_table(
    records: Sequence[EvalRecord],
    *,
    names: Sequence[str],
    draws: int,
    seed: int,
    trained: str,
    counts: Collection[str] = COUNTS,
    slice_by: Sequence[str] = (),
) -> Json:
    """Plain JSON values, the same for the same records and seed. Records are of one dataset; of several of
    one contestant and task the last one counts.

    names: the behaviours, in the order of the report. counts: those of them without a greatest value.
    slice_by: tags, such as the level.

    contestants: {contestant: {behaviour: {mean, low, high, n, clusters}}}, contestants in the order of the
    records. paired: [{a: trained, b: another, metric, mean, low, high, n, clusters}], the mean of a - b over
    the n tasks where both are known. by: {tag: {value: {contestants, paired}}}, values sorted. examples:
    {another: {behaviour: the first task, by id, that it did it on and the trained one did not, or None}};
    counts and what is GOOD have none.
    ValueError: records of several datasets.
    """
    datasets = {record.dataset for record in records}
    if len(datasets) > 1:
        raise ValueError(f"records of several datasets: {', '.join(sorted(datasets))}")
    slices: Json = {}
    for tag in slice_by:
        for value in sorted({record.tags[tag] for record in records if tag in record.tags}):
            # a random stream of its own: no slice shifts another
            rng = np.random.default_rng([seed, zlib.crc32(f"{tag}={value}".encode())])
            chosen = [record for record in records if record.tags.get(tag) == value]
            slices.setdefault(tag, {})[value] = _part(chosen, names, draws, rng, trained, counts)
    return {
        "trained": trained,
        "names": list(names),
        "counts": [name for name in names if name in counts],
        "method": {"interval": "95%: bootstrap over clusters", "draws": draws, "seed": seed},
        **_part(records, names, draws, np.random.default_rng(seed), trained, counts),
        "by": slices,
        "examples": _examples(records, [n for n in names if n not in (*counts, *GOOD)], trained),
    }


def _part(
    records: Sequence[EvalRecord],
    names: Sequence[str],
    draws: int,
    rng: np.random.Generator,
    trained: str,
    counts: Collection[str],
) -> Json:
    """Contestants and differences of all records or of a slice."""
    rows, tasks = _rows(records)
    cluster = {record.task_id: record.cluster for record in records}
    columns: dict[Key, Array] = {(c, name): _column(rows[c], tasks, name) for c in rows for name in names}
    others = [name for name in rows if name != trained] if trained in rows else []
    columns |= {
        (trained, other, name): columns[trained, name] - columns[other, name]
        for other in others
        for name in names
    }
    found = _estimates(columns, [cluster[task] for task in tasks], counts, draws, rng)
    return {
        "contestants": {c: {name: _json(found[c, name]) for name in names} for c in rows},
        "paired": [
            {"a": trained, "b": other, "metric": name, **_json(found[trained, other, name])}
            for other in others
            for name in names
        ],
    }


def _rows(records: Sequence[EvalRecord]) -> tuple[Rows, list[str]]:
    """With the tasks, sorted."""
    rows: dict[str, dict[str, EvalRecord]] = {}
    for record in records:
        rows.setdefault(record.contestant, {})[record.task_id] = record
    return rows, sorted({record.task_id for record in records})


def _examples(records: Sequence[EvalRecord], names: Sequence[str], trained: str) -> Json:
    rows, tasks = _rows(records)
    if trained not in rows:
        return {}
    mine = {name: _column(rows[trained], tasks, name) for name in names}
    return {
        other: {name: _example(_column(rows[other], tasks, name), mine[name], tasks) for name in names}
        for other in rows
        if other != trained
    }


def _column(rows: Mapping[str, EvalRecord], tasks: Sequence[str], name: str) -> Array:
    """The behaviour for each task [N], NaN where it does not apply or the task was not evaluated."""
    told = [rows[task].behaviours.get(name) if task in rows else None for task in tasks]
    return np.array([math.nan if value is None else value for value in told], dtype=np.float64)


def _estimates(
    columns: Mapping[Key, Array],
    clusters: Sequence[str],
    counts: Collection[str],
    draws: int,
    rng: np.random.Generator,
) -> dict[Key, Estimate | None]:
    if not columns:
        return {}
    bounds = [_bounds(key, counts) for key in columns]
    matrix = np.column_stack(list(columns.values()))
    return dict(zip(columns, clustered_means(matrix, clusters, bounds, draws, rng), strict=True))


def _bounds(key: Key, counts: Collection[str]) -> Bounds:
    """What a behaviour of a contestant, or its difference between two, cannot leave."""
    *contestants, name = key
    most = math.inf if name in counts else 1.0
    return (-most if len(contestants) == 2 else 0.0), most


def _example(other: Array, trained: Array, tasks: Sequence[str]) -> str | None:
    shown = np.flatnonzero((other == 1.0) & (trained == 0.0))
    return tasks[int(shown[0])] if len(shown) else None


def _json(estimate: Estimate | None) -> Json:
    """Null where unknown: a mean of nothing, the interval of a single cluster or of equal counts."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None, "n": 0, "clusters": 0}
    ends = {"mean": _round(estimate.mean), "low": _round(estimate.low), "high": _round(estimate.high)}
    return {**ends, "n": estimate.n, "clusters": estimate.clusters}


def _round(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
