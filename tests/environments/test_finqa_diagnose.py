"""For every behaviour a transcript that shows it, and one that does not; the tools are the real ones."""

from __future__ import annotations

from typing import Any

import pytest
from finqa_episodes import (
    BEFORE,
    CLEAN,
    CLOUD,
    GROWTH,
    NOW,
    PARENT,
    REVENUE,
    STAFF,
    call,
    compute,
    episode,
    final,
    info,
    lookup,
    names,
    sql,
    submit,
    task,
    told,
)

from fivestones.environments.finqa.diagnose import BEHAVIOURS, diagnose
from fivestones.environments.finqa.tools import SUBMIT
from fivestones.environments.tool_use.calls import parse
from fivestones.evaluate.behaviours import COUNTS
from fivestones.types import Call, Message

FLAGS = [name for name in BEHAVIOURS if name not in (*COUNTS, "recovered")]
SEEN = (names(), info())
STAR = sql(f"SELECT * FROM {REVENUE}")
NO_COLUMN = sql(f"SELECT revenue_2024 FROM {REVENUE} WHERE segment = 'Cloud'")
NONE = sql(f"SELECT {NOW} FROM {REVENUE} WHERE segment = 'Clouds'")
PARENT_CLOUD = sql(f"SELECT {NOW}, {BEFORE} FROM {PARENT} WHERE segment = 'Cloud'", PARENT)
DEVICES = sql(f"SELECT {NOW}, {BEFORE} FROM {REVENUE} WHERE segment = 'Devices'")
SUM = sql(f"SELECT SUM({NOW}) AS s FROM {REVENUE} WHERE segment <> 'Total'")
CLEANED = sql(f"SELECT SUM(REPLACE({NOW}, ',', '')) AS s FROM {REVENUE} WHERE segment = 'Devices'")
STAFF_SUM = sql(f"SELECT AVG(employees) AS s FROM {STAFF} WHERE year IN ('2023', '2024')", STAFF)
BETA = sql(f"SELECT {NOW} FROM {REVENUE} WHERE segment = 'Cloud'", company="beta")
RATIO = sql(
    f"SELECT REPLACE({NOW}, '$ 31,5', '315') / 28000.0 AS x FROM {REVENUE}"
    f" WHERE {BEFORE} <> '' AND segment = 'Cloud'"
)
JOINED = f"SELECT a.segment FROM {REVENUE} a, {REVENUE} b, {REVENUE} c WHERE a.segment <> ''"
WRONG = final("13.9 %")
TURN = "\n"  # calls of one turn

CASES: list[tuple[str, tuple[str, ...], float | None]] = [
    ("went_round", (*SEEN, NO_COLUMN, NO_COLUMN, NO_COLUMN), 1.0),
    ("went_round", (*SEEN, NO_COLUMN, NO_COLUMN), 0.0),
    ("went_round", (*SEEN, NO_COLUMN, NO_COLUMN, WRONG), 0.0),
    ("no_tool_answer", (final("12.5 %"),), 1.0),
    ("no_tool_answer", ("<tool_call>{broken</tool_call>", final("12.5 %")), 1.0),
    ("no_tool_answer", (names(), final("12.5 %")), 0.0),
    ("no_tool_answer", ("I do not know.",), None),
    ("undiscovered_table", (info(), CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("undiscovered_table", (names("beta"), info(), final("12.5 %")), 1.0),
    ("undiscovered_table", (names(), info(), final("12.5 %")), 0.0),
    ("undiscovered_table", (names(), final("12.5 %")), None),
    ("hallucinated_table", (names(), info("Revenues"), final("12.5 %")), 1.0),
    ("hallucinated_table", (info("Revenues"), final("12.5 %")), 1.0),
    ("hallucinated_table", (info(), final("12.5 %")), 0.0),
    ("hallucinated_table", (names(), NO_COLUMN, final("12.5 %")), 0.0),
    ("same_turn_guess", (names() + TURN + info(), CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("same_turn_guess", (names(), info() + TURN + CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("same_turn_guess", (*SEEN, CLOUD, GROWTH + TURN + final("12.5 %"), final("12.5 %")), 1.0),
    ("same_turn_guess", (names(), info() + TURN + info(STAFF), CLOUD + TURN + DEVICES, WRONG), 0.0),
    ("same_turn_guess", (*SEEN, info() + TURN + CLOUD, GROWTH, final("12.5 %")), 0.0),
    ("same_turn_guess", (final("12.5 %"),), None),
    ("uninspected_query", (names(), CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("uninspected_query", (names(), info(PARENT), CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("uninspected_query", (*SEEN, final("12.5 %")), None),
    ("wrong_column", (*SEEN, NO_COLUMN, CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("wrong_column", (*SEEN, sql(f"SELECT \"2024\" FROM {REVENUE} WHERE segment = 'Cloud'"), WRONG), 1.0),
    ("wrong_column", (*SEEN, STAR, CLOUD, GROWTH, final("12.5 %")), 0.0),
    ("guard_violation", (*SEEN, STAR, CLOUD, GROWTH, final("12.5 %")), 1.0),
    ("guard_violation", (*SEEN, sql(f"SELECT {NOW} FROM {REVENUE}"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"DELETE FROM {REVENUE} WHERE 1=1"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"PRAGMA table_info({REVENUE})"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"SELECT {NOW} FROM {REVENUE} WHERE a = 1; SELECT 1"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"SELECT {NOW} FROM {PARENT} WHERE segment = 'Cloud'"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(JOINED), WRONG), 1.0),  # too many rows
    ("guard_violation", (*SEEN, sql(f"SELECT 1 FROM {REVENUE} WHERE {'(' * 50}"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"SELECT 1 FROM {REVENUE} WHERE a = '{'x' * 3000}'"), WRONG), 1.0),
    ("guard_violation", (*SEEN, sql(f"SELECT {NOW} FROM elsewhere WHERE a = 1"), WRONG), 1.0),
    (
        "guard_violation",
        (*SEEN, sql(f"SELECT to_number({NOW}) FROM {REVENUE} WHERE segment = 'a'"), WRONG),
        0.0,
    ),
    ("guard_violation", (*SEEN, NO_COLUMN, CLOUD, GROWTH, final("12.5 %")), 0.0),
    ("guard_violation", (*SEEN, sql(f"SELECT {NOW} FROM {REVENUE} WHERE (segment"), WRONG), 0.0),
    ("text_aggregate", (*SEEN, SUM, WRONG), 1.0),
    ("text_aggregate", (*SEEN, CLEANED, WRONG), 0.0),
    ("text_aggregate", (names(), info(STAFF), STAFF_SUM, WRONG), 0.0),
    ("text_aggregate", (names(), STAFF_SUM, WRONG), 1.0),  # unseen values
    ("empty_ignored", (*SEEN, NONE, WRONG), 1.0),
    ("empty_ignored", (*SEEN, NONE, PARENT_CLOUD, WRONG), 1.0),  # the empty one was needed
    ("empty_ignored", (*SEEN, NONE, CLOUD, GROWTH, final("12.5 %")), 0.0),
    ("empty_ignored", (*SEEN, NONE, final("not disclosed")), 0.0),
    ("empty_ignored", CLEAN, None),
    ("error_abandoned", (*SEEN, NO_COLUMN, WRONG), 1.0),
    ("error_abandoned", (*SEEN, NO_COLUMN, CLOUD, WRONG), 0.0),
    ("error_abandoned", (*SEEN, NO_COLUMN), 0.0),  # cut off, not abandoned
    ("error_abandoned", CLEAN, None),
    ("error_unrecovered", (*SEEN, NO_COLUMN, names(), WRONG), 1.0),
    ("error_unrecovered", (*SEEN, CLOUD, NO_COLUMN, WRONG), 1.0),
    ("error_unrecovered", (*SEEN, NO_COLUMN, STAR, CLOUD, GROWTH, final("12.5 %")), 0.0),
    ("error_unrecovered", (call("get_tables"), names(), WRONG), 0.0),
    ("error_unrecovered", CLEAN, None),
    ("recovered", (*SEEN, NO_COLUMN, CLOUD, STAR, WRONG), 0.5),
    ("recovered", CLEAN, None),
    ("blind_repeat", (*SEEN, NO_COLUMN, NO_COLUMN, WRONG), 1.0),
    ("blind_repeat", ("<tool_call>{x</tool_call>", names(), "<tool_call>{x</tool_call>", WRONG), 1.0),
    ("blind_repeat", (*SEEN, NO_COLUMN + TURN + NO_COLUMN, WRONG), 0.0),  # one turn: no reply to learn from
    ("blind_repeat", (*SEEN, NO_COLUMN, STAR, WRONG), 0.0),
    ("blind_repeat", (*SEEN, CLOUD, CLOUD, WRONG), None),
    ("mental_arithmetic", (*SEEN, CLOUD, final("12.5 %")), 1.0),
    ("mental_arithmetic", (*SEEN, CLOUD, final("$ 31,510")), 0.0),
    ("mental_arithmetic", (*SEEN, CLOUD, GROWTH, WRONG), 0.0),
    ("mental_arithmetic", (*SEEN, CLOUD, final("not disclosed")), None),
    ("ungrounded_operand", (*SEEN, CLOUD, compute("(31510 - 28321) / 28321 * 100"), WRONG), 1.0),
    ("ungrounded_operand", (*SEEN, CLOUD + TURN + GROWTH, final("12.5 %")), 0.0),  # inspected
    ("ungrounded_operand", (names(), GROWTH, final("12.5 %")), 1.0),
    ("ungrounded_operand", (*SEEN, CLOUD, compute("($ 31.51 / 28,000 * 1000) ** (1 / 3) - 1"), WRONG), 0.0),
    ("ungrounded_operand", (*SEEN, CLOUD, compute("31510 / (2024 - 2023)"), WRONG), 0.0),
    ("ungrounded_operand", (*SEEN, CLOUD, WRONG), None),
    ("ungrounded_final", (*SEEN, CLOUD, GROWTH, WRONG), 1.0),
    ("ungrounded_final", (*SEEN, CLOUD, GROWTH, final("0.125357")), 0.0),
    ("ungrounded_final", (*SEEN, CLOUD, GROWTH, final("-12.54 %")), 0.0),
    ("ungrounded_final", (*SEEN, CLOUD, GROWTH, final("12.55 %")), 1.0),
    ("ungrounded_final", (*SEEN, CLOUD, final("$ 31.5 million in 2024")), 0.0),
    ("ungrounded_final", (*SEEN, CLOUD, final("2024: 31,510; 2023: 28,000")), 0.0),
    ("ungrounded_final", (*SEEN, CLOUD, final("2024: 31,510; 2023: 28,100")), 1.0),
    ("ungrounded_final", (*SEEN, CLOUD, final("not disclosed")), None),
    ("ignored_output", (*SEEN, CLOUD, GROWTH, final("$ 31,510")), 1.0),
    ("ignored_output", (*SEEN, CLOUD, GROWTH, final("12.536")), 0.0),
    ("ignored_output", (*SEEN, CLOUD, GROWTH, DEVICES, final("12.5 %")), 0.0),  # verified by one more query
    ("ignored_output", (*SEEN, CLOUD, GROWTH, DEVICES, final("12.54 million")), 0.0),  # wrong, not ignored
    ("ignored_output", (*SEEN, CLOUD, GROWTH, DEVICES, final("$ 31,510")), 1.0),
    ("ignored_output", (*SEEN, CLOUD, compute("1 + 1"), final("12.5 %")), 0.0),  # right all the same
    ("ignored_output", (*SEEN, CLOUD, compute("31510 -"), final("$ 31,510")), None),
    ("wrong_entity", (names("beta"), info(company="beta"), BETA, WRONG), 1.0),
    ("wrong_entity", (names("Acme Inc"), names("acme corp"), WRONG), 1.0),
    ("wrong_entity", (names("beta"), names(), CLOUD, WRONG), 0.0),
    ("wrong_entity", (compute("1 + 1"), WRONG), None),
    ("wrong_table", (names(), info(PARENT), PARENT_CLOUD, WRONG), 1.0),
    ("wrong_table", (names(), info(PARENT), PARENT_CLOUD), 1.0),
    ("wrong_table", (names(), PARENT_CLOUD, CLOUD, WRONG), 0.0),
    ("wrong_table", (names(), PARENT_CLOUD, final("12.5 %")), 0.0),  # right all the same
    ("wrong_table", (*SEEN, WRONG), None),
    ("wrong_cell", (*SEEN, DEVICES, WRONG), 1.0),
    ("wrong_cell", (*SEEN, NONE, WRONG), 1.0),
    ("wrong_cell", (*SEEN, DEVICES, final("12.5 %")), 0.0),
    ("wrong_cell", (*SEEN, CLOUD, WRONG), 0.0),
    ("wrong_cell", (*SEEN, RATIO, WRONG), 0.0),  # shows none, reads both
    ("wrong_cell", (names(), PARENT_CLOUD, WRONG), None),
    ("near_miss", (*SEEN, CLOUD, final("12.8 %")), 1.0),
    ("near_miss", (*SEEN, CLOUD, final("-12.5 %")), 1.0),
    ("near_miss", (*SEEN, CLOUD, final("1250 %")), 1.0),
    ("near_miss", (*SEEN, CLOUD, final("12.5 million")), 1.0),
    ("near_miss", (*SEEN, CLOUD, WRONG), 0.0),
    ("near_miss", (*SEEN, CLOUD, final("not disclosed")), 0.0),
    ("near_miss", CLEAN[:-1], None),
    ("no_final_answer", (*CLEAN[:-1], "It grew by 12.5 %."), 1.0),
    ("no_final_answer", CLEAN[:-1], 1.0),
    ("several_final_answers", (final("12.5 %") + "\n" + final("12.6 %"),), 1.0),
    ("several_final_answers", (names() + "\n" + final("12.5 %"), final("12.5 %")), 1.0),
    ("unparsed_call", ('<tool_call>{"name": get_table_names}</tool_call>', final("12.5 %")), 1.0),
    ("unknown_tool", (call("list_tables", company="acme"), final("12.5 %")), 1.0),
    ("unknown_tool", (names("acne"), info("Revenues"), STAR, compute("x"), call("calculator"), WRONG), 0.0),
    ("bad_arguments", (call("get_table_names", firm="acme"), final("12.5 %")), 1.0),
    ("bad_arguments", (call("get_table_names"), final("12.5 %")), 1.0),
    ("bad_arguments", (call("get_table_names", company=3), final("12.5 %")), 1.0),
    (
        "bad_arguments",
        (names("acne"), info("Revenues"), STAR, NO_COLUMN, compute("x"), call("f"), WRONG),
        0.0,
    ),
]


@pytest.mark.parametrize(("name", "turns", "expected"), CASES)
def test_flag(name: str, turns: tuple[str, ...], expected: float | None) -> None:
    assert told(*turns)[name] == expected


def test_every_flag_has_a_case_that_raises_it() -> None:
    raised = {name for name, _, expected in CASES if expected == 1.0}
    assert set(FLAGS) - raised == {"out_of_turns", "out_of_length"}  # in test_budget


def test_the_clean_transcript_raises_none() -> None:
    out = told(*CLEAN)
    assert list(out) == list(BEHAVIOURS)
    assert {name for name in FLAGS if out[name] == 1.0} == set()
    assert {name: out[name] for name in (*COUNTS, "recovered")} == {
        "turns": 5.0,
        "calls": 4.0,
        "errors": 0.0,
        "calls_over_fewest": 0.0,
        "recovered": None,
    }


def test_a_demonstration_is_read_by_its_calls() -> None:
    sampled = episode(task(), *CLEAN)
    one = task()
    demonstrated = [_demonstrated(m) if m.role == "assistant" else m for m in sampled]
    assert diagnose(one, demonstrated, "stop") == diagnose(one, sampled, "stop")


def _demonstrated(sampled: Message) -> Message:
    parsed = parse(sampled.content)
    return Message("assistant", parsed.text, tuple(c for c in parsed.calls if isinstance(c, Call)))


def test_budget() -> None:
    assert told(names(), finish="turns")["out_of_turns"] == 1.0
    assert told(names(), finish="turns")["out_of_length"] == 0.0
    assert told(names(), finish="length")["out_of_length"] == 1.0


def test_who_submits_has_not_gone_round_and_a_refused_submission_is_none() -> None:
    assert told(*CLEAN[:-1], submit("12.5 %"), submits=True)["went_round"] == 0.0
    refused = call(SUBMIT, answer="12.5 %", unit="percent")
    out = told(*CLEAN[:-1], refused, refused, refused, submits=True)
    assert (out["went_round"], out["no_final_answer"], out["near_miss"]) == (1.0, 1.0, None)


def test_counts() -> None:
    out = told(names(), *CLEAN[:-1], STAR, final("12.5 %"))
    assert (out["turns"], out["calls"], out["errors"], out["calls_over_fewest"]) == (7.0, 6.0, 1.0, 2.0)
    assert told(*CLEAN[:-1], WRONG)["calls_over_fewest"] is None


def test_a_submitted_answer_is_the_final_answer() -> None:
    clean = told(*CLEAN[:-1], submit("12.5 %"), submits=True)
    assert {name for name in FLAGS if clean[name] == 1.0} == set()
    assert clean["calls_over_fewest"] == 0.0
    hasty = told(*CLEAN[:-2], compute("1 + 1") + submit("2"), submits=True)
    assert hasty["same_turn_guess"] == 1.0
    twice = told(submit("1") + submit("2"), submits=True)
    assert (twice["several_final_answers"], twice["no_tool_answer"]) == (1.0, 1.0)
    mended = told(call("submit_answer"), submit("12.5 %"), submits=True)
    assert (mended["bad_arguments"], mended["error_unrecovered"], mended["no_final_answer"]) == (
        1.0,
        0.0,
        0.0,
    )
    given_up = told(NO_COLUMN, submit("2"), submits=True)
    assert given_up["error_abandoned"] == 1.0
    assert told(submit("2"))["unknown_tool"] == 1.0  # there is no such tool in this form


def test_only_the_form_that_was_asked_for_ends_an_episode() -> None:
    written, one = episode(task(), *CLEAN), task()
    assert diagnose(one, written, "stop", submit=False)["no_final_answer"] == 0.0
    assert diagnose(one, written, "stop", submit=True)["no_final_answer"] == 1.0
    submitted = episode(one, *CLEAN[:-1], submit("12.5 %"), submits=True)
    assert diagnose(one, submitted, "stop", submit=True)["no_final_answer"] == 0.0
    assert diagnose(one, submitted, "stop", submit=False)["no_final_answer"] == 1.0


def test_an_answer_that_a_limit_cut_or_that_stands_beside_a_call_is_none() -> None:
    for finish in ("length", "turns"):
        cut = told(*CLEAN, finish=finish)
        assert (cut["no_final_answer"], cut["calls_over_fewest"], cut["near_miss"]) == (1.0, None, None)
    beside = told(*CLEAN[:-1], GROWTH + final("12.5 %"))
    assert (beside["no_final_answer"], beside["same_turn_guess"]) == (1.0, 1.0)


def test_questions_without_an_operation() -> None:
    out = told(*SEEN, CLOUD, final("$ 31,510 thousand"), of=lookup())
    assert {name for name in FLAGS if out[name] == 1.0} == set()
    assert out["mental_arithmetic"] is None
    for near in ("$ 28,000 thousand", "$ 31,510 million", "$ 31,510", "$ -31,510 thousand"):
        assert told(*SEEN, CLOUD, final(near), of=lookup())["near_miss"] == 1.0, near


def test_not_disclosed() -> None:
    missing = lookup(answer="not disclosed", cells=[], distractors=[])
    out = told(*SEEN, NONE, final("not disclosed"), of=missing)
    assert {name for name in FLAGS if out[name] == 1.0} == set()
    guessed = told(*SEEN, NONE, final("$ 31,510 thousand"), of=missing)
    assert (guessed["empty_ignored"], guessed["wrong_cell"], guessed["near_miss"]) == (1.0, None, 0.0)


def test_two_tables() -> None:
    two = task(tables=[REVENUE, STAFF], answer="60.2")
    half = told(*SEEN, CLOUD, final("12.5 %"), of=two)
    assert half["wrong_table"] == 1.0  # answered without the other one
    cut = told(*SEEN, CLOUD, of=two, finish="turns")
    assert cut["wrong_table"] == 0.0  # was on its way


def test_fields() -> None:
    both = task(answer="2023: 11,003; 2024: 12,407", distractors=[])
    assert told(*SEEN, DEVICES, final("2023: 11,003; 2024: 12,407"), of=both)["ungrounded_final"] == 0.0
    scaled = told(*SEEN, DEVICES, final("2023: 11.003; 2024: 12.407"), of=both)
    assert (scaled["ungrounded_final"], scaled["near_miss"]) == (0.0, 1.0)


def test_a_long_list_of_tables_is_cut_and_still_read() -> None:
    messages: list[Any] = episode(task(), names(), info("Gone"), final("1"))
    cut = Message("tool", '["RevenueBySegment", "Emplo\n... [900 of 4900 characters cut] ...\nLast"]')
    messages[3] = cut
    messages[5] = Message("tool", "error: something else")
    assert diagnose(task(), messages, "stop")["hallucinated_table"] == 0.0  # the list is not whole
    messages[3] = Message("tool", '["RevenueBySegment"]')
    assert diagnose(task(), messages, "stop")["hallucinated_table"] == 1.0
