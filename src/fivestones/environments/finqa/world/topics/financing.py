"""Tables of debt, leases and cash flows."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from fivestones.environments.finqa.world.facts import minus, negative, plus
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, due, items, total

INSTRUMENTS = ("Term loan", "Senior notes", "Convertible notes", "Other borrowings")


def _debt(led: Ledger) -> Sequence[Entry]:
    debt = led.debt
    return [
        *items(led.split("instruments", debt["principal"], INSTRUMENTS, (1.5, 3.0, 1.2, 0.6)), INSTRUMENTS),
        Entry("principal", "Total principal", debt["principal"], "subtotal"),
        Entry("costs", "Unamortized issue costs", debt["costs"]),
        Entry("total", "Total debt", debt["total"], "subtotal"),
        Entry("current", "Current portion", debt["current"]),
        total("long_term", "Long-term debt", debt["long_term"]),
    ]


def _debt_by_term(led: Ledger) -> Sequence[Entry]:
    debt = led.debt
    return [
        Entry("current", "Current debt", debt["current"]),
        Entry("long_term", "Long-term debt", debt["long_term"]),
        total("total", "Total debt", debt["total"]),
    ]


def _debt_due(led: Ledger) -> Sequence[Entry]:
    whole = led.debt["principal"]
    return [*due(led.profile.last, led.due("debt_due", whole)), total("total", "Total payments", whole)]


def _debt_rates(led: Ledger) -> Sequence[Entry]:
    rng = led.rng("rates")
    return [
        Entry(key, label, {y: Fraction(rng.randint(least, least + 250), 100) for y in led.years})
        for key, label, least in (
            ("term_loan", "Term loan", 250),
            ("senior_notes", "Senior notes", 350),
            ("convertible_notes", "Convertible notes", 120),
            ("other_borrowings", "Other borrowings", 420),
        )
    ]


def _lease_due(led: Ledger) -> Sequence[Entry]:
    leases, last = led.leases, led.profile.last
    return [
        *due(last, led.due("lease_due", leases["payments"])),
        Entry("payments", "Total lease payments", leases["payments"], "subtotal"),
        Entry("interest", "Imputed interest", negative(leases["interest"])),
        total("total", "Lease liabilities", leases["liability"]),
    ]


def _lease_cost(led: Ledger) -> Sequence[Entry]:
    whole = led.share("lease_cost", led.leases["liability"], 0.18, 0.3)
    names = ("Operating leases", "Short-term leases", "Variable costs")
    return [
        *items(led.split("lease_costs", whole, names, (4.0, 0.8, 1.0)), names),
        total("total", "Total lease cost", whole),
    ]


def _cash_flows(led: Ledger) -> Sequence[Entry]:
    lines = led.cash_flow
    return [
        Entry("operating", "Cash from operations", lines["operating"], "subtotal"),
        Entry("spent", "Capital expenditures", lines["spent"], depth=1, heading="Investing activities:"),
        Entry("bought", "Acquisitions", lines["bought"], depth=1),
        Entry("sold", "Proceeds from disposals", lines["sold"], depth=1),
        Entry("investing", "Cash from investing", lines["investing"], "subtotal"),
        Entry("borrowed", "Net borrowings", lines["borrowed"], depth=1, heading="Financing activities:"),
        Entry("dividends", "Dividends paid", led.equity["dividends"], depth=1),
        Entry("stock", "Net shares issued (repurchased)", lines["stock"], depth=1),
        Entry("financing", "Cash from financing", lines["financing"], "subtotal"),
        Entry("currency", "Currency effects", lines["currency"]),
        Entry("change", "Net change in cash", lines["change"], "subtotal"),
        Entry("opening", "Opening cash", lines["opening"]),
        total("closing", "Closing cash", lines["closing"]),
    ]


def _operating_cash(led: Ledger) -> Sequence[Entry]:
    whole, amortization = led.cash_flow["operating"], led.income["amortization"]
    wear = minus(amortization, led.property["depreciation"])
    known = plus(led.net_income, wear, led.stock_compensation)
    return [
        Entry("net_income", "Net income", led.net_income),
        Entry("wear", "Depreciation", wear),
        Entry("compensation", "Stock compensation", led.stock_compensation),
        Entry("working", "Other changes", minus(whole, known)),
        total("total", "Operating cash", whole),
    ]


FINANCING = (
    Topic(
        name="debt",
        block="ScheduleOfLongTermDebtInstruments",
        subject="debt by instrument",
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
        name="debt_by_term",
        block="ScheduleOfDebtByTerm",
        subject="debt",
        about="Current and long-term debt",
        entries=_debt_by_term,
        instant=True,
        short=True,
        sums=(Sum("total"),),
        ties={"current": "current_debt", "long_term": "long_term_debt", "total": "debt"},
    ),
    Topic(
        name="debt_maturities",
        block="ScheduleOfMaturitiesOfLongTermDebt",
        subject="debt maturities",
        about="Principal payments due on long-term debt",
        entries=_debt_due,
        instant=True,
        years="one",
        sums=(Sum("total"),),
        ties={"total": "debt_principal"},
    ),
    Topic(
        name="debt_rates",
        block="ScheduleOfDebtInterestRates",
        subject="interest rates on debt",
        about="Weighted average interest rates by debt instrument",
        entries=_debt_rates,
        kind="percent",
        gaps=True,
        instant=True,
    ),
    Topic(
        name="lease_maturities",
        block="LesseeOperatingLeaseLiabilityMaturity",
        subject="lease maturities",
        about="Maturities of operating lease liabilities",
        entries=_lease_due,
        instant=True,
        years="one",
        sums=(
            Sum("payments", ("due_1", "due_2", "due_3", "due_4", "due_5", "thereafter")),
            Sum("total", ("payments", "interest")),
        ),
        ties={"total": "lease_liabilities"},
    ),
    Topic(
        name="lease_cost",
        block="LeaseCost",
        subject="lease cost",
        about="Components of lease cost",
        entries=_lease_cost,
        short=True,
        sums=(Sum("total"),),
    ),
    Topic(
        name="cash_flows",
        block="CondensedCashFlowStatement",
        subject="cash flows",
        about="Condensed consolidated statements of cash flows",
        entries=_cash_flows,
        core=True,
        variants=False,
        sums=(
            Sum("investing", ("spent", "bought", "sold")),
            Sum("financing", ("borrowed", "dividends", "stock")),
            Sum("change", ("operating", "investing", "financing", "currency")),
            Sum("closing", ("change", "opening")),
        ),
        ties={
            "operating": "cash_from_operations",
            "spent": "-property_additions",
            "dividends": "-dividends",
            "opening": "cash@-1",
            "closing": "cash",
        },
    ),
    Topic(
        name="cash_from_operations",
        block="ScheduleOfCashFlowOperatingActivities",
        subject="cash from operations",
        about="Reconciliation of net income to cash from operations",
        entries=_operating_cash,
        short=True,
        sums=(Sum("total"),),
        ties={
            "net_income": "net_income",
            "wear": "depreciation_and_amortization",
            "compensation": "stock_compensation",
            "total": "cash_from_operations",
        },
    ),
)
