"""Hand-made companies of a few tables, for tests that work out the answers by hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fivestones.environments.finqa.world.model import Company, Line, Sheet, Unit

MILLIONS = Unit("usd", 1_000_000)
THOUSANDS = Unit("usd", 1_000)
PERCENT = Unit("percent")


def shown(value: Decimal, unit: Unit) -> str:
    if value == 0:
        return "—"
    text = f"({-value:,})" if value < 0 else f"{value:,}"
    return f"{text} %" if unit.kind == "percent" else text


def sheet(
    name: str,
    subject: str,
    lines: dict[str, Sequence[str]],
    years: Sequence[int] = (2024, 2023, 2022),
    unit: Unit = MILLIONS,
    **more: Any,
) -> Sheet:
    """lines: label -> figures in the order of years; a label that begins with Total is the total."""
    keys = {label: label.lower().replace(" ", "_") for label in lines}
    values = {
        (keys[label], year): Decimal(text)
        for label, texts in lines.items()
        for year, text in zip(years, texts, strict=True)
    }
    across = more.pop("across", True)
    kind = {True: "total", False: "item"}
    spec: dict[str, Any] = {
        "name": name,
        "topic": more.pop("topic", name),
        "subject": subject,
        "description": f"{subject} (in millions)" if unit == MILLIONS else f"{subject} (in thousands)",
        "unit": unit,
        "unit_shown": "cells" if unit.kind == "percent" else "description",
        "years": tuple(years),
        "lines": tuple(
            Line(keys[label], label, label, kind[label.startswith("Total")])  # type: ignore[arg-type]
            for label in lines
        ),
        "values": values,
        "texts": {place: shown(value, unit) for place, value in values.items()},
        "across": across,
        "axis": "item" if across else "year",
        "columns": {y: f"year_{y}" for y in years} if across else {key: key for key in keys.values()},
        "year_texts": {} if across else {y: str(y) for y in years},
    }
    if unit.kind == "percent":
        spec["description"] = f"{subject} (in percent)"
    return Sheet(**{**spec, **more})


def company(slug: str = "acme", split: str = "train", by: int = 1) -> Company:
    """by: makes other figures of them, for a second company."""

    def times(lines: dict[str, Sequence[str]]) -> dict[str, list[str]]:
        return {
            label: [str(Decimal(text) * (by + (by - 1) * (at + n))) for n, text in enumerate(texts)]
            for at, (label, texts) in enumerate(lines.items())
        }

    segments = {"North": ["520", "450", "400"], "South": ["310", "333", "300"]}
    segments["Total revenue"] = ["830", "783", "700"]
    restated = {"North": ["560", "470", "420"], "South": ["330", "350", "310"]}
    restated["Total revenue"] = ["890", "820", "730"]
    sheets = (
        sheet("revenue", "revenue by segment", times(segments)),
        sheet("revenue_2", "revenue by segment, restated", times(restated), decoy_of="revenue"),
        sheet(
            "cash",
            "cash flows",
            times(
                {
                    "Operating cash": ["212", "187", "-56"],
                    "Investing cash": ["-144", "-91", "-73"],
                    "Dividends": ["0", "0", "-20"],
                }
            ),
        ),
        sheet(
            "debt",
            "debt by instrument",
            times({"Notes": ["640", "600", "555"], "Loans": ["260", "290", "310"]})
            | times({"Total debt": ["900", "890", "865"]}),
            across=False,
        ),
        sheet(
            "rates",
            "interest rates by instrument",
            {"Notes": ["4.5", "4.1", "3.9"], "Loans": ["6.2", "5.8", "5.1"]},
            unit=PERCENT,
        ),
        sheet(
            "people_cost",
            "costs by function",
            times(
                {
                    "Research": ["41250", "38417"],
                    "Sales": ["77300", "70119"],
                    "Total costs": ["118550", "108536"],
                }
            ),
            years=(2024, 2022),
            unit=THOUSANDS,
        ),
        sheet(
            "heads",
            "employees by site",
            times({"Lyon": ["210", "190", "175"], "Oslo": ["88", "97", "103"]}),
            unit=Unit("employees"),
            description="employees by site",
        ),
        sheet(
            "assets",
            "assets",
            times(
                {
                    "Inventory": ["142", "151", "139"],
                    "Receivables": ["97", "88", "92"],
                    "Total assets": ["1460", "1391", "1300"],
                }
            ),
        ),
        sheet(
            "spending",
            "capital spending by segment",
            times(
                {
                    "Tools": ["64", "57", "41"],
                    "Plants": ["118", "131", "122"],
                    "Total spending": ["182", "188", "163"],
                }
            ),
            topic="capital_spending",
        ),
    )
    name = slug.title() + " Corp."
    return Company(slug=slug, name=name, split=split, sheets=sheets)  # type: ignore[arg-type]
