"""What a preview of synthetic rows shows: the rows, why texts were refused, and what all would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from fivestones.data.teacher import Forecast, Preview


def show_preview(console: Console, preview: Preview) -> None:
    from fivestones.data.teacher import line_of

    for number, told in enumerate(preview.told, 1):
        row = told.draft if told.row is None else told.row
        console.rule(f"{number}. {row['id']}", align="left")
        _say(console, f"{row['specialty']}, {row['condition']}, style {row['style']}")
        for attempt in told.attempts:
            _say(console, line_of(attempt))
        if told.row is None:
            _say(console, "given up: no scenario of it passed")
        else:
            for column in preview.columns:
                _say(console, f"\n{column}:\n{told.row[column]}")
    console.rule(align="left")
    _say(console, forecast_text(preview.forecast))


def forecast_text(forecast: Forecast) -> str:
    """Of all rows, in words."""
    times = f"{_time(forecast.seconds_low)} to {_time(forecast.seconds_high)}"
    if not forecast.replies:
        return f"all {forecast.rows:,} rows, going by these {forecast.seen}: {times}"
    money = f", {forecast.money:,.2f} in the currency of the prices" if forecast.money else ""
    return (
        f"all {forecast.rows:,} rows, going by these {forecast.seen}: {forecast.replies:,} replies, "
        f"{forecast.input_tokens:,} tokens of prompts, {forecast.output_tokens:,} of replies{money}; {times}"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)  # a model's text is no markup


def _time(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
