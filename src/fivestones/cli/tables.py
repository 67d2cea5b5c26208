"""The summary at the end of a verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from fivestones.report.learned import Learned, Row, learned

_SHARES = ("strict", "lenient")  # in [0, 1], shown in percent


def show_run(console: Console, summary: Mapping[str, Any]) -> None:
    """What `summary.json` holds of contestants and differences; {} (nothing evaluated yet) shows nothing."""
    if contestants := summary.get("contestants"):
        console.print(_contestants(contestants, "Contestants"))
    if changed := learned(summary):
        console.print(_behaviours(changed))
        if changed.levels:
            console.print(_levels(changed))
    for name, part in summary.get("extra", {}).items():
        console.print(_contestants(part["contestants"], f"Contestants on {name}"))
    if paired := summary.get("paired"):
        console.print(_paired(paired))


def show_training(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Of the rows of `metrics.jsonl`, by phase: the first and the last value of what is learned."""
    table = Table(title="Training (first step, last step)", title_justify="left")
    for heading in ("phase", "steps", "loss", "reward", "strict %"):
        table.add_column(heading, justify="left" if heading == "phase" else "right")
    for phase in dict.fromkeys(row["phase"] for row in rows):
        mine = [row for row in rows if row["phase"] == phase]
        learned = [("loss", 1, 3), ("reward_mean", 1, 2), ("gate_rate", 100, 1)]
        table.add_row(phase, str(mine[-1]["step"]), *(_ends(mine, *value) for value in learned))
    if rows:
        console.print(table)


def _ends(rows: Sequence[Mapping[str, Any]], key: str, times: float, digits: int) -> str:
    known = [f"{row[key] * times:.{digits}f}" for row in rows if key in row]
    return f"{known[0]}, {known[-1]}" if known else "-"


def show_data(console: Console, certificate: Mapping[str, Any]) -> None:
    """A data certificate: rows by split, and what was made and removed on the way."""
    if "counts" in certificate:  # of a world
        console.print(_questions(certificate["counts"]))
        return
    table = Table(title="Data", title_justify="left")
    columns = ("", "rows", "scenario groups", "conditions", "specialties", "words (10%, 50%, 90%)")
    for heading in columns:
        table.add_column(heading, justify="right" if heading else "left")
    for split, found in certificate["summary"]["splits"].items():
        words = ", ".join(str(found["dialogue_words"][q]) for q in ("q10", "q50", "q90"))
        counts = [f"{found[key]:,}" for key in ("rows", "groups", "conditions")]
        table.add_row(split, *counts, str(len(found["specialties"])), words)
    console.print(table)
    told = {**certificate.get("made", {}), "teacher": certificate.get("teacher", {})}
    for name, value in _plain(told):
        console.print(f"{name.replace('_', ' ')}: {value}", markup=False)


def _questions(counts: Mapping[str, Mapping[str, Any]]) -> Table:
    levels = list(dict.fromkeys(level for part in counts.values() for level in part["levels"]))
    table = Table(title="Questions by split and level", title_justify="left")
    for heading in ("", "questions", "companies", "tables", *levels):
        table.add_column(heading, justify="right" if heading else "left")
    for split, found in counts.items():
        each = [f"{found['levels'].get(level, 0):,}" for level in levels]
        # an older certificate counts no tables
        told = (found.get(key) for key in ("questions", "companies", "tables"))
        table.add_row(split, *("-" if n is None else f"{n:,}" for n in told), *each)
    return table


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


def _behaviours(found: Learned) -> Table:
    title = "Behaviours (% of n tasks where it applies; counts are means; difference with 95% interval)"
    table = _compared(title, "behaviour", found)
    for row in found.flags:
        _add(table, row, found, 100, 1)
    table.add_section()
    for row in found.counts:
        _add(table, row, found, 1, 2)
    return table


def _levels(found: Learned) -> Table:
    table = _compared("Points by level (% of what can be had; difference with 95% interval)", "level", found)
    for row in found.levels:
        _add(table, row, found, 100, 1)
    return table


def _compared(title: str, first: str, found: Learned) -> Table:
    """Means, and the difference to one other: the page has all of them."""
    table = Table(title=title, title_justify="left", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in ("n", *(name.replace("_", "_\n") for name in found.names)):
        table.add_column(name, justify="right")
    if found.others:
        table.add_column(f"{found.trained} - {found.others[-1]}", justify="right", no_wrap=True)
        table.add_column("n", justify="right")
    return table


def _add(table: Table, row: Row, found: Learned, times: float, digits: int) -> None:
    """Of the contestants the means alone: with all intervals the table would not fit a terminal."""
    means = [{**row.figures[n], "low": None} if n in row.figures else None for n in found.names]
    cells = [_estimate(mean, times, digits) for mean in means]
    if found.others:
        difference = row.differences.get(found.others[-1])
        cells += [_estimate(difference, times, digits, signed=True), str((difference or {}).get("n", 0))]
    table.add_row(row.name, str(row.n), *cells)


def _estimate(
    value: Mapping[str, Any] | None, times: float = 1, digits: int = 2, *, signed: bool = False
) -> str:
    if value is None or value.get("mean") is None:
        return "-"
    plus = "+" if signed else ""
    shown = [
        f"{value[key] * times:{plus}.{digits}f}" for key in ("mean", "low", "high") if value[key] is not None
    ]
    # too few clusters give no interval
    return shown[0] if len(shown) < 3 else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _plain(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and text of each leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _plain(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", f"{value:,}" if isinstance(value, int) else str(value)
