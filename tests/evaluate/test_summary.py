from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.statistics import wilson
from fivestones.evaluate.summary import summarize, write_summary

SECTIONS = ("S", "O", "A", "P")


def record(i: int, contestant: str, level: float | None, **changes: Any) -> EvalRecord:
    """Every section at `level`; None: the judge did not answer; below 0: the gate failed."""
    failed = level is not None and level < 0
    judged = {} if failed or level is None else dict.fromkeys(SECTIONS, level)
    return EvalRecord(
        **{
            "task_id": f"t{i:03}",
            "contestant": contestant,
            "cluster": f"c{i % 10}",
            "tags": {"style": ("terse", "chatty", "rambling")[i % 3]},
            "text": "a note of five words",
            "finish": "length" if failed else "stop",
            "tokens": 20,
            "strict": not failed,
            "lenient": not failed,
            "failed": {"json": "not an object"} if failed else {},
            "criteria": judged,
            "total": None if level is None else 0.0 if failed else 1 + 4 * level,
            "unscored": dict.fromkeys(SECTIONS, "timeout") if level is None else {},
            **changes,
        }
    )


def make(levels: dict[str, list[float | None]], **changes: Any) -> list[EvalRecord]:
    return [record(i, name, v, **changes) for name, vs in levels.items() for i, v in enumerate(vs)]


def summary(records: list[EvalRecord], **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"margin": 0.1, "draws": 400, "seed": 1, "max_score": 5.0, "sections": SECTIONS}
    return summarize(records, **{**options, **changes})


def entry(result: dict[str, Any], metric: str, b: str = "base") -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in result["paired"] if p["metric"] == metric and p["b"] == b)
    return found


def test_shape_and_hand_checked_values() -> None:
    levels = {"trained": [0.75] * 30, "base": [0.25] * 24 + [-1.0] * 6}
    records = make(levels)
    result = summary(records)
    assert list(result["contestants"]) == ["base", "trained"]
    for value in result["contestants"].values():
        assert list(value["sections"]) == ["S", "O", "A", "P"]
        for figure in (value["strict"], value["lenient"], value["total"], *value["sections"].values()):
            assert {"mean", "low", "high", "n"} <= set(figure)
            assert figure["n"] == 30
            assert figure["low"] <= figure["mean"] <= figure["high"]
    base = result["contestants"]["base"]
    assert base["total"]["mean"] == pytest.approx(24 * 2 / 30)  # a failed gate is a real 0
    assert base["sections"]["S"]["mean"] == pytest.approx(24 * 0.25 / 30)
    assert base["strict"]["mean"] == 0.8
    assert base["truncated"]["mean"] == 0.2
    assert base["failed"] == {"json": 6}
    assert base["words"]["mean"] == 5
    total = entry(result, "total")
    assert set(total) >= {"a", "b", "metric", "mean", "low", "high", "n", "clusters"}
    assert (total["a"], total["n"], total["clusters"], total["verdict"]) == ("trained", 30, 10, "superior")
    assert total["mean"] == pytest.approx(4 - 1.6)
    assert (total["wins"], total["ties"], total["losses"]) == (30, 0, 0)
    section = entry(result, "A")
    assert section["margin"] == pytest.approx(0.02)  # scaled to [0, 1]
    section = entry(summary([replace(r, cluster=r.task_id) for r in records]), "A")
    assert section["mcnemar"]["a_only"] == 30
    assert section["mcnemar"]["p_holm"] == pytest.approx(4 * section["mcnemar"]["p"])


SHARED = {f"t{i:03}": f"c{i // 5}" for i in range(30)}  # six clusters of five tasks


def test_shares_of_tasks_that_share_clusters_go_by_clusters() -> None:
    values: list[float | None] = [-1.0] * 10 + [0.5] * 20  # two whole clusters fail
    records = make({"trained": [0.5] * 30, "base": values})
    alone = summary([replace(r, cluster=r.task_id) for r in records])
    shared = summary([replace(r, cluster=SHARED[r.task_id]) for r in records])
    most = wilson(20, 30)
    for key, mean in (("strict", 2 / 3), ("lenient", 2 / 3), ("truncated", 1 / 3)):
        one, other = (found["contestants"]["base"][key] for found in (alone, shared))
        assert one["mean"] == other["mean"] == pytest.approx(mean, abs=1e-6)
        assert (one["clusters"], other["clusters"], one["n"], other["n"]) == (30, 6, 30, 30)
        assert other["high"] - other["low"] > one["high"] - one["low"]
    assert alone["contestants"]["base"]["strict"]["low"] == pytest.approx(most.low, abs=1e-6)
    sure = shared["contestants"]["trained"]["strict"]  # all equal: the rule of three over clusters
    assert (sure["low"], sure["high"]) == (pytest.approx(1 - wilson(0, 6).high, abs=1e-6), 1.0)
    assert "mcnemar" in entry(alone, "S") and "mcnemar" not in entry(shared, "S")
    assert "a cluster of its own" in alone["method"]["interval"]


def test_equal_contestants_tie() -> None:
    result = summary(make({"trained": [0.5] * 20, "base": [0.5] * 20}))
    total = entry(result, "total")
    assert (total["mean"], total["ties"], total["verdict"]) == (0, 20, "unclear")
    assert total["low"] == -total["high"] < -1  # of 10 clusters, with 5 points between the best and the worst
    many = [replace(record(i, c, 0.5), cluster=f"c{i}") for c in ("trained", "base") for i in range(500)]
    assert entry(summary(many), "total")["verdict"] == "non-inferior"


def test_nothing_but_failures_has_an_honest_interval() -> None:
    result = summary(make({"trained": [0.5] * 20, "base": [-1.0] * 20}))
    base = result["contestants"]["base"]
    most = wilson(0, 10).high
    assert (base["total"]["low"], base["total"]["high"]) == (0, pytest.approx(5 * most, abs=1e-6))
    assert (base["sections"]["S"]["low"], base["sections"]["S"]["high"]) == (0, pytest.approx(most, abs=1e-6))
    assert base["words"]["mean"] is not None and base["words"]["low"] is None  # nothing bounds a length


def test_a_few_unscored_are_left_out_and_counted() -> None:
    levels: dict[str, list[float | None]] = {"trained": [0.5] * 99 + [None], "base": [0.5] * 100}
    result = summary(make(levels), max_unscored=0.01)
    trained = result["contestants"]["trained"]
    assert (trained["total"]["n"], trained["total"]["mean"]) == (99, 3.0)
    assert trained["unscored"] == {"n": 1, "share": 0.01, "causes": {"timeout": 1}, "refused": False}
    assert (entry(result, "total")["n"], entry(result, "total")["unscored"]) == (99, 1)


def test_too_many_unscored_refuse_a_verdict_and_give_no_number() -> None:
    levels: dict[str, list[float | None]] = {"trained": [0.9] * 90 + [None] * 10, "base": [0.1] * 100}
    result = summary(make(levels))
    for metric in ("total", "S"):
        refused = entry(result, metric)
        assert refused["verdict"] == "refused"
        assert "10 of 100" in refused["why"]
        assert (refused["mean"], refused["low"], refused["high"]) == (None, None, None)
    assert entry(result, "strict")["verdict"] != "refused"  # the gates need no judge
    assert result["contestants"]["trained"]["unscored"]["refused"] is True


def test_only_shared_tasks_are_compared() -> None:
    result = summary(make({"trained": [0.5] * 12, "base": [0.25] * 20}))
    assert entry(result, "total")["n"] == 12
    assert result["contestants"]["trained"]["missing"] == 8


def test_slices_and_held_out_style_apart() -> None:
    records = make({"trained": [0.5] * 30, "base": [0.25] * 30})
    result = summary(records, held_out={"style": "rambling"})
    slices = {(s["tag"], s["value"]): s for s in result["slices"]}
    assert [v for _, v in slices] == ["chatty", "rambling", "terse", "all but rambling"]
    assert [s["value"] for s in result["slices"] if s["held_out"]] == ["rambling"]
    assert slices["style", "all but rambling"]["contestants"]["trained"]["total"]["n"] == 20
    assert slices["style", "rambling"]["paired"][0]["n"] == 10


def test_extra_datasets_stay_apart() -> None:
    records = make({"trained": [0.5] * 10, "base": [0.25] * 10})
    real = make({"trained": [0.25] * 7, "base": [0.25] * 7}, dataset="aci")
    result = summary(records + real)
    assert result["contestants"]["trained"]["total"]["n"] == 10
    assert result["extra"]["aci"]["contestants"]["trained"]["total"]["n"] == 7
    assert result["extra"]["aci"]["paired"][0]["metric"] == "total"


def test_any_criteria_names_even_those_of_metrics() -> None:
    criteria = {"total": 0.5, "vendor": 1.0}
    records = [record(i, c, 0.5, criteria=criteria) for c in ("trained", "base") for i in range(6)]
    result = summary(records, sections=())
    assert result["sections"] == ["total", "vendor"]
    assert result["contestants"]["base"]["sections"]["vendor"]["mean"] == 1.0
    assert [p["metric"] for p in result["paired"]] == ["total", "strict", "sections.total", "vendor"]
    assert entry(result, "sections.total")["mean"] == 0


def test_a_section_may_be_called_like_a_measure() -> None:
    records = [
        record(i, c, 0.5, criteria={"words": 0.5, "tokens": 0.25})
        for c in ("trained", "base")
        for i in range(6)
    ]
    base = summary(records, sections=())["contestants"]["base"]
    assert (base["words"]["mean"], base["tokens"]["mean"]) == (5, 20)
    assert (base["sections"]["words"]["mean"], base["sections"]["tokens"]["mean"]) == (0.5, 0.25)


def test_seconds_are_a_mean_of_batches_without_an_interval() -> None:
    found = summary(make({"trained": [0.5] * 10}, seconds=0.5))["contestants"]["trained"]["seconds"]
    assert found == {"mean": 0.5, "n": 10}


def test_few_clusters_have_a_difference_but_no_verdict() -> None:
    records = make({"trained": [1.0] * 20, "base": [0.0] * 20})
    few = [replace(r, cluster=f"c{int(r.task_id[1:]) % 5}") for r in records]
    total = entry(summary(few), "total")
    assert (total["mean"], total["clusters"], total["verdict"]) == (4.0, 5, "unclear")
    assert total["why"] == "5 clusters, a verdict takes 6"
    six = [replace(r, cluster=f"c{int(r.task_id[1:]) % 6}") for r in records]
    assert entry(summary(six), "total")["verdict"] == "superior"


def test_order_of_records_does_not_matter_and_the_last_of_a_task_counts() -> None:
    records = make({"trained": [0.5, 0.75, 1.0, -1.0] * 6, "base": [0.25, -1.0, 0.5] * 8})
    shuffled = list(records)
    random.Random(0).shuffle(shuffled)
    assert summary(records) == summary(shuffled)
    again = summary([record(0, "trained", 0.0), *records])
    assert again == summary(records)


def test_no_trained_contestant_and_no_records() -> None:
    assert summary(make({"base": [0.5] * 4}))["paired"] == []
    empty = summary([])
    assert (empty["contestants"], empty["paired"], empty["slices"], empty["extra"]) == ({}, [], [], {})


def test_one_cluster_has_a_mean_but_no_interval_and_no_verdict() -> None:
    result = summary(make({"trained": [1.0] * 5, "base": [0.0] * 5}, cluster="only"))
    total = entry(result, "total")
    assert (total["mean"], total["low"], total["verdict"]) == (4.0, None, "unclear")


def test_written_as_json(tmp_path: Path) -> None:
    result = summary(make({"trained": [0.5, None], "base": [0.5, -1.0]}))
    write_summary(tmp_path / "summary.json", result)
    assert json.loads((tmp_path / "summary.json").read_text()) == result


def test_an_episode_that_its_environment_failed_is_no_output() -> None:
    lost = {"finish": "error", "total": None, "criteria": {}, "unscored": {"environment": "it failed"}}
    levels = {"trained": [0.5] * 28, "base": [0.5] * 28}
    records = [replace(r, cluster=r.task_id) for r in make(levels)]
    gone = [
        replace(r, **lost) if r.contestant == "trained" and r.task_id in ("t003", "t007") else r
        for r in records
    ]
    found = summary(gone, max_unscored=0.2)["contestants"]["trained"]
    assert (found["strict"]["n"], found["tokens"]["n"], found["unscored"]["n"]) == (26, 26, 2)
    assert found["strict"]["mean"] == 1.0 and found["truncated"]["n"] == 26
    all_gone = [replace(r, **lost) if r.contestant == "trained" else r for r in records]
    assert summary(all_gone)["contestants"]["trained"]["strict"]["mean"] is None
