"""Does the embedded judge agree with clinicians? MTS-Dialog's human scores, ROUGE-1 as the baseline.

    python benchmarks/judge_agreement.py --data human_scores_dev.jsonl --half report [--json]

Rows: {"dialogue", "reference", "summary", "dialogue_id", "human": {"FactualF1", "HallucinationRate"}}.
Constants were tuned on `--half tune` (dialogues whose id hashes to an even number); report the other half.
Intervals: 95%, bootstrap over dialogues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fivestones.environments.soap.facts import extra_concepts
from fivestones.environments.soap.knowledge import concepts, load
from fivestones.errors import DataError
from fivestones.score.facts import FactsJudge, Lexicon
from fivestones.types import Message, Task

Row = dict[str, Any]
_FIELD = "note"


def rows_of(path: Path, half: str) -> list[Row]:
    try:
        rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: {error}; allowed: a JSONL file with human scores") from error
    return [r for r in rows if half == "all" or (_parity(r) == 0) == (half == "tune")]


def _parity(row: Row) -> int:
    return hashlib.sha256(_dialogue(row).encode()).digest()[0] % 2


def _dialogue(row: Row) -> str:
    return str(row.get("dialogue_id", row.get("id")))


def rouge1(reference: str, summary: str) -> float:
    """F1 of unigram counts, lower case, letters and digits."""
    a, b = (Counter(re.findall(r"[a-z0-9]+", t.lower())) for t in (reference, summary))
    common = sum((a & b).values())
    return 2 * common / (a.total() + b.total()) if common else 0.0


def judged(rows: Sequence[Row]) -> tuple[list[float], list[float], float]:
    """(score, precision, milliseconds a note); precision is what speaks of hallucination."""
    judge = FactsJudge(Lexicon([*concepts(load()), *extra_concepts()]), [_FIELD])
    scores, precisions = [], []
    start = time.perf_counter()
    for row in rows:
        task = Task(
            id=_dialogue(row),
            prompt=(Message("user", row["dialogue"]),),
            reference={"output": {_FIELD: row["reference"]}, "source": row["dialogue"]},
            cluster=_dialogue(row),
        )
        output = {_FIELD: row["summary"]}
        scores.append(judge(task, [output])[0].criteria[_FIELD])
        found = {f.name: f.credit for f in judge.explain(task, output) if f.kind in ("section", "factor")}
        precisions.append(found.get("precision", 1.0) * found.get("invented", 1.0))
    return scores, precisions, (time.perf_counter() - start) / len(rows) / 2 * 1000


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    if x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def lead(pairs: np.ndarray, y: np.ndarray) -> float:
    """How much better column 0 agrees with y than column 1 does."""
    return pearson(pairs[:, 0], y) - pearson(pairs[:, 1], y)


def auroc(x: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive has the higher x; ties count half."""
    up, down = x[positive > 0], x[positive == 0]
    if not len(up) or not len(down):
        return float("nan")
    return float((up[:, None] > down).mean() + 0.5 * (up[:, None] == down).mean())


def interval(
    measure: Callable[[np.ndarray, np.ndarray], float],
    x: Sequence[float] | np.ndarray,
    y: Sequence[float],
    clusters: Sequence[str],
    draws: int,
) -> tuple[float, float, float]:
    """(value, low, high); whole dialogues are drawn with replacement."""
    xs, ys, names = np.asarray(x), np.asarray(y), np.asarray(clusters)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(names == c) for c in sorted(set(clusters))]
    values = []
    for _ in range(draws):
        index = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        values.append(measure(xs[index], ys[index]))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return measure(xs, ys), float(low), float(high)


def report(rows: Sequence[Row], draws: int) -> dict[str, Any]:
    scores, precisions, milliseconds = judged(rows)
    rouge = [rouge1(r["reference"], r["summary"]) for r in rows]
    out: dict[str, Any] = {"n": len(rows), "dialogues": len({_dialogue(r) for r in rows}), "ms": milliseconds}
    for human in ("FactualF1", "HallucinationRate"):
        kept = [i for i, r in enumerate(rows) if r["human"].get(human, -1) >= 0]  # -1: not applicable
        y = [rows[i]["human"][human] for i in kept]
        clusters = [_dialogue(rows[i]) for i in kept]
        if human == "FactualF1":
            pairs = np.stack([[scores[i] for i in kept], [rouge[i] for i in kept]], axis=1)
            out["FactualF1.pearson.judge_minus_rouge1"] = interval(lead, pairs, y, clusters, draws)
        for name, x in (("judge", scores), ("judge_precision", precisions), ("rouge1", rouge)):
            xs = [x[i] for i in kept]
            out[f"{human}.pearson.{name}"] = interval(pearson, xs, y, clusters, draws)
            if human == "HallucinationRate":
                down = [-v for v in xs]
                out[f"any_hallucination.auroc.{name}"] = interval(auroc, down, y, clusters, draws)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=("tune", "report", "all"), default="report")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = report(rows_of(args.data, args.half), args.draws)
    if args.json:
        print(json.dumps({"half": args.half, **result}, indent=1))
        return
    print(
        f"{args.half}: {result['n']} summaries of {result['dialogues']} dialogues, {result['ms']:.1f} ms each"
    )
    for key, value in result.items():
        if isinstance(value, tuple):
            print(f"{key:45s} {value[0]:+.3f}  [{value[1]:+.3f}, {value[2]:+.3f}]")


if __name__ == "__main__":
    main()
