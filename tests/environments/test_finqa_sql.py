"""Queries that agents ask, and queries that mean harm: refused in time, and nothing changed."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from finqa_attacks import ASK, ATTACKS, ENDLESS, HOARD, OTHER, T
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.finqa.sql import CHARACTERS, ROWS, SECONDS, Database
from fivestones.environments.finqa.sql_text import safe_text
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.tool_use.tools import ToolError
from fivestones.errors import DataError

GOLD = [{"year_2024": "$ 1,234"}]
SERVICES = {"line": "Services"}
NINETY = {name: "Services" for name in ("line", *(f"line_{i}" for i in range(2, 91)))}
CELL = "SELECT CAST(REPLACE(\"2023\", ',', '') AS REAL)"


def tables() -> Tables:
    rows = (
        ("Services", "$ 1,234", "31,510", "(56)"),
        ("Products — net", "$ 2,000", "1,000", "—"),
        ("Bob's total", "$ 3,234", "32,510", None),
    )
    return Tables(
        [
            Table("acme", T, "In millions", ("line", "year_2024", "2023", "December 31, 2022"), rows),
            Table("acme", OTHER, "In thousands", ("line", "amount"), (("Secret", "99"),)),
            Table("acme", "long", "", ("n", "text"), tuple((str(i), "x" * 200) for i in range(120))),
            Table("bolt", T, "In millions", ("line", "year_2024"), (("Services", "$ 9"),)),
        ]
    )


@pytest.fixture(scope="module")
def database() -> Database:
    return Database(tables())


def held(database: Database, company: str) -> bytes:
    """All that the company's image holds, byte for byte."""
    image = database._image(company)
    image._db.set_authorizer(None)  # serialize asks SQLite for the number of pages
    try:
        return image._db.serialize()
    finally:
        image._db.set_authorizer(image._authorize)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (ASK, GOLD),
        (f"{ASK};", GOLD),
        (f"{ASK} ; -- done", GOLD),
        (f"/* a; b */ {ASK} -- c", GOLD),
        (ASK.lower().replace("services", "Services"), GOLD),
        (ASK.replace(T, f'"{T}"'), GOLD),
        (ASK.replace(T, f"`{T}`"), GOLD),
        (ASK.replace(T, f"[{T}]"), GOLD),
        (ASK.replace(T, f"main.{T}"), GOLD),
        (ASK.replace("line", '"line"').replace("year_2024", '"year_2024"'), GOLD),
        (f"SELECT \"2023\" FROM {T} WHERE line LIKE 'serv%'", [{"2023": "31,510"}]),
        (f"SELECT r.\"2023\" FROM {T} AS r WHERE r.line = 'Services'", [{"2023": "31,510"}]),
        (f"SELECT [December 31, 2022] FROM {T} WHERE line = 'Services'", [{"December 31, 2022": "(56)"}]),
        (
            f'SELECT "December 31, 2022" AS "last year" FROM {T} WHERE line = \'Services\'',
            [{"last year": "(56)"}],
        ),
        (f"SELECT \"2023\" FROM {T} WHERE line = 'Bob''s total'", [{"2023": "32,510"}]),
        (f"SELECT line FROM {T} WHERE line LIKE '%—%'", [{"line": "Products — net"}]),
        (f'SELECT line FROM {T} WHERE "December 31, 2022" IS NULL', [{"line": "Bob's total"}]),
        (f"SELECT line FROM {T} WHERE line IN ('Services', 'None') ORDER BY rowid", [{"line": "Services"}]),
        (f"SELECT COUNT(*) AS n FROM {T}", [{"n": 3}]),
        (f"SELECT COUNT(MAX(line, '')) AS n FROM {T}", [{"n": 3}]),
        (f"SELECT COUNT(*) FILTER (WHERE line > 'C') AS n FROM {T}", [{"n": 2}]),
        (f"SELECT count( * ) AS n FROM {T} WHERE line <> 'x'", [{"n": 3}]),
        (
            f"SELECT line, COUNT(*) AS n FROM {T} GROUP BY line HAVING n = 1 ORDER BY line LIMIT 1",
            [{"line": "Bob's total", "n": 1}],
        ),
        (f"SELECT SUM(\"2023\") AS s FROM {T} WHERE line = 'Services'", [{"s": 31.0}]),
        (
            f"SELECT SUM(CAST(REPLACE(\"2023\", ',', '') AS REAL)) AS s FROM {T} WHERE line > ''",
            [{"s": 65020.0}],
        ),
        (f"SELECT MAX(line) AS m FROM {T}", [{"m": "Services"}]),
        (f"SELECT line FROM {T} WHERE line = 'none'", []),
        (f"SELECT line, line FROM {T} WHERE line = 'Services'", [{"line": "Services", "line_2": "Services"}]),
        (
            f"WITH t AS (SELECT line AS l FROM {T}) SELECT COUNT(*) AS n FROM t WHERE l LIKE 'S%'",
            [{"n": 1}],
        ),
        (f"SELECT COUNT(*) AS n FROM (SELECT line FROM {T} WHERE line > 'C')", [{"n": 2}]),
        (
            f"SELECT a.line FROM {T} a JOIN {T} b ON a.line = b.line WHERE b.year_2024 = '$ 1,234'",
            [{"line": "Services"}],
        ),
        (
            f"SELECT line FROM {T} WHERE line > 'Q' UNION ALL SELECT 'x' FROM {T} WHERE line = 'Services'",
            [{"line": "Services"}, {"line": "x"}],
        ),
        (
            f"SELECT CASE WHEN line LIKE 'S%' THEN 1 ELSE 0 END AS s FROM {T} WHERE line = 'Services'",
            [{"s": 1}],
        ),
        (
            f"SELECT substr(year_2024, 3) AS s, length(line) AS n FROM {T} WHERE line GLOB 'S*'",
            [{"s": "1,234", "n": 8}],
        ),
        (
            f"SELECT line, row_number() OVER (ORDER BY line) AS n FROM {T} WHERE line LIKE 'S%'",
            [{"line": "Services", "n": 1}],
        ),
        (
            f"SELECT first_value(line) OVER w AS line FROM {T} WHERE line > 'Q' WINDOW w AS (ORDER BY line)",
            [SERVICES],
        ),
        (f"SELECT window.line FROM {T} window, {T} b WHERE window.line > 'Q' AND b.line > 'Q'", [SERVICES]),
        (f"SELECT line FROM {T} WHERE line = 'a\u00a0b' OR line = 'Services'", [SERVICES]),
        (f"SELECT line AS zeile_ä FROM {T} WHERE zeile_ä = 'Services'", [{"zeile_ä": "Services"}]),
        (f"SELECT line FROM '{T}' WHERE line IN ('Services')", [SERVICES]),
        (  # seven cells added up
            "SELECT " + " + ".join(f"({CELL} FROM {T} WHERE line LIKE 'S%')" for _ in range(7)) + " AS s",
            [{"s": 7 * 31510.0}],
        ),
        (  # three tables joined
            ", ".join(
                f"{'' if i else 'WITH '}c{i} AS (SELECT line, year_2024 AS v FROM {T} WHERE line LIKE 'S%')"
                for i in range(3)
            )
            + " SELECT c0.v, c1.v AS w, c2.v AS u FROM c0 JOIN c1 ON c0.line = c1.line"
            + " JOIN c2 ON c2.line = c0.line WHERE c0.v > '' ORDER BY c0.v",
            [{"v": "$ 1,234", "w": "$ 1,234", "u": "$ 1,234"}],
        ),
        (f"SELECT {', '.join(['line'] * 90)} FROM {T} WHERE line = 'Services'", [NINETY]),
        (f"SELECT 2 * 3 AS six, line FROM {T} WHERE line = 'Services'", [{"six": 6, "line": "Services"}]),
        (
            f"SELECT 2024 AS year, year_2024 FROM {T} WHERE line = 'Services'",
            [{"year": 2024, "year_2024": "$ 1,234"}],
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<5) SELECT MAX(i) m FROM n",
            [{"m": 5}],
        ),
        (f"SELECT \"line\" || '!' FROM {T} WHERE line = 'Services'", [{"\"line\" || '!'": "Services!"}]),
    ],
)
def test_what_agents_ask(database: Database, sql: str, rows: list[dict[str, object]]) -> None:
    assert json.loads(database.query("acme", T, sql)) == rows


@pytest.mark.parametrize("sql", list(ATTACKS), ids=lambda sql: ascii(" ".join(sql.split())[:50]))
def test_refused_in_time_and_nothing_changed(database: Database, sql: str) -> None:
    before = held(database, "acme")
    begin = time.thread_time()
    with pytest.raises(ToolError) as refused:
        database.query("acme", T, sql)
    seconds = time.thread_time() - begin
    assert ATTACKS[sql] in str(refused.value)
    assert len(str(refused.value)) < 1200
    assert seconds < SECONDS + 0.2
    assert held(database, "acme") == before
    assert json.loads(database.query("acme", T, ASK)) == GOLD


def test_a_busy_machine_changes_no_result(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    work = f"{ENDLESS.replace('FROM n', 'FROM n WHERE i < 9999')} SELECT MAX(i) AS m FROM n"
    leaps = itertools.count(0, 10)
    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: next(leaps))
    assert json.loads(database.query("acme", T, work)) == [{"m": 9999}]
    monkeypatch.setattr(time, "thread_time", lambda: next(leaps))
    with pytest.raises(ToolError, match="was stopped"):
        database.query("acme", T, work)


def hoarded() -> int:
    """kB by which the peak of this process grows."""
    database = Database(tables())
    hoards = [sql for sql in ATTACKS if sql.startswith((HOARD[:30], "WITH c0(a)", "SELECT a||a"))]
    before = peak()
    for sql in hoards * 2:
        with pytest.raises(ToolError):
            database.query("acme", T, sql)
    return peak() - before


def peak() -> int:
    """kB. `ru_maxrss` would begin with the peak of the process that started this one."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]


def test_memory_stays_bounded() -> None:
    """In a process of its own: the peak of this one may lie high already."""
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(hoarded) < 300_000


def test_no_file_is_written(database: Database, tmp_path: Path) -> None:
    for sql in (
        f"VACUUM INTO '{tmp_path}/a'",
        f"ATTACH '{tmp_path}/b' AS b",
        f"SELECT writefile('{tmp_path}/c', 1)",
    ):
        with pytest.raises(ToolError):
            database.query("acme", T, sql)
    assert not list(tmp_path.iterdir())


def test_too_many_rows_and_too_long_a_result_say_so(database: Database) -> None:
    with pytest.raises(ToolError, match=f"more than {ROWS} rows"):
        database.query("acme", "long", "SELECT n FROM long WHERE n >= ''")
    with pytest.raises(ToolError, match=f"at most {CHARACTERS:,} are shown"):
        database.query("acme", "long", "SELECT text FROM long WHERE CAST(n AS INTEGER) < 40")
    short = database.query("acme", "long", "SELECT n FROM long WHERE CAST(n AS INTEGER) < 50")
    assert len(json.loads(short)) == ROWS


def test_errors_name_what_is_available(database: Database) -> None:
    def error(company: str, table: str, sql: str) -> str:
        with pytest.raises(ToolError) as refused:
            database.query(company, table, sql)
        return str(refused.value)

    assert error("acne", T, ASK) == "no company `acne`. Did you mean `acme`? Available: acme, bolt."
    assert "Did you mean `long`? Available: us_gaap_Disagg" in error("acme", "longs", ASK)
    unknown = error("acme", T, ASK.replace("year_2024", "year_2025"))
    assert unknown == (
        f"no column `year_2025` in table `{T}`. Did you mean `year_2024`?"
        " Columns: line, year_2024, 2023, December 31, 2022."
    )
    assert error("bolt", T, ASK.replace("year_2024", '"2023"')).endswith("Columns: line, year_2024.")


def test_companies_do_not_see_each_other(database: Database) -> None:
    assert json.loads(database.query("bolt", T, ASK)) == [{"year_2024": "$ 9"}]
    with pytest.raises(ToolError, match="no table"):
        database.query("bolt", T, f"SELECT amount FROM {OTHER} WHERE line = 'a'")


def test_a_query_is_judged_anew_for_another_table(database: Database) -> None:
    other = f"SELECT amount FROM {OTHER} WHERE line = 'Secret'"
    assert json.loads(database.query("acme", OTHER, other)) == [{"amount": "99"}]
    with pytest.raises(ToolError, match="with its own call"):
        database.query("acme", T, other)


def in_threads(work: list[Callable[[], None]]) -> list[BaseException]:
    failures: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def reaches_sqlite(sql: str) -> bool:
    """Not refused by its text alone."""
    try:
        safe_text(sql)
    except ToolError:
        return False
    return True


def test_rollouts_at_the_same_time_do_not_disturb_each_other() -> None:
    database = Database(tables(), images=1)  # the two companies push each other out
    reaching = [sql for sql in ATTACKS if reaches_sqlite(sql)]
    assert len(reaching) >= 60

    def attack() -> None:
        for sql in reaching:
            with pytest.raises(ToolError):
                database.query("acme", T, sql)

    def ask(company: str, value: str) -> Callable[[], None]:
        def repeatedly() -> None:
            for _ in range(100):
                assert json.loads(database.query(company, T, ASK)) == [{"year_2024": value}]

        return repeatedly

    assert not in_threads([attack, ask("acme", "$ 1,234"), attack, ask("bolt", "$ 9")])


def test_a_stopped_query_does_not_take_the_time_of_others(database: Database) -> None:
    def endless() -> None:
        with pytest.raises(ToolError, match="was stopped"):
            database.query("acme", T, f"{ENDLESS} SELECT MAX(i) FROM n")

    def ask() -> None:
        assert json.loads(database.query("acme", T, ASK)) == GOLD

    assert not in_threads([endless, ask, endless, ask])


WORDS = [
    *(
        T,
        OTHER,
        "'a'",
        '"b"',
        "`",
        "[",
        "--",
        "/*",
        "(",
        ")",
        ",",
        "=",
        ";",
        "*",
        "1",
        "t",
        "line",
        "count",
        "AS",
    ),
    *("SELECT", "FROM", "WHERE", "WITH", "UNION", "DELETE", "LIKE", "NOT", "JOIN"),
]


@settings(max_examples=300)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(WORDS),
        max_size=25,
    ).map(" ".join)
)
def test_any_text_is_answered_or_refused(database: Database, sql: str) -> None:
    try:
        rows = json.loads(database.query("acme", T, sql))
    except ToolError:
        return
    assert "Secret" not in str(rows)


def test_tables_are_checked_where_they_are_born() -> None:
    with pytest.raises(DataError, match="row 2 has 1 cells, expected 2"):
        Table("a", "t", "", ("x", "y"), (("1", "2"), ("1",)))
    with pytest.raises(DataError, match="every cell is text"):
        Table("a", "t", "", ("x",), ((1,),))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="column names must differ"):
        Table("a", "t", "", ("x", "X"), ())
    with pytest.raises(DataError, match="no columns"):
        Table("a", "t", "", (), ())
    table = Table("a", "t", "", ("x",), ())
    with pytest.raises(DataError, match="two tables are named"):
        Tables([table, table])


def test_odd_names_are_quoted() -> None:
    name, columns = 'a "b" `c`', ('x "y"', "order", "it's", "z`")
    database = Database(Tables([Table("a", name, "", columns, (("1", "2", "3", "4"),))]))
    sql = 'SELECT "x ""y""", "order", "it\'s", "z`" FROM "a ""b"" `c`" WHERE "order" = \'2\''
    assert json.loads(database.query("a", name, sql)) == [dict(zip(columns, "1234", strict=True))]


def quickest(work: Callable[[], object], tries: int) -> float:
    best = 9.0
    for _ in range(tries):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def test_it_is_quick(database: Database) -> None:
    many = Tables(
        [Table("a", f"t{i}", "", ("l", "x", "y", "z"), (("l", "1", "2", "3"),) * 20) for i in range(33)]
    )
    ask = "SELECT x FROM t0 WHERE l = 'none'"
    assert quickest(lambda: Database(many).query("a", "t0", ask), 5) < 0.02  # measured: 4 ms
    assert quickest(lambda: database.query("acme", T, ASK), 200) < 120e-6  # measured: 40 us
