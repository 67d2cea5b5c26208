from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fivestones.environments.finqa.calculator import calculate
from fivestones.environments.finqa.world.certificate import certify, verify
from fivestones.environments.finqa.world.replay import Books, answered, elsewhere, in_base_units
from fivestones.environments.finqa.world.world import World, make_world
from fivestones.errors import DataError
from fivestones.recipe import WorldPart

SMALL = WorldPart(
    companies_train=3,
    companies_val=1,
    companies_test=2,
    tables=(20, 22),
    train=62,
    val=10,
    test=41,
    multi_train=9,
    multi_val=2,
    multi_test=8,
    workers=1,
)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SMALL, 5)


@pytest.fixture(scope="module")
def certificate(world: World) -> dict[str, Any]:
    return certify(world.tables, world.questions, world.unbalanced)


def test_as_many_questions_as_asked_spread_over_levels_and_companies(world: World) -> None:
    assert {split: len(rows) for split, rows in world.questions.items()} == {
        "train": 71,
        "val": 12,
        "test": 49,
    }
    levels = Counter(row["level"] for row in world.questions["train"])
    assert levels == {"L0": 13, "L1": 13, "L2": 12, "L3": 12, "L4": 12, "L5": 5, "L6": 4}
    companies = Counter(row["company"] for row in world.questions["train"])
    assert len(companies) == 3 and max(companies.values()) - min(companies.values()) <= 7
    assert {row["level"] for row in world.questions["train"][:40]} == set(levels)


def test_its_certificate_holds_and_is_json(world: World, certificate: dict[str, Any]) -> None:
    assert certificate["ok"], certificate["checks"]
    assert certificate["checks"]["oracle"]["accuracy"] == 1.0
    assert certificate["checks"]["balanced"]["n"] > 0
    absent = certificate["checks"]["no_tools"]["not_disclosed"]
    assert absent["train"]["L4"] == pytest.approx(1 / 12, abs=1e-4)  # at most a tenth, but for one
    assert verify(json.loads(json.dumps(certificate)), world.tables, world.questions) == []


def test_the_same_seed_makes_the_same_world_and_another_seed_another(world: World) -> None:
    assert make_world(SMALL, 5) == world
    assert make_world(SMALL, 6).questions["val"] != world.questions["val"]


@pytest.mark.slow
def test_workers_make_no_difference(world: World) -> None:
    assert make_world(SMALL, 5, workers=2) == world


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_text_occurs_twice_and_the_oracle_is_right(seed: int) -> None:
    made = make_world(SMALL, seed)
    rows = [row for part in made.questions.values() for row in part]
    assert max(Counter(row["question"].casefold() for row in rows).values()) == 1
    assert max(Counter(row["id"] for row in rows).values()) == 1
    checks = certify(made.tables, made.questions, made.unbalanced)["checks"]
    assert {name: check["first"] for name, check in checks.items() if not check["ok"]} == {}


def test_too_many_questions_are_an_error_that_says_how_many_there_are() -> None:
    part = WorldPart(short=True, companies_train=1, tables=(4, 4), train=2000, levels=("L0",))
    with pytest.raises(DataError, match=r"train L0: 2000 questions are asked for, its 1 companies bear \d+"):
        make_world(part, 5)


def test_not_disclosed_stays_a_small_share_where_only_such_questions_are_asked() -> None:
    nothing = dict.fromkeys(("val", "multi_train", "multi_val", "multi_test"), 0)
    made = make_world(SMALL.model_copy(update={"levels": ("L4",), "train": 60, "test": 41, **nothing}), 5)
    for part in made.questions.values():
        assert sum(row["answer"] == "not disclosed" for row in part) <= len(part) / 10
    check = certify(made.tables, made.questions)["checks"]["no_tools"]
    assert check["ok"] and check["not_disclosed_bound"] == 0.1 >= check["not_disclosed"]["train"]["L4"] > 0


def test_making_a_world_tells_how_far_it_is() -> None:
    told: list[tuple[int, int, str]] = []
    part = SMALL.model_copy(update={"train": 6, "val": 0, "test": 5, "multi_train": 0, "multi_val": 0})
    make_world(part, 5, tell=lambda done, of, what: told.append((done, of, what)))
    assert told[-1] == (6, 6, "companies of test")


def table(name: str, description: str, *rows: tuple[str, str]) -> dict[str, Any]:
    return {
        "company": "acme",
        "table": name,
        "description": description,
        "columns": json.dumps(["item", "year_2024"]),
        "rows": json.dumps(rows),
    }


def asked(answer: str, expression: str, *cells: tuple[str, str, str]) -> dict[str, Any]:
    """cells: table, row, text."""
    places = [{"table": t, "row": row, "column": "year_2024", "text": text} for t, row, text in cells]
    plan = [{"name": "calculator", "arguments": {"expression": expression}}]
    return {"answer": answer, "cells": json.dumps(places), "plan": json.dumps(plan)}


def test_a_plan_is_replayed_elsewhere_with_the_signs_of_its_operands() -> None:
    theirs = Books([table("cash", "Cash (in millions)", ("Gain", "30"), ("Loss", "(7)"), ("Tax", "5"))])
    row = asked("$ 243 million", "187 - (-56)", ("cash", "Gain", "187"), ("cash", "Loss", "(56)"))
    assert elsewhere(row, theirs) == "$ 37 million"
    row = asked("$ 0 million", "56 + (-56)", ("cash", "Tax", "56"), ("cash", "Loss", "(56)"))
    assert elsewhere(row, theirs) == "$ -2 million"
    row = asked("$ 112 million", "56 + 56", ("cash", "Tax", "56"), ("cash", "Gain", "56"))
    assert elsewhere(row, theirs) is None  # which is which is not told


def test_a_plan_is_evaluated_in_the_base_units_of_each_table() -> None:
    books = Books(
        [
            table("a", "Sales (in millions)", ("Sales", "$ 1,234"), ("Loss", "(50)")),
            table("b", "Cost (in thousands)", ("Cost", "234,000")),
        ]
    )
    cells = (("a", "Sales", "$ 1,234"), ("b", "Cost", "234,000"))
    row = asked("$ 1,000,000 thousand", "1234 * 1000 - 234000", *cells)
    assert in_base_units(row, books) == [Decimal(1_000_000_000)]
    assert in_base_units(asked("5.27", "1234 / 234000", *cells), books) == [Decimal("5.273504")]
    row = asked("$ 50,000 thousand", "0 - (-50) * 1000", ("a", "Loss", "(50)"))
    assert in_base_units(row, books) == [Decimal(50_000_000)]


Spoil = Callable[[list[dict[str, Any]], dict[str, list[dict[str, Any]]]], None]


def wrong_answer(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    row = next(row for row in questions["train"] if row["level"] == "L1")
    row["answer"] = "12,345.6 %"


def wrong_scale(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    rows = (row for row in questions["train"] + questions["test"] if row["family"] == "lookup")
    row = next(row for row in rows if row["answer"].endswith(("million", "thousand")))
    old, new = ("million", "thousand") if "million" in row["answer"] else ("thousand", "million")
    row["answer"] = row["answer"].replace(old, new)


def moved_company(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    row = questions["train"].pop()
    questions["test"].append({**row, "split": "test"})


def asked_twice(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    questions["train"].append({**questions["train"][0], "id": "again"})


def distractor_is_gold(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    row = questions["test"][0]
    row["distractors"] = json.dumps([{"kind": "row", "answer": row["answer"]}])


def unbalanced_figure(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """In the first figure of a total's column that some row shows."""
    for table in tables:
        rows = json.loads(table["rows"])
        total = [cells for cells in rows if str(cells[0]).strip().lower().startswith("total")]
        if total and len(total[0]) > 2 and total[0][1] and total[0][1].replace(",", "").isdigit():
            total[0][1] = f"{int(total[0][1].replace(',', '')) + 977:,}"
            table["rows"] = json.dumps(rows, ensure_ascii=False)
            return
    raise AssertionError("no total")


def same_label(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    rows = json.loads(tables[0]["rows"])
    rows[-1][0] = rows[-2][0]
    tables[0]["rows"] = json.dumps(rows, ensure_ascii=False)


def alone(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """Only the questions without an answer are left of a phrasing."""
    missing = next(r for part in questions.values() for r in part if r["answer"] == "not disclosed")
    part = questions[missing["split"]]
    like = [r for r in part if r["company"] == missing["company"] and r["answer"] != "not disclosed"]
    for row in like:
        if row["phrasing"] == missing["phrasing"] and row["tables"] == missing["tables"]:
            part.remove(row)


def same_books(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """The companies of the test split have the figures of the first."""
    first, *others = sorted({row["company"] for row in questions["test"]})
    mine = [row for row in tables if row["company"] == first]
    tables[:] = [row for row in tables if row["company"] not in others]
    tables += [{**row, "company": other} for row in mine for other in others]


def copied_company(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """Under another name, in another split."""
    old = questions["train"][0]["company"]
    tables += [{**row, "company": "copy"} for row in tables if row["company"] == old]
    for row in [row for row in questions["train"] if row["company"] == old]:
        asked = f"{row['question']} (Copy Inc.)"
        copied = {"id": f"copy {row['id']}", "company": "copy", "split": "test", "question": asked}
        questions["test"].append({**row, **copied})


def second_unit(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    table = next(row for row in tables if "(in millions)" in row["description"])
    table["description"] += ", in thousands"


def same_column(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """SQLite takes them for one."""
    table = next(row for row in tables if len(json.loads(row["columns"])) > 2)
    axis, first, _, *more = json.loads(table["columns"])
    table["columns"] = json.dumps([axis, first, first.upper(), *more])


def wrong_factor(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    """A plan over two tables takes one for thousands, and its answer follows."""
    row = next(row for row in questions["train"] + questions["test"] if row["level"] == "L5")
    plan = json.loads(row["plan"])
    step = plan[-1]["arguments"]
    step["expression"] = f"({step['expression']}) * 1000"
    row["plan"] = json.dumps(plan)
    row["answer"] = answered(row["answer"], [Decimal(calculate(step["expression"]))])
    row["distractors"] = "[]"


def never_disclosed(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    for row in [row for row in questions["test"] if row["level"] == "L4"][:4]:
        row["answer"] = "not disclosed"


def one_answer(tables: list[dict[str, Any]], questions: dict[str, list[dict[str, Any]]]) -> None:
    for row in questions["train"][:20]:
        row["answer"] = "1.0 %"


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (wrong_answer, "oracle"),
        (wrong_scale, "oracle"),
        (moved_company, "apart"),
        (asked_twice, "apart"),
        (distractor_is_gold, "distractors"),
        (unbalanced_figure, "balanced"),
        (same_label, "decodable"),
        (alone, "not_disclosed"),
        (one_answer, "no_tools"),
        (never_disclosed, "no_tools"),
        (same_books, "shuffled"),
        (copied_company, "apart"),
        (second_unit, "decodable"),
        (same_column, "decodable"),
        (wrong_factor, "oracle"),
    ],
)
def test_what_is_spoiled_is_found(
    world: World, certificate: dict[str, Any], spoil: Spoil, check: str
) -> None:
    tables, questions = copy.deepcopy(world.tables), copy.deepcopy(world.questions)
    spoil(tables, questions)
    found = verify(certificate, tables, questions)
    assert any(fault.startswith(f"{check}:") for fault in found), found
    assert any("digest" in fault for fault in found)
