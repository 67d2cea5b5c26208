from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fake_run
import pytest
from test_report import markdown, page_of

from episodes_run import CONTESTANTS, HOSTILE, make_run, make_summary, records
from fivestones.evaluate.records import read_records
from fivestones.report.learned import examples, learned


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "finqa")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "finqa"))


def section(run: Path) -> str:
    """The part of the page that is new, as visible text."""
    return page_of(run).text.split("What it learned", 2)[2].split("Generalisation")[0]


def test_flags_and_counts_apart_and_only_what_somebody_did() -> None:
    found = learned(make_summary(records()))
    assert found is not None
    assert found.names == ["base", "imitation", "trained"]
    assert found.others == ["base", "imitation"]
    assert [row.name for row in found.flags] == ["no_tool_answer", "blind_repeat", "recovered"]
    assert [row.name for row in found.counts] == ["calls", "calls_over_fewest"]
    alone, repeat = found.flags[:2]
    assert [alone.figures[name]["mean"] for name in CONTESTANTS] == [0.5, 0.0, 0.0]
    assert {other: d["mean"] for other, d in alone.differences.items()} == {"base": -0.5, "imitation": 0.0}
    assert alone.clear("base") and not alone.clear("imitation") and not alone.clear("teacher")
    assert (alone.n, repeat.n) == (32, 32)  # of base only 16, as it applies to no more
    assert repeat.figures["base"]["n"] == 16
    falls = [(fall.name, fall.other, fall.task_id) for fall in found.fell]
    assert falls == [("no_tool_answer", "base", "q00")]  # blind_repeat is as frequent on the tasks of both


def test_what_is_clear_takes_as_many_clusters_as_a_verdict() -> None:
    found = learned(make_summary(records()))
    few = [replace(r, cluster=f"company-{int(r.task_id[1:]) % 5}") for r in records()]
    unsure = learned(make_summary(few))
    assert found is not None and unsure is not None
    difference = unsure.flags[0].differences["base"]
    assert difference["high"] < 0 and difference["clusters"] == 5
    assert not unsure.flags[0].clear("base") and unsure.fell == []


def test_less_of_what_is_good_is_no_error_that_fell() -> None:
    made = [replace(r, behaviours={"recovered": float(r.contestant == "base")}) for r in records()]
    found = learned(make_summary(made))
    assert found is not None
    assert [row.name for row in found.flags] == ["recovered"] and found.flags[0].clear("base")
    assert found.fell == []


def test_behaviours_by_tag() -> None:
    found = learned(make_summary(records()))
    assert found is not None
    tables, levels = found.by
    assert (tables.tag, tables.values, levels.values) == (
        "tables", ["multi", "single"], ["L0", "L1", "L2", "L5"],
    )  # fmt: skip
    cells = dict(levels.rows)["blind_repeat"]
    shown = [[(f["mean"], f["n"]) for f in figures.values()] for figures in cells]
    assert shown[1] == [(1.0, 8), (0.0, 8), (0.0, 8)]
    assert shown[3] == [(0.0, 8), (0.0, 8), (1.0, 8)]
    assert shown[0][0] == (None, 0)


def test_levels_then_what_was_held_out_beside_the_rest() -> None:
    found = learned(make_summary(records()))
    assert found is not None
    apart = ["tables: single", "wording: seen", "tables: multi, held out", "wording: held out"]
    names = ["L0", "L1", "L2", "L5", *apart]
    assert [row.name for row in found.levels] == names
    means = [row.figures["trained"]["mean"] for row in found.levels]
    assert means == pytest.approx([1.0, 1.0, 1.0, 0.0, 1.0, 20 / 28, 0.0, 1.0], abs=1e-6)
    assert [row.n for row in found.levels] == [8, 8, 8, 8, 24, 28, 8, 4]
    assert found.levels[0].clear("base") and not found.levels[3].clear("base")


def test_accuracy_is_a_share_of_the_greatest_reward() -> None:
    summary = make_summary(records())
    found = learned({**summary, "max_score": 4.0})
    assert found is not None
    figure, difference = found.levels[0].figures["trained"], found.levels[0].differences["base"]
    assert figure["mean"] == 0.25 and difference["mean"] == 0.25


def test_a_contestant_alone_has_no_difference_and_no_example() -> None:
    found = learned(make_summary(records(("trained",))))
    assert found is not None
    assert (found.others, found.fell) == ([], [])
    assert all(row.differences == {} for row in (*found.flags, *found.levels))


@pytest.mark.parametrize("behaviours", [None, {}, {"contestants": {}, "names": []}])
def test_nothing_without_behaviours(behaviours: object) -> None:
    summary = {**make_summary(records()), "behaviours": behaviours}
    assert learned(summary) is None


def test_a_run_without_behaviours_has_no_such_section(tmp_path: Path) -> None:
    run = fake_run.make_run(tmp_path / "soap", tasks=40, steps=2)
    assert "What it learned" not in page_of(run).text
    assert "What it learned" not in markdown(run)


def test_the_section_of_the_page(run: Path) -> None:
    text = section(run)
    assert (
        "behaviour n imitation % base % trained % trained − base percentage points"
        " trained − imitation percentage points" in text
    )  # as the recipe lists them
    assert "no_tool_answer answered without calling a tool 32 0.0" in text
    assert "-50.0 -50.0 to -50.0 n = 32" in text
    assert "n = 16" in text  # the difference of blind_repeat is on fewer tasks
    assert "By level" in text and "By tables" in text
    never, always = "0.0 0.0 to 32.4 n = 8", "100.0 67.6 to 100.0 n = 8"
    first = f"imitation {never} base – n = 0 trained {never}"  # L0
    assert f"blind_repeat {first} imitation {never} base {always} trained {never}" in text
    assert "% right" not in text and "level n imitation % of the points" in text
    assert "unknown_tool" not in text
    assert "calls_over_fewest tool calls beyond the fewest possible, of right answers 24" in text
    assert "tables: multi, held out 8" in text
    ids = [value for name, value in page_of(run).attributes if name == "id"]
    assert len(ids) == len(set(ids)) and "learned" in ids


def test_both_transcripts_of_an_example_are_shown_whole_and_escaped(run: Path) -> None:
    page, text = page_of(run), section(run)
    assert "What others did and trained did not" in text
    tags = "level: L0, tables: single, wording: held out"
    assert f"no_tool_answer by base · q00 · {tags} Company: acme Question: number 0" in text
    assert f"base: 1 turn, 0.00 points assistant FINAL ANSWER: base 0 {HOSTILE}" in text
    trained = f"assistant trained asks for 0 <tool_call>{HOSTILE}</tool_call> tool error: no such column 0"
    assert f"trained: 3 turns, 1.00 points {trained} assistant FINAL ANSWER: trained 0 {HOSTILE}" in text
    assert "script" not in page.tags


def test_long_transcripts_of_examples_are_not_cut(copy: Path) -> None:
    path = copy / "eval" / "trained.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["transcript"][1]["content"] = "x" * 20_000 + "the end"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "xthe end" in section(copy)


def test_behaviours_of_one_task_share_an_example_and_a_missing_record_leaves_it_out(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    names = [f"did_{i}" for i in range(6)]
    table = summary["behaviours"]
    tasks = ["q00", "q00", "q04", "q08", "q12", "q16"]
    table |= {"names": names, "by": {}, "examples": {"base": dict(zip(names, tasks, strict=True))}}
    figure = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 32}
    table["contestants"] = {c: {name: figure for name in names} for c in ("base", "trained")}
    table["paired"] = [
        {"a": "trained", "b": "base", "metric": name, "n": 9, "clusters": 9, "mean": m, "low": -1, "high": m}
        for name, m in zip(names, (-0.5, -0.4, -0.3, -0.2, -0.1, 0.0), strict=True)
    ]
    found = learned(summary)
    assert found is not None
    assert [fall.name for fall in found.fell] == names[:5]  # the last one did not fall
    both = [r for c in ("base", "trained") for r in read_records(run / "eval" / f"{c}.jsonl")]
    shown = examples(found, both, {})
    assert [(e.task_id, e.did) for e in shown] == [("q00", names[:2]), ("q04", ["did_2"]), ("q08", ["did_3"])]
    assert shown[0].source == ""
    kept = [r for r in both if (r.contestant, r.task_id) != ("base", "q04")]
    assert [e.task_id for e in examples(found, kept, {})] == ["q00", "q08"]


def test_episodes_in_which_nobody_did_anything(copy: Path) -> None:
    summary = json.loads((copy / "summary.json").read_text())
    for figures in summary["behaviours"]["contestants"].values():
        for figure in figures.values():
            figure.update(mean=0.0, low=0.0, high=0.3)
    summary["behaviours"]["paired"] = []
    (copy / "summary.json").write_text(json.dumps(summary))
    assert "Nobody did any of what is watched." in section(copy)
    assert "| behaviour | n | imitation | base | trained |" in markdown(copy)


def test_markdown_has_means_and_the_interval_of_the_difference(run: Path) -> None:
    said = markdown(run)
    both = "trained − base [95%], n | trained − imitation [95%], n"
    assert f"| behaviour | n | imitation | base | trained | {both} |" in said
    assert "| no_tool_answer | 32 | 0.0 | 50.0 | 0.0 | -50.0 [-50.0 to -50.0], 32 | 0.0 [" in said
    assert "| calls | 32 | 3.00 | 2.50 | 3.00 | +0.50 [+0.50 to +0.50], 32 |" in said
    assert "| L0 | 8 | 100.0 | 0.0 | 100.0 | +100.0 [" in said
    assert "| calls_over_fewest | 24 | 1.00 | – | 1.00 | – [–], 0 |" in said
    assert "Points by level" in said and "Right answers" not in said


def test_words_of_the_result_suit_answers_and_documents_alike(run: Path) -> None:
    page = page_of(run)
    assert "Its output has the form asked for in 100.0%" in page.text
    assert "valid" not in page.text.split("Provenance")[0]
    assert "Score by section" not in page.text  # a job without sections
    assert "exact McNemar" not in page.text.split("Provenance")[0]


def test_wins_losses_and_samples_of_training_show_the_final_text_and_the_turns(run: Path) -> None:
    shown = page_of(run).text.split("Examples", 2)[2]
    assert "FINAL ANSWER: trained" in shown and "All 3 turns" in shown
    said = "FINAL ANSWER: of training All 3 turns assistant a call of training tool a reply of training"
    assert said in shown
