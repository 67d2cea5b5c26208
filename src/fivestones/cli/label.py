"""Labelling in the terminal: one output after the other, each criterion with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from fivestones.score.people import HumanVerdict, Item, Review, Reviews

HELP = "p passes, f fails, s skip this output, q quit; every answer is kept as soon as the output is done"


class _Quit(Exception):
    """The reviewer has had enough."""


class _Skip(Exception):
    """The reviewer has no opinion on this output."""


def label_items(
    console: Console,
    items: Sequence[Item],
    reviews: Reviews,
    rater: str,
    save: Callable[[Review], None],
    ask: Callable[[str], str] = input,
) -> int:
    """Asks about each item until the reviewer quits; returns how many got labels. What was answered of an
    item is saved even when the reviewer leaves in the middle of it."""
    done = 0
    for number, item in enumerate(items, 1):
        _show(console, item, f"{number} of {len(items)}")
        labels: dict[str, HumanVerdict] = {}
        left = False
        try:
            for criterion in item.criteria:
                if criterion not in reviews.by(rater, item.key):
                    labels[criterion] = _verdict(console, criterion, ask)
        except _Skip:
            pass
        except (_Quit, EOFError, KeyboardInterrupt):
            left = True
        if labels:
            save(Review(item=item, rater=rater, labels=labels))
            done += 1
        if left:
            break
    return done


def _verdict(console: Console, criterion: str, ask: Callable[[str], str]) -> HumanVerdict:
    while True:
        answer = ask(f"{criterion}: [p/f/s/q] ").strip().lower()
        if answer == "q":
            raise _Quit
        if answer == "s":
            raise _Skip
        if answer in ("p", "f"):
            break
        console.print(HELP, style="dim", markup=False)
    passed = answer == "p"
    reason = ask("  reason: ").strip()
    while not passed and not reason:
        reason = ask("  a failed criterion needs a reason: ").strip()
    return HumanVerdict(passed, reason)


def _show(console: Console, item: Item, place: str) -> None:
    console.print(Rule(f"{item.task_id}, {place}"))
    console.print(Panel(Text(item.source), title="input", title_align="left"))
    fields = "\n\n".join(f"{name}: {_text(value)}" for name, value in item.output.items())
    console.print(Panel(Text(fields), title="output", title_align="left"))
    console.print(HELP, style="dim", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=1 if isinstance(value, Mapping) else None)
