from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console

from episodes_run import make_summary, records
from fivestones.cli.tables import show_run
from fivestones.evaluate.behaviours import behaviour_table


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
        "no_tool_answer", "32", "50.0", "0.0", "0.0", "+0.0 [-32.4, +32.4]", "32",
    ]  # fmt: skip
    assert row(behaviours, "calls") == ["calls", "32", "2.50", "3.00", "3.00", "+0.00", "32"]
    assert row(behaviours, "blind_repeat")[-1] == "32"  # of the difference, to imitation
    assert row(behaviours, "calls_over_fewest")[2] == "-"
    assert not any("unknown_tool" in line for line in lines)
    levels = lines[titles[2] : titles[3]]
    assert row(levels, "L0")[:5] == ["L0", "8", "0.0", "100.0", "100.0"]
    assert row(levels, "tables: multi, held out")[4] == "0.0"


TITLES = ("Contestants", "Behaviours", "Points by level", "Paired differences")


def test_four_contestants_fit_100_columns() -> None:
    lines = shown(make_summary(records(("base", "base_examples", "imitation", "trained"))))
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    assert "+0.0 [-32.4, +32.4]" in row(lines, "no_tool_answer")  # no cell is broken over two lines
    assert any("trained - imitation" in line for line in lines)


def test_without_imitation_the_difference_is_to_base() -> None:
    lines = shown(make_summary(records(("base", "base_examples", "trained"))))
    assert row(lines, "no_tool_answer")[-2:] == ["-50.0 [-50.0, -50.0]", "32"]
    assert row(lines, "blind_repeat")[-1] == "16"  # base calls no tool on the others
    assert "+100.0 [+35.1, +100.0]" in row(lines, "L0")


def test_the_longest_names_and_numbers_of_four_contestants_fit() -> None:
    name = "several_final_answers"
    made = [
        replace(r, behaviours={name: float(r.contestant != "trained")})
        for r in records(("base", "base_examples", "imitation", "trained"))
    ]
    summary = make_summary(made)
    figures = {"behaviours": behaviour_table(made, names=(name,), draws=50, seed=1, trained="trained")}
    lines = shown({**summary, **figures})
    assert max(map(len, lines)) <= 100
    assert "-100.0 [-100.0, -35.1]" in row(lines, name)


def test_a_run_without_behaviours_shows_none_of_it() -> None:
    summary = {**make_summary(records()), "behaviours": {}}
    lines = shown(summary)
    assert not any(line.startswith(TITLES[1:3]) for line in lines)
    assert any(line.startswith(TITLES[3]) for line in lines)
