from __future__ import annotations

from io import StringIO

from rich.console import Console

from episodes_run import make_summary, records
from fivestones.cli.tables import show_run


def shown(summary: dict[str, object], width: int = 100) -> list[str]:
    console = Console(file=StringIO(), width=width)
    show_run(console, summary)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def row(lines: list[str], name: str) -> list[str]:
    """The cells of the line that begins with `name`."""
    line = next(line for line in lines if line.lstrip("│ ").startswith(f"{name} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_behaviours_come_after_the_contestants_and_then_levels() -> None:
    lines = shown(make_summary(records()))
    titles = [next(i for i, line in enumerate(lines) if line.startswith(title)) for title in TITLES]
    assert titles == sorted(titles)
    behaviours = lines[titles[1] : titles[2]]
    assert row(behaviours, "no_tool_answer") == [
        "no_tool_answer", "32", "50.0", "0.0", "0.0", "-50.0 [-50.0, -50.0]",
    ]  # fmt: skip
    assert row(behaviours, "calls") == ["calls", "32", "2.50", "3.00", "3.00", "+0.50 [+0.50, +0.50]"]
    assert row(behaviours, "calls_over_fewest")[2] == "-"
    assert not any("unknown_tool" in line for line in lines)
    levels = lines[titles[2] : titles[3]]
    assert row(levels, "L0")[:5] == ["L0", "8", "0.0", "100.0", "100.0"]
    assert row(levels, "multi, held out")[4] == "0.0"


TITLES = ("Contestants", "Behaviours", "Right answers by level", "Paired differences")


def test_four_contestants_fit_100_columns() -> None:
    lines = shown(make_summary(records(("base", "base_examples", "imitation", "trained"))))
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    assert "-50.0 [-50.0, -50.0]" in row(lines, "no_tool_answer")  # no cell is broken over two lines
    assert "+100.0 [+35.1, +100.0]" in row(lines, "L0")


def test_a_run_without_behaviours_shows_none_of_it() -> None:
    summary = {**make_summary(records()), "behaviours": {}}
    lines = shown(summary)
    assert not any(line.startswith(TITLES[1:3]) for line in lines)
    assert any(line.startswith(TITLES[3]) for line in lines)
