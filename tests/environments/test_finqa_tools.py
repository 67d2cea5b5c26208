"""The tools as a model meets them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.finqa.tools import SUBMIT, finqa_tools
from fivestones.environments.tool_use.tools import Tool, ToolError

LONG = "A label that goes on and on, " * 10
TABLES = Tables(
    [
        Table(
            "acme",
            "us_gaap_Revenue",
            "Revenue (in millions)",
            ("line", "year_2024"),
            (
                ("Services", "$ 1,234"),
                ("Services", None),
                ("Other", "—"),
                ("Net", "(5)"),
                ("Total", "$ 1,229"),
            ),
        ),
        Table("acme", "us_gaap_Debt", "", ("due",), ((LONG,), ("",))),
    ]
)
TOOLS = {tool.name: tool for tool in finqa_tools(TABLES, submit=True)}


def call(name: str, **arguments: Any) -> str:
    jsonschema.validate(arguments, TOOLS[name].parameters)
    return TOOLS[name].call(arguments)


def test_the_names_are_those_of_the_public_environment() -> None:
    names = ["get_table_names", "get_table_info", "sql_query", "calculator"]
    assert [tool.name for tool in finqa_tools(TABLES)] == names
    assert list(TOOLS) == [*names, SUBMIT]


@pytest.mark.parametrize("tool", list(TOOLS.values()), ids=lambda tool: tool.name)
def test_the_schemas_are_closed_and_described(tool: Tool) -> None:
    jsonschema.Draft202012Validator.check_schema(dict(tool.parameters))
    assert tool.schema["function"]["name"] == tool.name
    assert tool.description.endswith(".")
    assert all(part["description"] for part in tool.parameters["properties"].values())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"other": 1}, tool.parameters)


def test_an_episode() -> None:
    assert call("get_table_names", company="acme") == '["us_gaap_Revenue","us_gaap_Debt"]'
    assert json.loads(call("get_table_info", company="acme", table="us_gaap_Revenue")) == {
        "description": "Revenue (in millions)",
        "rows": 5,
        "columns": {"line": ["Services", "Other", "Net"], "year_2024": ["$ 1,234", "—", "(5)"]},
    }
    query = "SELECT year_2024 FROM us_gaap_Revenue WHERE line = 'Total'"
    assert (
        call("sql_query", company="acme", table="us_gaap_Revenue", query=query)
        == '[{"year_2024": "$ 1,229"}]'
    )
    assert call("calculator", expression="(1,234 - 5) / 1,234 * 100%") == "0.995948"
    assert call(SUBMIT, answer="99.6 %") == "submitted"


def test_long_samples_are_cut_and_say_so() -> None:
    columns = json.loads(call("get_table_info", company="acme", table="us_gaap_Debt"))["columns"]
    assert columns == {"due": [f"{LONG[:80]}..."]}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("get_table_names", {"company": "Acme"}, "Did you mean `acme`? Available: acme."),
        (
            "get_table_info",
            {"company": "acme", "table": "us_gaap_Det"},
            "Did you mean `us_gaap_Debt`? Available: us",
        ),
        ("get_table_info", {"company": "", "table": ""}, "no company ``"),
        ("get_table_info", {"company": "x" * 9999, "table": ""}, "no company `xxx"),
        (
            "sql_query",
            {"company": "acme", "table": "t", "query": "SELECT 1"},
            "no table `t` of company `acme`",
        ),
        ("calculator", {"expression": "revenue / 2"}, "`revenue` at character 1"),
    ],
)
def test_errors_are_text_to_recover_from(name: str, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ToolError) as refused:
        call(name, **arguments)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 500


def test_the_sql_tool_says_what_cells_are() -> None:
    assert "All columns are text as displayed" in TOOLS["sql_query"].description
    assert "no modulo" in TOOLS["calculator"].description
