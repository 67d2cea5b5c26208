"""Tables of revenue, expenses and income."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, due, items, rolled, total

QUARTERS = ("First quarter", "Second quarter", "Third quarter", "Fourth quarter")
CHANNELS = ("At a point in time", "Over time")
OTHER = ("Interest income", "Currency gains", "Investment gains")


def _income_statement(led: Ledger) -> Sequence[Entry]:
    lines = led.income
    return [
        Entry("revenue", "Revenue", led.revenue),
        Entry("cost", "Cost of revenue", lines["cost"]),
        Entry("gross_profit", "Gross profit", lines["gross_profit"], "subtotal"),
        Entry("selling", "Selling, general and administrative", lines["selling"], depth=1,
              heading="Operating expenses:"),
        Entry("research", "Research and development", lines["research"], depth=1),
        Entry("amortization", "Amortization of intangible assets", lines["amortization"], depth=1),
        Entry("restructuring", "Restructuring charges", lines["restructuring"], depth=1),
        Entry("operating_expenses", "Total operating expenses", lines["operating_expenses"], "subtotal"),
        Entry("operating_income", "Operating income", lines["operating_income"], "subtotal"),
        Entry("interest", "Interest expense", lines["interest"]),
        Entry("other", "Other income (expense), net", lines["other"]),
        Entry("pretax", "Income before income taxes", lines["pretax"], "subtotal"),
        Entry("tax", "Provision for income taxes", led.tax["tax"]),
        total("net_income", "Net income", led.net_income),
    ]  # fmt: skip


def _operating_results(led: Ledger) -> Sequence[Entry]:
    lines = led.income
    return [
        Entry("revenue", "Revenue", led.revenue),
        Entry("cost", "Cost of sales", lines["cost"]),
        Entry("gross_profit", "Gross profit", lines["gross_profit"], "subtotal"),
        Entry("operating_expenses", "Operating expenses", lines["operating_expenses"]),
        total("operating_income", "Operating income", lines["operating_income"]),
    ]


def _revenue_by_quarter(led: Ledger) -> Sequence[Entry]:
    parts = led.split("quarters", led.revenue, QUARTERS, (0.9, 1.0, 1.0, 1.15))
    return [*items(parts, QUARTERS), total("total", "Full year", led.revenue)]


def _revenue_by_timing(led: Ledger) -> Sequence[Entry]:
    parts = led.split("timing", led.revenue, CHANNELS)
    return [*items(parts, CHANNELS), total("total", "Total revenue", led.revenue)]


def _restructuring(led: Ledger) -> Sequence[Entry]:
    moves = {"charges": "Charges", "payments": "Payments"}
    return rolled(led.restructuring, "Opening balance", moves, "Closing balance")


def _other_income(led: Ledger) -> Sequence[Entry]:
    parts = led.split("other_income", led.income["other"], OTHER)
    return [*items(parts, OTHER), total("total", "Total other income", led.income["other"])]


def _interest(led: Ledger) -> Sequence[Entry]:
    whole = led.income["interest"]
    capitalized = led.share("capitalized", whole, 0.03, 0.09)
    fees = led.share("fees", whole, 0.03, 0.08)
    return [
        Entry(
            "borrowings", "Interest on borrowings", {y: whole[y] + capitalized[y] - fees[y] for y in whole}
        ),
        Entry("fees", "Amortized issue costs", fees),
        Entry("capitalized", "Capitalized interest", {y: -amount for y, amount in capitalized.items()}),
        total("total", "Interest expense", whole),
    ]


def _contracts(led: Ledger) -> Sequence[Entry]:
    moves = {"billed": "Billed in advance", "recognized": "Revenue recognized"}
    return rolled(led.contracts, "Opening balance", moves, "Closing balance")


def _warranty(led: Ledger) -> Sequence[Entry]:
    moves = {"provision": "New warranties", "claims": "Claims paid"}
    return rolled(led.warranty, "Opening balance", moves, "Closing balance")


def _backlog(led: Ledger) -> Sequence[Entry]:
    whole = led.share("backlog", led.revenue, 0.4, 1.1)
    return [*due(led.profile.last, led.due("backlog_due", whole)), total("total", "Total backlog", whole)]


def _purchases(led: Ledger) -> Sequence[Entry]:
    whole = led.share("purchases", led.income["cost"], 0.2, 0.6)
    return [*due(led.profile.last, led.due("purchases_due", whole)), total("total", "Total purchases", whole)]


def _customers(led: Ledger) -> Sequence[Entry]:
    names = ("Customer A", "Customer B", "Customer C")
    parts = (led.share(f"share of {n}", led.revenue, 0.1, 0.28) for n in names)
    return [
        Entry(name[-1].lower(), name, led.share_of(s, led.revenue))
        for s, name in zip(parts, names, strict=True)
    ]


OPERATIONS = (
    Topic(
        name="income_statement",
        block="CondensedIncomeStatement",
        subject="the income statement",
        about="Condensed consolidated statements of income",
        entries=_income_statement,
        core=True,
        variants=False,  # its restructuring charge is nil in some years
        sums=(
            Sum("gross_profit", ("revenue", "-cost")),
            Sum("operating_expenses", ("selling", "research", "amortization", "restructuring")),
            Sum("operating_income", ("gross_profit", "-operating_expenses")),
            Sum("pretax", ("operating_income", "-interest", "other")),
            Sum("net_income", ("pretax", "-tax")),
        ),
        ties={
            "revenue": "revenue",
            "cost": "cost",
            "gross_profit": "gross_profit",
            "restructuring": "restructuring_charges",
            "amortization": "amortization",
            "operating_expenses": "operating_expenses",
            "operating_income": "operating_income",
            "interest": "interest",
            "other": "other_income",
            "pretax": "pretax",
            "tax": "tax",
            "net_income": "net_income",
        },
    ),
    Topic(
        name="operating_results",
        block="SelectedOperatingResults",
        subject="operating results",
        about="Selected operating results",
        entries=_operating_results,
        short=True,
        sums=(
            Sum("gross_profit", ("revenue", "-cost")),
            Sum("operating_income", ("gross_profit", "-operating_expenses")),
        ),
        ties={
            "revenue": "revenue",
            "cost": "cost",
            "gross_profit": "gross_profit",
            "operating_expenses": "operating_expenses",
            "operating_income": "operating_income",
        },
    ),
    Topic(
        name="revenue_by_quarter",
        block="ScheduleOfQuarterlyFinancialInformation",
        subject="revenue by quarter",
        about="Quarterly revenue, unaudited",
        entries=_revenue_by_quarter,
        sums=(Sum("total"),),
        ties={"total": "revenue"},
    ),
    Topic(
        name="revenue_by_timing",
        block="DisaggregationOfRevenueByTimingOfTransfer",
        subject="revenue by timing",
        about="Revenue by timing of the transfer to customers",
        entries=_revenue_by_timing,
        sums=(Sum("total"),),
        ties={"total": "revenue"},
    ),
    Topic(
        name="restructuring",
        block="ScheduleOfRestructuringReserveByTypeOfCost",
        subject="the restructuring reserve",
        about="Changes in the restructuring reserve",
        entries=_restructuring,
        sums=(Sum("closing", ("opening", "charges", "payments")),),
        ties={
            "opening": "restructuring@-1",
            "charges": "restructuring_charges",
            "closing": "restructuring",
        },
    ),
    Topic(
        name="other_income",
        block="ScheduleOfOtherNonoperatingIncomeExpense",
        subject="other income",
        about="Components of other income (expense)",
        entries=_other_income,
        sums=(Sum("total"),),
        ties={"total": "other_income"},
    ),
    Topic(
        name="interest_expense",
        block="InterestIncomeAndInterestExpenseDisclosure",
        subject="interest expense",
        about="Components of interest expense",
        entries=_interest,
        sums=(Sum("total"),),
        ties={"total": "interest"},
    ),
    Topic(
        name="contract_liabilities",
        block="ContractWithCustomerAssetAndLiability",
        subject="contract liabilities",
        about="Changes in contract liabilities",
        entries=_contracts,
        short=True,
        sums=(Sum("closing", ("opening", "billed", "recognized")),),
        ties={"opening": "contract_liabilities@-1", "closing": "contract_liabilities"},
    ),
    Topic(
        name="warranty",
        block="ScheduleOfProductWarrantyLiability",
        subject="the warranty reserve",
        about="Changes in the product warranty reserve",
        entries=_warranty,
        short=True,
        held_out=True,
        sums=(Sum("closing", ("opening", "provision", "claims")),),
        ties={"opening": "warranty@-1", "closing": "warranty"},
    ),
    Topic(
        name="backlog",
        block="RevenueRemainingPerformanceObligationExpectedTimingOfSatisfaction",
        subject="the backlog",
        about="Backlog by the year in which it is expected to become revenue",
        entries=_backlog,
        instant=True,
        years="one",
        sums=(Sum("total"),),
    ),
    Topic(
        name="purchase_obligations",
        block="UnrecordedUnconditionalPurchaseObligationsDisclosure",
        subject="purchase obligations",
        about="Purchase obligations by the year in which they fall due",
        entries=_purchases,
        instant=True,
        years="one",
        held_out=True,
        sums=(Sum("total"),),
    ),
    Topic(
        name="customer_concentration",
        block="SchedulesOfConcentrationOfRiskByRiskFactor",
        subject="the largest customers",
        about="Share of the largest customers in revenue",
        entries=_customers,
        kind="percent",
        gaps=True,
        held_out=True,
    ),
)
