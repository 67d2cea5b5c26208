from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

import pytest
from finqa_sheets import MILLIONS, THOUSANDS, company, sheet

from fivestones.environments.finqa.calculator import calculate
from fivestones.environments.finqa.grader import grade
from fivestones.environments.finqa.world.drafts import PERCENT, Draft, Form
from fivestones.environments.finqa.world.expressions import (
    Figure,
    Undefined,
    UnitError,
    at_scale,
    number,
    percent,
    rounded,
    value,
    written,
)
from fivestones.environments.finqa.world.families import SINGLE, growth, share
from fivestones.environments.finqa.world.ladder import LEVELS, Names, levels, sound, traceable
from fivestones.environments.finqa.world.multi import PAIRS, SEVERAL
from fivestones.environments.finqa.world.phrasing import phrasings, worded
from fivestones.environments.finqa.world.questions import LONGEST, questions
from fivestones.recipe import AskedOfOne, WorldPart

PART = WorldPart()
MANY = dict.fromkeys(LEVELS, 40)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Of a company of the test split: every family."""
    return questions(company(split="test"), PART, 3, MANY, company("other", "test", by=3))


# expressions


def test_an_expression_has_an_exact_value_and_a_text_for_the_calculator() -> None:
    (old, new) = figures_of("520", "450")
    rate = percent(old - new, new)
    assert written(rate) == "(520 - 450) / 450 * 100"
    assert rounded(value(rate), 4) == Decimal("15.5556")
    assert rate.unit is None and (old - new).unit == MILLIONS
    assert written(old - (new - old)) == "520 - (450 - 520)"


def test_the_calculator_reads_negative_numbers_and_roots_as_written() -> None:
    loss, gain = figures_of("-56", "187")
    assert written(gain - loss) == "187 - (-56)"
    assert calculate(written(gain - loss)) == "243"
    late, early = figures_of("520", "400")
    rate = ((late / early) ** (number(1) / number(2)) - number(1)) * number(100)
    assert abs(Decimal(calculate(written(rate))) - value(rate)) < Decimal("1e-5")


def test_units_that_do_not_go_together_are_refused() -> None:
    money, _ = figures_of("520", "450")
    (people, _) = figures_of("41250", "100", unit=THOUSANDS)
    with pytest.raises(UnitError, match="allowed: equal units"):
        money + people
    assert value(at_scale(money, 1000) + people) == 520_000 + 41_250
    assert written(at_scale(people, 1_000_000)) == "41250 / 1000"


def test_what_is_near_a_tie_is_not_rounded() -> None:
    assert rounded(Decimal("12.25"), 1) is None
    assert rounded(Decimal("12.2500004"), 1) is None  # six decimals of the calculator make a tie of it
    assert rounded(Decimal("-12.26"), 1) == Decimal("-12.3")


def figures_of(first: str, last: str, unit: Any = MILLIONS) -> tuple[Figure, Figure]:
    table = sheet("t", "things", {"Line": [first, last]}, years=(2024, 2023), unit=unit)
    return Figure(table, "line", 2024), Figure(table, "line", 2023)


def test_a_recipe_can_ask_for_some_families_only() -> None:
    allowed = set(get_args(AskedOfOne))
    assert allowed == {family.name for family in SINGLE}
    some = questions(company(split="test"), WorldPart(families=("lookup", "share")), 3, MANY)
    assert {row["family"] for row in some if row["level"] < "L5"} == {"lookup", "share"}
    assert {row["level"] for row in some} == set(LEVELS)


# every family, worked out by another route


def test_every_family_and_level_is_asked(rows: list[dict[str, Any]]) -> None:
    asked = {row["family"] for row in rows}
    assert asked == {family.name for family in (*SINGLE, *PAIRS, *SEVERAL)}
    assert {row["level"] for row in rows} == set(LEVELS)


def test_gold_is_what_the_cells_give_by_another_route(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["answer"] != "not disclosed":
            fields = [digits(text.rpartition(": ")[2]) for text in row["answer"].split("; ")]
            wanted = by_hand(row["family"], [cell_of(cell) for cell in json.loads(row["cells"])], row)
            for (shown, last), exact in zip(fields, wanted, strict=True):
                assert abs(shown - exact) <= last * 0.5000001, (row["question"], row["answer"], wanted)


def digits(text: str) -> tuple[float, float]:
    """Value in base units, its last displayed digit."""
    bare = re.search(r"[\d,]+(?:\.\d+)?", text)
    assert bare
    sign = -1 if f"({bare[0]})" in text or f"-{bare[0]}" in text else 1
    scale = 1e6 if "million" in text else 1e3 if "thousand" in text else 1
    last = 10.0 ** -len(bare[0].partition(".")[2])
    return sign * float(bare[0].replace(",", "")) * scale, last * scale


def cell_of(cell: Mapping[str, str]) -> tuple[str, int, float]:
    """Label, year, value in base units."""
    year = next(int(text[-4:]) for text in (cell["column"], cell["row"]) if text[-4:].isdigit())
    label = cell["column"] if cell["row"].isdigit() else cell["row"]
    scale = {"rates": 1, "heads": 1, "people_cost": 1e3}.get(cell["table"], 1e6)
    text = cell["text"].replace(",", "").removesuffix(" %").replace("—", "0")
    return label, year, (-float(text.strip("()")) if text.startswith("(") else float(text)) * scale


def by_hand(family: str, cells: Sequence[tuple[str, int, float]], row: Mapping[str, Any]) -> list[float]:
    labels = list(dict.fromkeys((label, cell["table"]) for (label, _, _), cell in
                                zip(cells, json.loads(row["cells"]), strict=True)))  # fmt: skip
    years = sorted({year for _, year, _ in cells})
    at = {(label, cell["table"], year): x for (label, year, x), cell in
          zip(cells, json.loads(row["cells"]), strict=True)}  # fmt: skip
    line = [[at.get((*name, year), float("nan")) for year in years] for name in labels]
    first, last = line[0][0], line[0][-1]
    other = line[1] if len(line) > 1 else [float("nan")] * len(years)
    match family:
        case "lookup" | "conversion":
            return [first]
        case "net change":
            return [last - first]
        case "growth":
            return [(last / first - 1) * 100]
        case "CAGR":
            return [((last / first) ** (1 / (years[-1] - years[0])) - 1) * 100]
        case "spread" | "gap across":
            return [first - other[0]]
        case "sum":
            return [first + other[0]]
        case "share" | "share across":
            return [first / other[0] * 100]
        case "ratio" | "coverage":
            return [first / other[0]]
        case "mix shift" | "mix shift across":
            return [100 * last / other[-1] - 100 * first / other[0]]
        case "growth gap":
            return [100 * last / first - 100 * other[-1] / other[0]]
        case "sum over years":
            return [sum(line[0])]
        case "average":
            return [(first + last) / 2]
        case "weighted average":
            weights = [row[0] for row, name in zip(line, labels, strict=True) if name[1] != "rates"]
            rates = [row[0] for row, name in zip(line, labels, strict=True) if name[1] == "rates"]
            return [sum(w * r for w, r in zip(weights, rates, strict=True)) / sum(weights)]
        case "common size":
            whole = line[1][0]  # of the first field: its part, then the whole of all
            return [100 * part[0] / whole for part in [line[0], *line[2:]]]
        case "combined share":
            return [100 * (line[0][n] + line[1][n]) / line[2][n] for n in range(len(years))]
        case "growth of several":
            return [100 * (series[-1] / series[0] - 1) for series in line]
    raise AssertionError(f"no other route for {family}")


# rows


def test_the_plan_is_what_a_disciplined_agent_does(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        plan, tables = json.loads(row["plan"]), json.loads(row["tables"])
        names = [step["name"] for step in plan]
        assert names[0] == "get_table_names" and row["fewest"] == len(plan)
        assert names.count("get_table_info") == len(tables)
        if row["answer"] != "not disclosed":
            assert names.count("sql_query") == len(tables)
        else:
            assert json.loads(row["cells"]) == [] and "calculator" not in names
        if row["level"] == "L6":
            assert 3 <= len(tables) <= 5
            assert names.count("calculator") == len(row["answer"].split("; "))


def test_no_distractor_passes(rows: list[dict[str, Any]]) -> None:
    kinds = Counter(miss["kind"] for row in rows for miss in json.loads(row["distractors"]))
    assert set(kinds) == {"scale", "sign", "row", "year", "table", "entity"}
    for row in rows:
        assert grade(row["answer"], row["answer"]) == 1.0
        for miss in json.loads(row["distractors"]):
            assert grade(miss["answer"], row["answer"]) < 1.0


def test_a_missing_year_is_asked_in_the_words_of_a_reported_one(rows: list[dict[str, Any]]) -> None:
    missing = [row for row in rows if row["answer"] == "not disclosed"]
    assert missing
    for row in missing:
        assert row["level"] == "L4"
        like = [r for r in rows if (r["phrasing"], r["tables"]) == (row["phrasing"], row["tables"])]
        assert any(r["answer"] != "not disclosed" and r["level"] == "L4" for r in like)


def test_both_of_two_near_duplicates_are_asked_about(rows: list[dict[str, Any]]) -> None:
    asked = Counter(row["tables"] for row in rows if row["level"] == "L4")
    assert asked['["revenue"]'] == asked['["revenue_2"]'] > 0
    for row in rows:
        if row["level"] < "L4":
            assert "revenue" not in row["tables"]
        assert row["level"] == "L4" or "revenue_2" not in row["tables"]


def test_what_is_held_out_is_for_the_test_split(rows: list[dict[str, Any]]) -> None:
    train = questions(company(), PART, 3, MANY)
    assert not any(row["held_out"] for row in train)
    assert not {row["family"] for row in train} & {"average", "weighted average"}
    new = {row["phrasing"] for row in rows if row["held_out"]} - {row["phrasing"] for row in train}
    assert len(new) > 10 and any(not row["held_out"] for row in rows)


def test_questions_are_the_same_again_and_none_is_asked_twice(rows: list[dict[str, Any]]) -> None:
    again = questions(company(split="test"), PART, 3, MANY, company("other", "test", by=3))
    assert again == rows
    assert max(Counter(row["question"] for row in rows).values()) == 1
    assert questions(company(split="test"), PART, 4, MANY) != rows


def test_the_short_profile_asks_briefly() -> None:
    for row in questions(company(), WorldPart(short=True), 3, MANY):
        assert len(row["question"].split()) <= LONGEST


def test_the_answer_says_its_unit_and_scale_the_question_only_on_low_levels(
    rows: list[dict[str, Any]],
) -> None:
    hidden = [row for row in rows if row["level"] == "L3" and "illions" not in row["question"]]
    assert any(row["answer"].endswith("million") for row in hidden)
    for row in rows:
        if row["level"] in ("L0", "L1") and row["answer"].endswith("million"):
            assert "in millions of dollars" in row["question"]


# what is unfit


def test_zero_and_near_zero_denominators_are_unfit() -> None:
    drafts = list(growth(sheet("t", "things", {"A": ["300", "0"], "B": ["300", "12"], "C": ["300", "200"]},
                               years=(2024, 2023))))  # fmt: skip
    assert [sound(draft) for draft in drafts] == [False, False, True]
    empty = sheet("t", "things", {"A": ["300", "200"]}, years=(2024, 2023))
    with pytest.raises(Undefined):
        value(Figure(empty, "a", 2020))


def test_words_that_fit_two_cells_are_unfit() -> None:
    good = company().sheets[7]
    twice = replace(good, lines=(good.lines[0], replace(good.lines[1], label="Inventory, "), good.lines[2]))
    assert fit(good) and not fit(twice)
    assert not fit(good, sheet("other", "Assets", {"Cash": ["1", "2"]}, years=(2024, 2023)))


def test_what_another_table_answers_as_well_is_unfit() -> None:
    good = company().sheets[7]
    lines = {"Inventory": ["142000", "151000"], "Total assets": ["1460100", "1391000"]}
    copy = sheet("copy", "balances", lines, years=(2024, 2023), unit=THOUSANDS)
    assert fit(good) > fit(good, copy) > 0
    other = sheet("copy", "balances", {"Inventory": ["77", "78"]}, years=(2024, 2023))
    assert fit(good, other) == fit(good)


def revenue_by(name: str, lines: dict[str, Sequence[str]]) -> Any:
    """A table of a known topic, whose total is tied to the company's revenue."""
    whole = {"Total revenue": ["8300", "7830"]}
    made = sheet(f"by_{name}", f"revenue by {name}", lines | whole, (2024, 2023), topic=f"revenue_by_{name}")
    keys = {line.key: "total" if line.kind == "total" else line.key for line in made.lines}
    return replace(
        made,
        lines=tuple(replace(line, key=keys[line.key]) for line in made.lines),
        values={(keys[key], year): amount for (key, year), amount in made.values.items()},
        texts={(keys[key], year): text for (key, year), text in made.texts.items()},
    )


def clear(draft: Draft, *sheets: Any) -> bool:
    return Names(replace(company(), sheets=tuple(sheets))).clear(draft)


def across(*cells: Figure) -> Draft:
    """The first ones, each as a share of the last."""
    *parts, whole = cells
    fields = tuple((part.label, percent(at_scale(part, whole.unit.scale), whole)) for part in parts)
    return Draft(family="common size", fields=fields, form=PERCENT, ask="", slots={})


def test_several_tables_are_asked_only_where_no_fewer_show_the_figures() -> None:
    segments = revenue_by("segment", {"North": ["5200", "4500"], "South": ["3100", "3330"]})
    regions = revenue_by("region", {"Asia": ["4400", "4000"], "Europe": ["3900", "3830"]})
    results = sheet(
        "results", "results", {"Revenue": ["8300", "7830"]}, (2024, 2023), topic="operating_results"
    )
    cash = company().sheets[2]
    every = (segments, regions, results, cash)
    north, asia = Figure(segments, "north", 2024), Figure(regions, "asia", 2024)
    total, named = Figure(regions, "total", 2024), Figure(results, "revenue", 2024)
    operating = Figure(cash, "operating_cash", 2024)
    assert not clear(across(north, total), *every)  # the segments show the total too
    assert not clear(across(north, named), *every)  # the same fact by another label
    assert not clear(across(north, asia, named), *every)  # two of the three tables do
    assert clear(across(north, asia), *every)
    assert clear(across(operating, named), cash, results)
    assert clear(across(north, asia, operating), *every)


def missing(table: Any, key: str, year: int) -> Draft:
    kept = Figure(table, key, table.years[0])
    slots = {"label": kept.label, "subject": table.subject, "year": str(year)}
    return Draft(family="lookup", fields=(), form=PERCENT, ask="", slots=slots, missing=(table, year))


def test_not_disclosed_is_nowhere_disclosed() -> None:
    lines = {"Revenue": ["8300"], "Cost of sales": ["5100"]}
    results = sheet("results", "results", lines, (2024,), topic="operating_results")
    regions = revenue_by("region", {"Asia": ["4400", "4000"]})  # its total of 2023 is the revenue
    assert clear(missing(results, "revenue", 2022), results, regions)
    assert not clear(missing(results, "revenue", 2023), results, regions)
    assert clear(missing(results, "cost_of_sales", 2023), results, regions)
    rolled = sheet("goodwill", "goodwill", {"Opening": ["40"], "Closing": ["42"]}, (2024,), topic="goodwill")
    assert not clear(missing(rolled, "closing", 2023), rolled)  # what 2024 opens with
    assert clear(missing(rolled, "opening", 2023), rolled)
    assert not clear(missing(rolled, "opening", 2025), rolled)


def test_numbers_of_an_expression_tell_which_cells_they_are() -> None:
    money = sheet("m", "m", {"A": ["450"], "B": ["100"], "C": ["77"]}, (2024,))
    people = sheet("p", "p", {"A": ["450"], "D": ["82"]}, (2024,), unit=THOUSANDS)
    a, b, c = (Figure(money, key, 2024) for key in "abc")
    assert traceable(across(c, a)) and traceable(across(Figure(people, "d", 2024), a))
    assert not traceable(across(c, b))  # 100 is also of the percentage
    assert not traceable(across(a, Figure(people, "a", 2024)))
    assert traceable(Draft(family="lookup", fields=(("", b),), form=PERCENT, ask="", slots={}))


def test_the_growth_that_exceeds_another_is_named_first(rows: list[dict[str, Any]]) -> None:
    gaps = [row["answer"] for row in rows if row["family"] == "growth gap"]
    assert gaps and not any(answer.startswith("-") for answer in gaps)


@pytest.mark.parametrize("answer", ["3.20", "3.20x", "3.20 times", "3.2 x"])
def test_how_many_times_may_be_answered_with_the_word(answer: str) -> None:
    assert grade(answer, "3.20") == 1.0
    assert grade("3.20 %", "3.20") == grade("3.30x", "3.20") == grade("3.20", "3.20 %") == 0.0


def fit(*sheets: Any) -> int:
    """How many shares of the first are clear."""
    whole = replace(company(), sheets=tuple(sheets))
    return sum(Names(whole).clear(draft) for draft in share(sheets[0]))


def test_levels_follow_from_what_has_to_be_seen_through() -> None:
    by_name = {s.name: s for s in company().sheets}
    twins = Names(company()).twins

    def at(name: str, key: str, year: int, family: str = "lookup", **more: Any) -> tuple[str, ...]:
        figure = Figure(by_name[name], key, year)
        draft = Draft(family=family, fields=(("", figure),), form=PERCENT, ask="", slots={}, **more)
        return levels(draft, twins)

    assert at("assets", "inventory", 2024) == ("L0",)
    assert at("assets", "inventory", 2024, family="growth") == ("L1",)
    assert at("cash", "operating_cash", 2022) == at("cash", "dividends", 2024) == ("L2",)
    assert at("rates", "notes", 2024) == ("L2",)
    assert at("debt", "notes", 2024) == ("L3",)  # years as rows
    assert at("assets", "inventory", 2024, unstated=True) == ("L3",)
    assert at("revenue", "north", 2024) == at("revenue_2", "north", 2024) == ("L4",)


def test_an_answer_is_displayed_with_its_unit() -> None:
    assert Form("$ ", " million", 0, parentheses=True).text(Decimal(-1234)) == "$ (1,234) million"
    assert PERCENT.text(Decimal("-5.1")) == "-5.1 %"


@pytest.mark.parametrize("family", [family.name for family in (*SINGLE, *PAIRS, *SEVERAL)])
def test_every_family_has_several_phrasings_some_held_out(family: str) -> None:
    every, known = phrasings(family, test=True), phrasings(family, test=False)
    assert len({p.id for p in every}) == len(every) >= 2
    assert any(p.held_out for p in every) and not any(p.held_out for p in known)


def test_a_subject_loses_its_article_behind_the_name_of_a_company() -> None:
    slots = {"subject": "the income statement", "label": "Revenue", "year": "2024"}
    draft = Draft(family="lookup", fields=(("", number(1)),), form=PERCENT, ask="", slots=slots)
    text = worded(phrasings("lookup", False)[1], "Acme Corp.", draft)
    assert text == "In Acme Corp.'s income statement, what was Revenue for 2024?"
