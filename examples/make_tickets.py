"""Writes tickets.jsonl: 80 made-up support tickets with their triage. `python examples/make_tickets.py`"""

from __future__ import annotations

import json
import random
from pathlib import Path

# category -> (what happened, its summary, priority)
PROBLEMS: dict[str, list[tuple[str, str, str]]] = {
    "billing": [
        ("I was charged twice for my {plan} plan this month", "charged twice for the {plan} plan", "high"),
        ("the invoice for the {plan} plan shows the wrong address", "wrong address on an invoice", "low"),
        ("my card was refused when I tried to renew the {plan} plan", "card refused at renewal", "normal"),
        ("I cancelled the {plan} plan and was billed anyway", "billed after cancelling {plan}", "high"),
    ],
    "access": [
        ("I cannot sign in, the code by text message never arrives", "sign-in code never arrives", "high"),
        (
            "the password link says it has expired the moment I open it",
            "password link expires at once",
            "normal",
        ),
        (
            "a colleague who left still has access to our workspace",
            "former colleague still has access",
            "high",
        ),
        (
            "I would like to change the e-mail address of my account",
            "change of account e-mail address",
            "low",
        ),
    ],
    "bug": [
        ("the export to {file} stops at about half of the rows", "export to {file} is incomplete", "high"),
        (
            "dates in the {file} report are shown in the wrong order",
            "dates out of order in {file} report",
            "normal",
        ),
        ("the app closes by itself whenever I open a {file} file", "app closes on a {file} file", "high"),
        ("a menu label is cut off on my small screen", "menu label cut off on small screens", "low"),
    ],
    "request": [
        ("could you add a dark theme to the app", "wish for a dark theme", "low"),
        ("we need to import contacts from a {file} file", "wish to import contacts from {file}", "normal"),
        ("it would help to have two people on the {plan} plan", "second seat wanted on {plan}", "normal"),
        (
            "please let us schedule the weekly report for Monday mornings",
            "wish to schedule weekly report",
            "low",
        ),
    ],
}
GREETINGS = ("Hi,", "Hello team,", "Good morning,", "Dear support,", "")
ASIDES = (
    "I have used your product for two years and mostly like it.",
    "I already tried a different browser.",
    "My neighbour recommended you to me.",
    "This is the third time that I write.",
    "The weather here is lovely, by the way.",
)
ENDS = ("Thanks!", "Please advise.", "Regards, {who}", "Best wishes, {who}", "Waiting for your answer.")
PLANS = ("Starter", "Family", "Team", "Enterprise")
FILES = ("CSV", "Excel", "PDF")
PEOPLE = ("Ana", "Boris", "Chidi", "Dilnoza", "Emil", "Farah")


def tickets(rng: random.Random, each: int) -> list[dict[str, str]]:
    """`each` tickets of every problem, shuffled; no two with the same text."""
    rows: list[dict[str, str]] = []
    seen: set[str] = set()
    for category, problems in PROBLEMS.items():
        for problem, summary, priority in problems:
            made = 0
            while made < each:
                words = {"plan": rng.choice(PLANS), "file": rng.choice(FILES), "who": rng.choice(PEOPLE)}
                said = problem.format(**words)
                parts = [rng.choice(GREETINGS), said[0].upper() + said[1:] + "."]
                parts[rng.choice((1, 2)) : 0] = [rng.choice(ASIDES)]
                text = " ".join(filter(None, [*parts, rng.choice(ENDS).format(**words)]))
                if text in seen:
                    continue
                seen.add(text)
                made += 1
                short = summary.format(**words)
                rows.append({"ticket": text, "category": category, "priority": priority, "summary": short})
    rng.shuffle(rows)
    return [{"id": f"ticket-{number:03d}", **row} for number, row in enumerate(rows, 1)]


if __name__ == "__main__":
    target = Path(__file__).with_name("tickets.jsonl")
    lines = [json.dumps(row, ensure_ascii=False) for row in tickets(random.Random(5), 5)]
    target.write_text("\n".join(lines) + "\n", "utf-8")
