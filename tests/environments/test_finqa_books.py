"""Made companies: their books balance, their tables read back, and the splits have nothing in common."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache

import pytest

from fivestones.environments.finqa.world.books import companies
from fivestones.environments.finqa.world.decoding import Undecodable, decodable, decode
from fivestones.environments.finqa.world.facts import Profile, parted
from fivestones.environments.finqa.world.formats import RESERVED, Style, cell, rounded, scales
from fivestones.environments.finqa.world.identities import balanced, fact_of
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.model import Company, Sheet, Unit, WorldSplit
from fivestones.environments.finqa.world.names import names
from fivestones.environments.finqa.world.topics.registry import flows, origin, topics
from fivestones.environments.finqa.world.topics.variants import apart
from fivestones.errors import UsageError
from fivestones.recipe import WorldPart

FULL, SHORT = WorldPart(), WorldPart(short=True)
SPLITS: tuple[WorldSplit, ...] = ("train", "val", "test")


@cache
def some(short: bool, split: WorldSplit, count: int) -> tuple[Company, ...]:
    part = SHORT if short else FULL
    return tuple(companies(part, 7, split, index) for index in range(count))


def every() -> Iterator[Company]:
    for split in SPLITS:
        yield from some(False, split, 8)
        yield from some(True, split, 25)


def digest(company: Company) -> str:
    text = json.dumps([[s.name, s.description, s.header, s.rows, s.decoy_of] for s in company.sheets])
    return hashlib.sha256(f"{company.slug} {company.name} {text}".encode()).hexdigest()


def described(sheet: Sheet) -> str:
    """As get_table_info shows it."""
    columns = {name: [row[i] for row in sheet.rows[:3]] for i, name in enumerate(sheet.header)}
    info = {"description": sheet.description, "rows": len(sheet.rows), "columns": columns}
    return json.dumps(info, ensure_ascii=False, separators=(",", ":"))


def changed(company: Company, number: int, where: tuple[str, int], value: Decimal) -> Company:
    sheets = list(company.sheets)
    sheets[number] = replace(sheets[number], values={**sheets[number].values, where: value})
    return replace(company, sheets=tuple(sheets))


# --- the same for the same arguments ------------------------------------------------------------------------


def test_a_company_is_the_same_in_any_process_and_in_any_order() -> None:
    code = (
        "from test_finqa_books import *\n"
        "print(*[digest(companies(p, 7, 'test', 3)) for p in (SHORT, FULL)])"  # the other way round
    )
    here = os.path.dirname(__file__)
    made = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12", "PYTHONPATH": os.pathsep.join([here, *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.split() == [digest(companies(p, 7, "test", 3)) for p in (SHORT, FULL)]


def test_seed_split_and_index_each_make_another_company() -> None:
    made = [
        companies(SHORT, 7, "train", 3),
        companies(SHORT, 8, "train", 3),
        companies(SHORT, 7, "train", 4),
        companies(SHORT, 7, "val", 3),
    ]
    assert len({digest(c) for c in made}) == len(made)


# --- how much -----------------------------------------------------------------------------------------------


def test_tables_of_a_company() -> None:
    counts = [len(c.sheets) for c in (*some(False, "train", 8), *some(False, "test", 8))]
    assert all(20 <= n <= 40 for n in counts)
    assert sum(counts) / len(counts) > 33.4
    assert all(4 <= len(c.sheets) <= 5 for c in some(True, "train", 25))
    assert len(companies(WorldPart(short=True, tables=(7, 7)), 7, "train", 0).sheets) == 7


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_full_world(seed: int) -> None:
    wanted = {"train": FULL.companies_train, "val": FULL.companies_val, "test": FULL.companies_test}
    made = [companies(FULL, seed, split, i) for split in SPLITS for i in range(wanted[split])]
    assert len(made) == 207
    assert sum(len(c.sheets) for c in made) >= 6900
    assert [wrong for c in made for wrong in balanced(c)] == []
    assert [why for c in made for s in c.sheets if (why := decodable(s))] == []


def test_topics() -> None:
    known = topics().values()
    assert sum(not t.held_out for t in known) >= 40
    assert sum(t.held_out for t in known) >= 6
    assert len({t.block for t in known}) == len({t.subject for t in known}) == len(known)
    assert "revenue_by_segment" in flows()
    assert not flows() & {"balance_sheet", "goodwill", "debt_maturities"}


def test_cells_of_one_fact_are_known_whatever_their_labels() -> None:
    by_topic = {s.topic: s for c in some(False, "test", 8) for s in c.sheets}
    income, segments = by_topic["income_statement"], by_topic["revenue_by_segment"]
    assert fact_of(income, "revenue", 2020) == fact_of(segments, "total", 2020) == ("revenue", 2020)
    rolled = by_topic["goodwill"]
    assert fact_of(rolled, "opening", 2023) == fact_of(rolled, "closing", 2022)
    assert fact_of(income, "selling", 2020) == ("income_statement: selling", 2020)
    decoys = [s for t, s in by_topic.items() if s.decoy_of and not t.endswith("_earlier")]
    assert decoys and all(fact_of(s, s.lines[0].key, 2020) is None for s in decoys)


def test_names_of_a_companys_tables_and_subjects_differ() -> None:
    for company in every():
        assert len({s.name.casefold() for s in company.sheets}) == len(company.sheets)
        assert len({s.subject.casefold() for s in company.sheets}) == len(company.sheets)
        for sheet in company.sheets:
            assert len({line.key for line in sheet.lines}) == len(sheet.lines)
            assert len({line.label.casefold() for line in sheet.lines}) == len(sheet.lines)


def test_short_tables_are_small_and_need_no_quotes() -> None:
    for split in SPLITS:
        for sheet in (s for c in some(True, split, 25) for s in c.sheets):
            assert 2 <= len(sheet.lines) <= 5
            assert len(sheet.years) in (2, 3)
            assert len(described(sheet)) < 500
            for name in (sheet.name, *sheet.header):
                assert name.isidentifier()
                assert name.isascii()
                assert name not in RESERVED.split()
                assert len(name) <= 45


def test_companies_of_the_short_profile_report_three_tables_in_dollars() -> None:
    for company in some(True, "train", 25):
        assert sum(s.unit.kind == "usd" and s.decoy_of is None for s in company.sheets) >= 3


# --- balance ------------------------------------------------------------------------------------------------


def test_books_balance() -> None:
    for company in every():
        assert balanced(company) == []


def test_facts_balance_to_the_dollar() -> None:
    profile = Profile("a_b", "A B", ("One", "Two"), ("East", "West"), 2024, 10**9, False)
    led = Ledger(profile, "7:train:0")
    for y in led.years[1:]:
        assert led.assets["total"][y] == led.liabilities["total"][y] + led.equity["closing"][y]
        assert led.equity["opening"][y] == led.equity["closing"][y - 1]
        moves = ("net_income", "oci", "compensation", "dividends", "issued", "repurchased")
        assert led.equity["opening"][y] + sum(led.equity[m][y] for m in moves) == led.equity["closing"][y]
        assert (
            sum(s[y] for s in led.operating_income_by_segment.values()) == led.income["operating_income"][y]
        )
        assert sum(s[y] for s in led.due("x", led.debt["principal"]).values()) == led.debt["principal"][y]
        assert (
            led.cash_flow["closing"][y]
            == led.cash[y]
            == led.cash_flow["opening"][y]
            + sum(led.cash_flow[k][y] for k in ("operating", "investing", "financing", "currency"))
        )
        assert led.net_income[y] == led.income["pretax"][y] - led.tax["tax"][y]
        for rolled in (led.goodwill, led.property, led.shares, led.receivables):
            assert rolled["opening"][y] == rolled["closing"][y - 1]


def test_a_changed_figure_is_found() -> None:
    """Any figure of a table whose lines add up."""
    for company in (*some(False, "test", 3), *some(True, "train", 6)):
        for number, sheet in enumerate(company.sheets):
            if not origin(sheet.topic)[0].sums:
                continue
            for where, value in list(sheet.values.items())[:: max(1, len(sheet.values) // 4)]:
                last = Decimal(1).scaleb(int(value.as_tuple().exponent))
                wrong = changed(company, number, where, value + abs(value) // last * last / 5 + 30 * last)
                assert balanced(wrong), (sheet.name, where)


def test_tables_are_held_against_each_other() -> None:
    company = some(False, "train", 8)[0]
    for topic, key in (("earnings_per_share", "basic"), ("average_shares", "basic")):
        number, sheet = next((n, s) for n, s in enumerate(company.sheets) if s.topic == topic)
        year = max(sheet.years)
        wrong = balanced(changed(company, number, (key, year), sheet.values[key, year] * 2))
        assert any("eps_basic" in text for text in wrong)


def test_a_total_changed_with_its_part_is_found_in_another_table() -> None:
    company = some(False, "train", 8)[1]
    number, sheet = next((n, s) for n, s in enumerate(company.sheets) if s.topic == "revenue_by_segment")
    year, key = max(sheet.years), sheet.lines[0].key
    more = sheet.values[key, year]
    values = {(key, year): 2 * more, ("total", year): sheet.values["total", year] + more}
    sheets = list(company.sheets)
    sheets[number] = replace(sheet, values={**sheet.values, **values})
    wrong = balanced(replace(company, sheets=tuple(sheets)))
    assert any(text.startswith(f"revenue of {year} differs") for text in wrong)


# --- reading back -------------------------------------------------------------------------------------------


def test_tables_read_back() -> None:
    for sheet in (s for c in every() for s in c.sheets):
        assert decodable(sheet) is None


def test_what_does_not_read_back_is_said() -> None:
    rows = [["Snacks", "$ 1,234", "(56)"], ["  Drinks", "—", None]]
    decoded = decode("Revenue (in thousands)", ("item", "y2023", "y2024"), rows)
    assert decoded.across
    assert decoded.figures == {
        ("Snacks", "y2023"): 1_234_000,
        ("Snacks", "y2024"): -56_000,
        ("  Drinks", "y2023"): 0,
    }
    for description, columns, cells, why in (
        ("", ("item", "y2023", "Y2023"), rows, "columns of the same name"),
        ("", ("item", "y2023", "y2024"), [*rows, [" Snacks", "1", "2"]], "rows of the same"),
        ("in millions", ("in_thousands", "y2023", "y2024"), rows, "two units"),
        ("Sales (in millions), in percent", ("item", "y2023", "y2024"), rows, "two units"),
        ("(in millions)", ("item", "y2023", "y2024"), [["Snacks", "1", "2 thousand"]], "two units"),
        ("(in millions)", ("item", "y2023", "y2024"), [["Snacks", "1", "2 %"]], "two units"),
        ("", ("item", "old", "new"), rows, "neither"),
        ("", ("item", "y2023", "y2024"), [["Snacks", "1", "about 2"]], "no number"),
    ):
        with pytest.raises(Undecodable, match=why):
            decode(description, columns, cells)


def test_a_table_that_reads_otherwise_is_not_decodable() -> None:
    sheet = next(s for s in some(True, "train", 25)[0].sheets if s.unit.kind == "usd")
    where = next(iter(sheet.values))
    assert decodable(replace(sheet, texts={**sheet.texts, where: "$ 1"}))
    assert decodable(replace(sheet, unit=Unit("usd", 7)))


def test_mess() -> None:
    sheets = [s for split in SPLITS for c in some(False, split, 8) for s in c.sheets]
    texts = [t for s in sheets for row in s.rows for t in row if t is not None]
    assert any(t.startswith("$ ") for t in texts)
    assert any(t.startswith("(") and t.endswith(")") and "$" not in t for t in texts)
    assert {"—", "–"} & set(texts)
    assert any(t.endswith(" %") for t in texts)
    assert {s.unit_shown for s in sheets} == {"description", "header", "cells"}
    assert {s.unit.scale for s in sheets if s.unit.kind == "usd"} == {1_000, 1_000_000}
    assert any(not s.across for s in sheets)
    assert any(max(s.years) - min(s.years) >= len(s.years) for s in sheets)  # a missing year
    assert any(len(set(row)) == 1 for s in sheets for _, row in s.fillers)  # a merged header
    assert any(None in s.texts.values() for s in sheets)
    assert any(line.shown.startswith("  ") for s in sheets for line in s.lines)
    assert any(line.shown.endswith(" (1)") for s in sheets for line in s.lines)
    assert any(line.kind == "subtotal" for s in sheets for line in s.lines)
    assert any(name.isdigit() for s in sheets for name in s.header)


def test_figures_are_rounded_before_they_are_shown() -> None:
    assert rounded(1_234_567_000, 1_000_000, 1) == Decimal("1234.6")
    assert rounded(-500_000, 1_000_000, 0) == 0
    assert scales("usd", [900_000_000, 40_000_000, 0]) == [(1_000_000, 1), (1_000, 0)]
    unit, style = Unit("usd", 1_000_000), Style()
    assert cell(Decimal("-1234.5"), unit, style, dollar=True, words=False) == "($ 1,234.5)"
    assert cell(Decimal(12), unit, style, dollar=False, words=True) == "12 million"
    assert cell(Decimal(0), unit, style, dollar=True, words=True) == "—"
    inside = Style(negative="inside")
    assert cell(Decimal("-1.2"), Unit("percent"), inside, dollar=False, words=True) == "(1.2) %"
    assert parted(10_000, [1, 1, 1]) == [4_000, 3_000, 3_000]


# --- decoys -------------------------------------------------------------------------------------------------


def test_decoys_share_lines_and_no_figure() -> None:
    found = 0
    for company in every():
        for decoy in (s for s in company.sheets if s.decoy_of is not None):
            found += 1
            assert decoy.decoy_of is not None
            real = company.sheet(decoy.decoy_of)
            assert [line.label for line in decoy.lines] == [line.label for line in real.lines]
            assert decoy.name != real.name
            assert decoy.description.casefold() != real.description.casefold()
            assert decoy.subject.endswith(real.subject.removeprefix("the "))
            assert apart(real, decoy)
            for where in real.values.keys() & decoy.values.keys():
                one, two = (s.values[where] * s.unit.scale for s in (real, decoy))
                assert abs(one - two) > max(abs(one), abs(two)) * Decimal("0.01")
    assert found > 60


def test_a_near_figure_is_not_apart() -> None:
    company = next(c for c in some(True, "train", 25) if any(s.decoy_of for s in c.sheets))
    decoy = next(s for s in company.sheets if s.decoy_of)
    real = company.sheet(decoy.decoy_of or "")
    assert not apart(real, real)
    assert not apart(real, replace(real, values={k: v * Decimal("1.02") for k, v in real.values.items()}))


# --- splits -------------------------------------------------------------------------------------------------


def test_names_share_no_word_between_splits() -> None:
    made = names(FULL, 7)
    assert [len(made[split]) for split in SPLITS] == [145, 31, 31]
    slugs = [slug for split in SPLITS for slug, _ in made[split]]
    assert len(set(slugs)) == len(slugs)
    words = [{word for slug, _ in made[split] for word in slug.split("_")} for split in SPLITS]
    assert not (words[0] & words[1] or words[0] & words[2] or words[1] & words[2])
    assert companies(FULL, 7, "val", 2).slug == made["val"][2][0]


def test_what_is_held_out_is_only_in_test() -> None:
    def forms(split: WorldSplit) -> tuple[set[str], set[str]]:
        sheets = [
            s for short in (False, True) for c in some(short, split, 25 if short else 8) for s in c.sheets
        ]
        columns = {name.rstrip("0123456789").lower() for s in sheets for name in s.header if s.held_out}
        return {origin(s.topic)[0].name for s in sheets}, columns

    seen = forms("train")[0] | forms("val")[0]
    assert not any(s.held_out for split in ("train", "val") for s in some(False, split, 8)[0].sheets)
    assert not any(topics()[name].held_out for name in seen)
    unseen = {name for name in forms("test")[0] if topics()[name].held_out}
    assert len(unseen) >= 5
    assert "fy" in forms("test")[1]
    for split in ("train", "val"):
        for sheet in (s for c in (*some(False, split, 8), *some(True, split, 25)) for s in c.sheets):
            assert not any(name.lower().startswith("fy") for name in sheet.header)
            assert not any((t or "").endswith((") %", ")%")) for t in sheet.texts.values())


@pytest.mark.parametrize(("across", "form"), [(True, "fiscal_year_"), (False, "Fiscal year ")])
def test_short_worlds_hold_out_a_form_of_the_year(across: bool, form: str) -> None:
    def written(split: WorldSplit) -> set[str]:
        sheets = [s for c in some(True, split, 25) for s in c.sheets if s.across is across]
        texts = {text for s in sheets for text in (s.columns if across else s.year_texts).values()}
        assert texts
        return {text[:-4] for text in texts}

    assert form in written("test")
    assert form not in written("train") | written("val")


def test_too_many_companies_or_tables_are_refused() -> None:
    with pytest.raises(UsageError, match=r"companies_test: got 5000; allowed: up to \d+"):
        names(WorldPart(companies_test=5000), 7)
    with pytest.raises(UsageError, match=r"tables: got \(20, 40\); allowed: up to \d+"):
        companies(WorldPart(short=True, tables=(20, 40)), 7, "train", 0)
