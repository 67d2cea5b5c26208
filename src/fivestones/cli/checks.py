"""The doctor's table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fivestones.machine import Check

_STYLE = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    table = Table(title="fivestones doctor", title_justify="left")
    for heading in ("check", "state", "found"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        table.add_row(check.name, Text(check.state, style=_STYLE[check.state]), Text(check.found))
    console.print(table)
    for check in checks:
        if check.advice and check.state != "ok":
            console.print(f"{check.name}: {check.advice}", markup=False, soft_wrap=True)
