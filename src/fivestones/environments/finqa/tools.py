"""The tools of a question: list a company's tables, look into one, query it, compute, and perhaps submit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fivestones.environments.finqa.calculator import calculate
from fivestones.environments.finqa.sql import Database
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.tool_use.tools import Tool

SUBMIT = "submit_answer"
SAMPLES = 3  # different values shown of each column
SAMPLE_LENGTH = 80  # characters


def finqa_tools(tables: Tables, submit: bool = False) -> list[Tool]:
    """Tools over `tables`, safe to share between threads; with `submit` also submit_answer."""
    database = Database(tables)
    company = ("company", "name of the company, as the question gives it")
    table = ("table", "name of a table, as get_table_names lists it")
    tools = [
        Tool(
            name="get_table_names",
            description="List a company's tables.",
            parameters=_texts(company),
            call=lambda a: _compact(list(tables.of(a["company"]))),
        ),
        Tool(
            name="get_table_info",
            description="Show what a table is about, its unit, and its columns with sample values.",
            parameters=_texts(company, table),
            call=lambda a: table_info(tables.table(a["company"], a["table"])),
        ),
        Tool(
            name="sql_query",
            description="Run one SQLite SELECT over one table: name the columns, filter with WHERE."
            " All columns are text as displayed.",
            parameters=_texts(
                company, table, ("query", 'names like 2024 go in double quotes: "2024"; text in single ones')
            ),
            call=lambda a: database.query(a["company"], a["table"], a["query"]),
        ),
        Tool(
            name="calculator",
            description="Compute with + - * / ** ( ), round, abs, min, max; 12.5% is 0.125, no modulo.",
            parameters=_texts(("expression", "for example (1,250 - 1,000) / 1,000")),
            call=lambda a: calculate(a["expression"]),
        ),
    ]
    if submit:
        tools.append(
            Tool(
                name=SUBMIT,
                description="Submit the final answer, with its unit and scale. This ends the task.",
                parameters=_texts(("answer", 'for example "$ 1,234 million", "12.5 %" or "not disclosed"')),
                call=lambda a: "submitted",
            )
        )
    return tools


def table_info(table: Table) -> str:
    """Compact JSON: description, number of rows, and for each column its first different values."""
    columns = {name: _samples(table, index) for index, name in enumerate(table.columns)}
    return _compact({"description": table.description, "rows": len(table.rows), "columns": columns})


def _samples(table: Table, index: int) -> list[str]:
    values = dict.fromkeys(row[index] for row in table.rows if row[index])
    return [
        value if len(value) <= SAMPLE_LENGTH else f"{value[:SAMPLE_LENGTH]}..."
        for value in list(values)[:SAMPLES]
        if value
    ]


def _texts(*arguments: tuple[str, str]) -> Mapping[str, Any]:
    """JSON Schema of an object of required texts: (name, description) each."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": about} for name, about in arguments},
        "required": [name for name, _ in arguments],
        "additionalProperties": False,
    }


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
