"""`fivestones synth ... --preview`, on real requests."""

from __future__ import annotations

from pathlib import Path

from authors import SIZES, author
from typer.testing import CliRunner

from fivestones.cli.preview import forecast_text
from fivestones.cli.synth import synth_app
from fivestones.data.teacher import Forecast
from scripted_server import ScriptedServer

SMALL = [f"{key}={value}" for key, value in SIZES.items()]


def test_a_preview_on_the_terminal(tmp_path: Path) -> None:
    def careless(column: str, text: str, first: bool) -> str:
        return "[bold]Sorry[/bold]" if first and column == "note" else text

    with ScriptedServer(author(careless)) as server:
        limits = "limits: {timeout: 60.0, deadline: 120.0}"
        teacher = f'synth.teacher={{endpoints: [{{url: "{server.url}"}}], model: author-1b, {limits}}}'
        words = ["soap", *SMALL, teacher, "--profile", "smoke", "--out", str(tmp_path), "--preview"]
        done = CliRunner().invoke(synth_app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert done.output.count("dialogue:\n") == done.output.count("note:\n") == 5
    assert "note, attempt 1: not a note: the output does not begin with a JSON object" in done.output
    assert "note, attempt 2: passes" in done.output
    assert "all 7 rows, going by these 5: " in done.output
    assert not (tmp_path / "certificate.json").exists()


def test_a_preview_of_the_grammar_on_the_terminal(tmp_path: Path) -> None:
    words = ["soap", *SMALL, "--profile", "smoke", "--out", str(tmp_path / "d"), "--preview"]
    done = CliRunner().invoke(synth_app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert done.output.count("dialogue:\n") == 5 and "replies" not in done.output
    assert not (tmp_path / "d").exists()


def test_what_all_rows_would_take() -> None:
    made = Forecast(
        rows=24_000, seen=5, replies=60_000, input_tokens=48_000_000, output_tokens=36_000_000, money=95.5,
        seconds_low=5400.0, seconds_high=43_200.0,
    )  # fmt: skip
    assert forecast_text(made) == (
        "all 24,000 rows, going by these 5: 60,000 replies, 48,000,000 tokens of prompts, 36,000,000 of "
        "replies, 95.50 in the currency of the prices; 1.5 h to 12.0 h"
    )
