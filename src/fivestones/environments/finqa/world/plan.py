"""What a disciplined agent does: list the tables, look at each needed one, query it, compute, answer."""

from __future__ import annotations

from typing import Any

from fivestones.environments.finqa.world.drafts import Draft
from fivestones.environments.finqa.world.expressions import Figure, written
from fivestones.environments.finqa.world.model import Company, Sheet

Step = dict[str, Any]  # {"name", "arguments": {}}


def plan(company: Company, draft: Draft) -> list[Step]:
    """The fewest calls that ground the answer; it follows from the last outputs by rounding."""
    sheets = draft.sheets
    steps = [_step("get_table_names", company=company.slug)]
    steps += [_step("get_table_info", company=company.slug, table=sheet.name) for sheet in sheets]
    steps += [_step("sql_query", company=company.slug, **query) for query in queries(draft)]
    if draft.missing is None:
        computed = [expr for _, expr in draft.fields if not isinstance(expr, Figure)]
        steps += [_step("calculator", expression=written(expr)) for expr in computed]
    return steps


def queries(draft: Draft) -> list[dict[str, str]]:
    """One query a needed table: {"table", "query"}."""
    if draft.missing is not None:
        return _years(draft.missing[0])
    found = []
    for sheet in draft.sheets:
        places = [f.where for f in draft.figures if f.sheet.name == sheet.name]
        found.append({"table": sheet.name, "query": sheet.query(places)})
    return found


def _years(sheet: Sheet) -> list[dict[str, str]]:
    """Which years a table has: its columns tell, or else the texts of its rows."""
    if sheet.across:
        return []
    places = [(line.key, year) for line in sheet.lines[:1] for year in sheet.years]
    return [{"table": sheet.name, "query": sheet.query(places)}]


def _step(name: str, **arguments: str) -> Step:
    return {"name": name, "arguments": arguments}
