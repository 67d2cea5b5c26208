"""The summary at the end of a verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_SHARES = ("strict", "lenient")  # in [0, 1], shown in percent


def show_run(console: Console, summary: Mapping[str, Any]) -> None:
    """What `summary.json` holds of contestants and differences; {} (nothing evaluated yet) shows nothing."""
    if contestants := summary.get("contestants"):
        console.print(_contestants(contestants, "Contestants"))
    for name, part in summary.get("extra", {}).items():
        console.print(_contestants(part["contestants"], f"Contestants on {name}"))
    if paired := summary.get("paired"):
        console.print(_paired(paired))


def show_data(console: Console, certificate: Mapping[str, Any]) -> None:
    """A data certificate: rows by split, and what was made and removed on the way."""
    table = Table(title="Data", title_justify="left")
    columns = ("", "rows", "scenario groups", "conditions", "specialties", "words (10%, 50%, 90%)")
    for heading in columns:
        table.add_column(heading, justify="right" if heading else "left")
    for split, found in certificate["summary"]["splits"].items():
        words = ", ".join(str(found["dialogue_words"][q]) for q in ("q10", "q50", "q90"))
        counts = [f"{found[key]:,}" for key in ("rows", "groups", "conditions")]
        table.add_row(split, *counts, str(len(found["specialties"])), words)
    console.print(table)
    for name, value in _plain(certificate.get("made", {})):
        console.print(f"{name.replace('_', ' ')}: {value}", markup=False)


def _contestants(contestants: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    table = Table(title=f"{title} (mean, 95% interval)", title_justify="left")
    sections = list(dict.fromkeys(name for row in contestants.values() for name in row.get("sections", {})))
    for heading in ("", "strict %", "lenient %", "total", *sections):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, row in contestants.items():
        shares = [_estimate(row.get(key), 100, 1) for key in _SHARES]
        parts = [_estimate(row.get("sections", {}).get(section)) for section in sections]
        table.add_row(name, *shares, _estimate(row.get("total")), *parts)
    return table


def _paired(paired: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Paired differences (95% interval)", title_justify="left")
    for heading in ("a minus b", "metric", "difference", "n", "clusters"):
        table.add_column(heading, justify="left" if heading in ("a minus b", "metric") else "right")
    for row in paired:
        names = f"{row['a']} - {row['b']}"
        counts = (str(row.get("n", "")), str(row.get("clusters", "")))
        table.add_row(names, str(row["metric"]), _estimate(row, signed=True), *counts)
    return table


def _estimate(
    value: Mapping[str, Any] | None, times: float = 1, digits: int = 2, *, signed: bool = False
) -> str:
    if value is None or value.get("mean") is None:
        return "-"
    plus = "+" if signed else ""
    mean, low, high = (value[key] * times for key in ("mean", "low", "high"))
    return f"{mean:{plus}.{digits}f} [{low:{plus}.{digits}f}, {high:{plus}.{digits}f}]"


def _plain(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and text of each leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _plain(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:,}" if isinstance(value, int) else str(value)
