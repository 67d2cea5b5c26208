"""The readers under `diagnose`, and that it takes any text."""

from __future__ import annotations

import random
import time

import pytest
from finqa_episodes import CLEAN, CLOUD, GROWTH, NOW, REVENUE, call, episode, final, info, names, sql, task
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.finqa.diagnose import BEHAVIOURS, diagnose
from fivestones.environments.finqa.diagnose.figures import figures, figures_of_answer, figures_of_output
from fivestones.environments.finqa.diagnose.statement import read_statement
from fivestones.evaluate.behaviours import COUNTS
from fivestones.types import Message


@pytest.mark.parametrize(
    ("sql", "columns", "texts"),
    [
        (
            "SELECT a, \"B c\" FROM t WHERE d = 'It''s' AND e LIKE '%x%'",
            {"a", "b c", "d", "e"},
            {"it's", "%x%"},
        ),
        ("select `a` as z, [b 2] from t where t.c in ('1', \"q\")", {"a", "b 2", "c", "q"}, {"1", "q"}),
        ("SELECT COUNT(a) -- WHERE b\n FROM t /* c */", {"a"}, set()),
        ("SELECT CAST(REPLACE(a, ',', '') AS REAL) FROM t WHERE b = 'torn", {"a", "b"}, {"torn"}),
        ('SELECT "torn', {"torn"}, set()),
        ("", set(), set()),
        ("((((", set(), set()),
    ],
)
def test_statement(sql: str, columns: set[str], texts: set[str]) -> None:
    statement = read_statement(sql)
    assert (set(statement.columns), set(statement.texts)) == (columns, texts)


@pytest.mark.parametrize(
    ("sql", "aggregates"),
    [
        ("SELECT SUM(a) FROM t", [("sum", {"a"}, False)]),
        ("SELECT max ( a ), MIN(b) FROM t", [("max", {"a"}, False), ("min", {"b"}, False)]),
        ("SELECT SUM(CAST(a AS REAL)) FROM t", [("sum", {"a"}, False)]),
        ("SELECT SUM(CAST(REPLACE(a, ',', '') AS REAL)) FROM t", [("sum", {"a"}, True)]),
        ("SELECT AVG(v) FROM (SELECT REPLACE(a, ',', '') AS v FROM t)", [("avg", {"v"}, True)]),
        ("SELECT COUNT(a), 'SUM(a)' FROM t", []),
        ("SELECT sum FROM t WHERE max = 1", []),
        ("SELECT SUM(a", [("sum", {"a"}, False)]),
    ],
)
def test_aggregates(sql: str, aggregates: list[tuple[str, set[str], bool]]) -> None:
    assert [(a.name, set(a.columns), a.cleaned) for a in read_statement(sql).aggregates] == aggregates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ 1,234.50", [(1234.5, 0.005)]),
        ("(56) and -7", [(56.0, 0.5), (7.0, 0.5)]),
        ("1,2,3", [(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)]),
        ("1.2e3 .5", [(1200.0, 50.0), (0.5, 0.05)]),
        ("1,234,567", [(1234567.0, 0.5)]),
        ("1,2345", [(1.0, 0.5), (2345.0, 0.5)]),
        ("none", []),
    ],
)
def test_figures(text: str, expected: list[tuple[float, float]]) -> None:
    assert [(f.size, pytest.approx(f.half)) for f in figures(text)] == expected


def test_figures_of_answers_and_outputs() -> None:
    assert [f.size for f in figures_of_answer("2023: 5.1 %; 2024: 6.0 %")] == [5.1, 6.0]
    assert [f.size for f in figures_of_answer("Q3 growth was 12.5 % in 2024")] == [12.5]
    assert [f.size for f in figures_of_answer("$ 2024 million")] == [2024.0]
    assert figures_of_answer("not disclosed for 2024") == ()
    assert figures_of_output("1,234.5 and .5e1, 2e-1") == (0.2, 5.0, 1234.5)
    assert figures_of_output('[{"a":"—","b":"$ 7"}]') == (0.0, 7.0)


@pytest.mark.parametrize(
    ("written", "seen", "shown"),
    [
        ("1.2", 1.2345, True),
        ("1.3", 1.2345, False),
        ("1.234", 1234.0, True),
        ("0.125", 12.5, True),
        ("1250", 12.5, True),
        ("1,234,000,000", 1234.0, True),
        ("12,340", 1234.0, False),  # a factor of ten
        ("1,200", 1234.0, False),  # more digits than a rounding leaves
    ],
)
def test_shown_up_to_scale_and_displayed_digits(written: str, seen: float, shown: bool) -> None:
    (figure,) = figures(written)
    assert figure.shown_in((seen,)) is shown


PIECES = st.sampled_from(
    [
        *CLEAN,
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "FINAL ANSWER:",
        "FINAL ANSWER: 1/0",
        '{"name": "sql_query", "arguments": {"company": [], "table": {"a": 1}, "query": 3}}',
        call("sql_query", company="acme", table="t", query="SELECT SUM(\"'"),
        call("calculator", expression="9" * 500 + "e999"),
        call("submit_answer", answer="1e999"),
        final("9" * 5000),
        final("1e400; 2024: (5); a: \\boxed{3"),
    ]
)
REPLIES = st.sampled_from(
    [
        "[]",
        "[[",
        "error: ",
        "error: no such column: x",
        '{"columns": {"a": 3}}',
        '{"columns": []}',
        "[1, null]",
        "12.5",
    ]
)
ANY = st.text(st.characters(), max_size=40)
TURNS = st.one_of(
    st.builds(lambda *parts: Message("assistant", "".join(parts)), *[st.one_of(PIECES, ANY)] * 3),
    st.builds(Message, st.just("tool"), st.one_of(REPLIES, ANY)),
    st.builds(Message, st.just("user"), ANY),
)


@settings(max_examples=150)
@given(st.lists(TURNS, max_size=8), st.sampled_from(["stop", "length", "turns", "error"]))
def test_any_transcript_is_read(turns: list[Message], finish: str) -> None:
    one = task()
    out = diagnose(one, [*one.prompt, *turns], finish)
    assert list(out) == list(BEHAVIOURS)
    assert all(v is None or 0.0 <= v <= 1.0 for name, v in out.items() if name not in COUNTS)


def test_a_task_without_provenance_is_read() -> None:
    bare = task()
    bare = type(bare)(id="x", prompt=bare.prompt, reference={"answer": "12.5 %"}, cluster="x")
    out = diagnose(bare, episode(bare, *CLEAN), "stop")
    nothing = ("wrong_entity", "wrong_table", "wrong_cell", "mental_arithmetic", "calls_over_fewest")
    assert [out[name] for name in nothing] == [None] * 5


def test_it_is_quick() -> None:
    rng = random.Random(1)
    rows = ",".join(f'{{"a":"$ {rng.randint(1000, 99999):,}"}}' for _ in range(40))
    turns = [names(), info(), *[CLOUD, sql(f"SELECT {NOW} FROM {REVENUE}"), GROWTH] * 3, final("13.9 %")]
    one = task()
    messages = [
        Message("tool", f"[{rows}]") if m.content.startswith("[{") else m for m in episode(one, *turns)
    ]
    best = min(_seconds(one, messages) for _ in range(20))
    assert best < 0.01  # 1 ms on two cores


def _seconds(one: object, messages: list[Message]) -> float:
    begun = time.perf_counter()
    diagnose(one, messages, "stop")  # type: ignore[arg-type]
    return time.perf_counter() - begun
