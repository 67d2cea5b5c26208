"""Debt, leases, equity and shares."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import Ledger, Series
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, items, total


def due_entries(led: Ledger, parts: dict[str, Series]) -> list[Entry]:
    """Of a schedule at the end of the last year."""
    last = led.profile.last
    lines = [Entry(f"due_{n}", f"Due in {last + n}", parts[f"due_{n}"]) for n in range(1, 6)]
    return [*lines, Entry("thereafter", "Thereafter", parts["thereafter"])]


def _debt(led: Ledger) -> Sequence[Entry]:
    debt = led.debt
    names = ("Term loan", "Senior notes", "Convertible notes", "Other borrowings")
    return [
        *items(led.instruments, names),
        Entry("principal", "Total principal", debt["principal"], "subtotal"),
        Entry("costs", "Unamortized issue costs", debt["costs"]),
        total("total", "Total debt", debt["total"]),
        Entry("current", "Current portion", debt["current"]),
        total("long_term", "Long-term debt", debt["long_term"]),
    ]


def _debt_maturities(led: Ledger) -> Sequence[Entry]:
    principal = led.debt["principal"]
    return [
        *due_entries(led, led.due("debt_due", principal)),
        total("total", "Total payments", principal),
    ]


FINANCING = (
    Topic(
        name="debt",
        block="ScheduleOfLongTermDebtInstruments",
        subject="debt",
        about="Long-term debt by instrument",
        entries=_debt,
        instant=True,
        sums=(
            Sum("principal", ("term_loan", "senior_notes", "convertible_notes", "other_borrowings")),
            Sum("total", ("principal", "costs")),
            Sum("long_term", ("total", "-current")),
        ),
        ties={
            "principal": "debt_principal",
            "total": "debt",
            "current": "current_debt",
            "long_term": "long_term_debt",
        },
    ),
    Topic(
        name="debt_maturities",
        block="ScheduleOfMaturitiesOfLongTermDebt",
        subject="debt maturities",
        about="Principal payments due on long-term debt",
        entries=_debt_maturities,
        instant=True,
        years="one",
        sums=(Sum("total"),),
        ties={"total": "debt_principal"},
    ),
)
