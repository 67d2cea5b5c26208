from __future__ import annotations

import json
import random
from typing import Any

import pytest

from fivestones.evaluate.behaviours import behaviour_table
from fivestones.evaluate.records import EvalRecord
from fivestones.evaluate.statistics import wilson

Told = dict[str, float | None]


def record(i: int, contestant: str, behaviours: Told, **changes: Any) -> EvalRecord:
    return EvalRecord(
        **{
            "task_id": f"t{i:02}",
            "contestant": contestant,
            "cluster": f"company-{i % 8}",
            "text": "FINAL ANSWER: 12",
            "finish": "stop",
            "tokens": 9,
            "strict": True,
            "lenient": True,
            "total": 1.0,
            "behaviours": behaviours,
            **changes,
        }
    )


def table(records: list[EvalRecord], names: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"draws": 400, "seed": 1, "trained": "trained"}
    return behaviour_table(records, names=names, **{**options, **changes})


def make(name: str, base: list[float | None], trained: list[float | None]) -> list[EvalRecord]:
    sides = {"base": base, "trained": trained}
    return [record(i, c, {name: v}) for c, values in sides.items() for i, v in enumerate(values)]


def test_golden_numbers() -> None:
    base: list[float | None] = [1.0] * 12 + [0.0] * 8 + [None] * 4
    trained: list[float | None] = [None] * 2 + [0.0] * 16 + [1.0] * 2 + [0.0] * 4
    out = table(make("blind_repeat", base, trained), ("blind_repeat",))
    assert out["contestants"] == {
        "base": {"blind_repeat": {"mean": 0.6, "low": 0.529412, "high": 0.652174, "n": 20, "clusters": 8}},
        "trained": {"blind_repeat": {"mean": 0.090909, "low": 0.0, "high": 0.227273, "n": 22, "clusters": 8}},
    }
    assert out["paired"] == [
        {
            "a": "trained",
            "b": "base",
            "metric": "blind_repeat",
            "mean": pytest.approx((2 - 10) / 18, abs=1e-6),
            "low": -0.5,
            "high": -0.380952,
            "n": 18,
            "clusters": 8,
        }
    ]
    # of t00 and t01 the trained one is unknown, not innocent
    assert out["examples"] == {"base": {"blind_repeat": "t02"}}


def test_what_does_not_apply_is_left_out_and_never_zero() -> None:
    out = table(make("wrong_table", [1.0] * 8, [None] * 8), ("wrong_table", "never_told"))
    nothing = {"mean": None, "low": None, "high": None, "n": 0, "clusters": 0}
    assert out["contestants"]["trained"]["wrong_table"] == nothing
    assert out["contestants"]["base"]["never_told"] == nothing
    assert [{k: entry[k] for k in nothing} for entry in out["paired"]] == [nothing, nothing]
    assert out["examples"] == {"base": {"wrong_table": None, "never_told": None}}


def test_equal_flags_get_the_rule_of_three_and_equal_counts_no_interval() -> None:
    flags = table(make("wrong_column", [1.0] * 16, [0.0] * 16), ("wrong_column",))
    share = wilson(0, 8).high
    trained, (pair,) = flags["contestants"]["trained"]["wrong_column"], flags["paired"]
    assert (trained["low"], trained["high"]) == (0.0, pytest.approx(share, abs=1e-6))
    assert (pair["mean"], pair["low"]) == (-1.0, -1.0)
    assert pair["high"] == pytest.approx(-1.0 + 2 * share, abs=1e-6)
    counts = table(make("turns", [6.0] * 16, [4.0] * 16), ("turns",))
    assert counts["paired"][0]["mean"] == -2.0
    assert counts["paired"][0]["low"] is None and counts["contestants"]["base"]["turns"]["high"] is None
    assert (counts["counts"], counts["examples"]) == (["turns"], {"base": {}})


def test_plain_json_that_only_the_seed_changes() -> None:
    records = make("x", [float(i % 2) for i in range(24)], [float(i % 3 == 0) for i in range(24)])
    out = table(records, ("x",))
    json.dumps(out, allow_nan=False)
    of_base, of_trained = records[:24], records[24:]
    random.Random(1).shuffle(of_base)
    random.Random(2).shuffle(of_trained)
    assert table(of_base + of_trained, ("x",)) == out
    assert table(records, ("x",), seed=2)["paired"] != out["paired"]


def test_three_contestants_a_missing_one_and_mixed_datasets() -> None:
    records = make("x", [1.0] * 8, [0.0] * 8) + [record(i, "teacher", {"x": 0.0}) for i in range(4)]
    out = table(records, ("x",))
    assert list(out["contestants"]) == ["base", "trained", "teacher"]
    assert [(p["b"], p["n"]) for p in out["paired"]] == [("base", 8), ("teacher", 4)]
    assert out["examples"] == {"base": {"x": "t00"}, "teacher": {"x": None}}
    alone = table(records, ("x",), trained="other")
    assert alone["paired"] == [] and alone["examples"] == {}
    assert table([], ("x",))["contestants"] == {}
    with pytest.raises(ValueError, match="several datasets: extra, test"):
        table([*records, record(0, "base", {}, dataset="extra")], ("x",))


def test_a_failed_environment_counts_as_nobodys_behaviour() -> None:
    lost = [record(i, "trained", {}, finish="error", total=None, unscored={"e": "down"}) for i in range(8)]
    told = [record(i, "trained", {"no_final_answer": 0.0}) for i in range(8, 16)]
    out = table(lost + told, ("no_final_answer",))
    assert out["contestants"]["trained"]["no_final_answer"]["n"] == 8
    assert out["contestants"]["trained"]["no_final_answer"]["mean"] == 0.0


def test_a_table_for_each_value_of_a_tag_and_none_shifts_another() -> None:
    levels = ("L0", "L5")
    records = [
        record(i, side, {"x": float(i % 3 == 0 or level == "L5"), "turns": 2.0}, tags={"level": level})
        for side in ("base", "trained")
        for i, level in enumerate(levels * 16)
    ]
    names = ("x", "turns")
    out = table(records, names, slice_by=("level", "style"))
    assert list(out["by"]) == ["level"] and list(out["by"]["level"]) == list(levels)
    easy, hard = (out["by"]["level"][level] for level in levels)
    assert (hard["contestants"]["base"]["x"]["mean"], hard["contestants"]["base"]["x"]["n"]) == (1.0, 16)
    assert easy["contestants"]["base"]["x"]["mean"] == pytest.approx(6 / 16)
    assert [(p["metric"], p["mean"], p["n"]) for p in hard["paired"]] == [("x", 0.0, 16), ("turns", 0.0, 16)]
    whole = {key: value for key, value in out.items() if key != "by"}
    assert whole == {key: value for key, value in table(records, names).items() if key != "by"}
    alone = table([r for r in records if r.tags["level"] == "L0"], names, slice_by=("level",))
    assert alone["by"]["level"]["L0"] == easy


def test_a_good_share_has_no_example() -> None:
    out = table(make("recovered", [1.0] * 8, [0.0] * 8), ("recovered",))
    assert out["examples"] == {"base": {}} and out["counts"] == []
