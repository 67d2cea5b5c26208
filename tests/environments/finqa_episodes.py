"""Episodes for the tests of `diagnose`: scripted turns, answered by the real tools over small tables."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

from fivestones.environments.finqa.diagnose import diagnose
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.finqa.tools import SUBMIT, finqa_tools
from fivestones.environments.tool_use.environment import ToolUse
from fivestones.hermes import write
from fivestones.types import Call, Message, Task

REVENUE, PARENT, STAFF = "RevenueBySegment", "RevenueParentOnly", "Employees"
NOW, BEFORE = "december_31_2024", "december_31_2023"
TABLES = Tables(
    [
        Table(
            "acme",
            REVENUE,
            "Revenue by segment, in thousands",
            ("segment", NOW, BEFORE),
            (
                ("Cloud", "$ 31,510", "$ 28,000"),
                ("Devices", "12,407", "11,003"),
                ("Other", "—", "77"),
                ("Total", "43,917", "39,080"),
            ),
        ),
        Table(
            "acme",
            PARENT,
            "Revenue of the parent",
            ("segment", NOW, BEFORE),
            (("Cloud", "9,118", "8,235"), ("Devices", "4,402", "4,136")),
        ),
        Table(
            "acme",
            STAFF,
            "Employees",
            ("year", "employees"),
            (("2024", "523"), ("2023", "486"), ("2022", "451")),
        ),
        Table("beta", REVENUE, "Revenue", ("segment", NOW), (("Cloud", "6,294"), ("Toys", "2,718"))),
    ]
)


def call(name: str, **arguments: Any) -> str:
    return write([Call(name, json.dumps(arguments))])


def names(company: str = "acme") -> str:
    return call("get_table_names", company=company)


def info(table: str = REVENUE, company: str = "acme") -> str:
    return call("get_table_info", company=company, table=table)


def sql(query: str, table: str = REVENUE, company: str = "acme") -> str:
    return call("sql_query", company=company, table=table, query=query)


def compute(expression: str) -> str:
    return call("calculator", expression=expression)


def submit(answer: str) -> str:
    return call(SUBMIT, answer=answer)


def final(answer: str) -> str:
    return f"FINAL ANSWER: {answer}"


CLOUD = sql(f"SELECT {NOW}, {BEFORE} FROM {REVENUE} WHERE segment = 'Cloud'")
GROWTH = compute("(31510 - 28000) / 28000 * 100")
CLEAN = (names(), info(), CLOUD, GROWTH, final("12.5 %"))


def task(**reference: Any) -> Task:
    """How much did Cloud grow? 12.5 %."""
    cells = [
        {"table": REVENUE, "row": "Cloud", "column": NOW, "text": "$ 31,510"},
        {"table": REVENUE, "row": "Cloud", "column": BEFORE, "text": "$ 28,000"},
    ]
    plan = [
        {"name": n, "arguments": {}} for n in ("get_table_names", "get_table_info", "sql_query", "calculator")
    ]
    known = {
        "answer": "12.5 %",
        "company": "acme",
        "tables": [REVENUE],
        "cells": cells,
        "plan": plan,
        "fewest": 4,
        "distractors": [{"kind": "row", "answer": "12.8 %"}, {"kind": "table", "answer": "10.7 %"}],
        **reference,
    }
    asked = "Company: acme\nQuestion: By what percentage did revenue of Cloud change from 2023 to 2024?"
    return Task(
        id="t1",
        prompt=(Message("system", "Use the tools."), Message("user", asked)),
        reference=known,
        cluster="acme",
    )


def lookup(**reference: Any) -> Task:
    """What was Cloud's revenue? No operation."""
    one = task(answer="$ 31,510 thousand", distractors=[{"kind": "year", "answer": "$ 28,000 thousand"}])
    cells, plan = one.reference["cells"][:1], one.reference["plan"][:3]
    return replace(one, reference={**one.reference, "cells": cells, "plan": plan, "fewest": 3, **reference})


@cache
def tools(submits: bool = False) -> ToolUse:
    return ToolUse(finqa_tools(TABLES, submits), submit=SUBMIT if submits else None, repeats=3)


def episode(of: Task, *turns: str, submits: bool = False) -> list[Message]:
    messages = list(of.prompt)
    for text in turns:
        messages.append(Message("assistant", text))
        messages += tools(submits).reply(of, messages)
    return messages


def told(
    *turns: str, of: Task | None = None, finish: str = "stop", submits: bool = False
) -> dict[str, float | None]:
    """What `diagnose` says of scripted turns."""
    of = of or task()
    return diagnose(of, episode(of, *turns, submits=submits), finish)
