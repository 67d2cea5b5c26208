"""The balance sheet and its current items."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import negative
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import (
    Entry,
    Sum,
    Topic,
    breakdown,
    items,
    rolled,
    total,
)

STOCK = ("Raw materials", "Work in process", "Finished goods")
ACCRUED = ("Compensation", "Taxes", "Interest", "Other accrued")
CASH = ("Bank deposits", "Money market funds", "Treasury bills")
HOLDINGS = ("Money market funds", "Treasury bills", "Corporate bonds", "Derivatives")
PREPAID = ("Prepaid expenses", "Tax receivable", "Deposits")


def _balance_sheet(led: Ledger) -> Sequence[Entry]:
    debt, net = led.debt, led.pension["net"]
    return [
        Entry("cash", "Cash and cash equivalents", led.cash, depth=1, heading="Current assets:"),
        Entry("receivables", "Accounts receivable, net", led.receivables["net"], depth=1),
        Entry("inventories", "Inventories", led.inventories, depth=1),
        Entry("other_current", "Other current assets", led.other_current_assets, depth=1),
        Entry("current_assets", "Total current assets", led.assets["current"], "subtotal"),
        Entry("property", "Property and equipment, net", led.property["closing"]),
        Entry("goodwill", "Goodwill", led.goodwill["closing"]),
        Entry("intangibles", "Intangible assets, net", led.intangibles["closing"]),
        Entry("right_of_use", "Operating lease assets", led.leases["asset"]),
        Entry("other_assets", "Other assets", led.other_assets),
        total("assets", "Total assets", led.assets["total"]),
        Entry("payables", "Accounts payable", led.payables, depth=1, heading="Current liabilities:"),
        Entry("accrued", "Accrued liabilities", led.accrued, depth=1),
        Entry("contracts", "Contract liabilities", led.contracts["closing"], depth=1),
        Entry("current_debt", "Current portion of debt", debt["current"], depth=1),
        Entry("current_liabilities", "Total current liabilities", led.liabilities["current"], "subtotal"),
        Entry("long_term_debt", "Long-term debt", debt["long_term"]),
        Entry("leases", "Operating lease liabilities", led.leases["liability"]),
        Entry("deferred_tax", "Deferred income taxes", led.deferred_tax["net"]),
        Entry("pensions", "Pension liabilities", net),
        Entry("liabilities", "Total liabilities", led.liabilities["total"], "subtotal"),
        Entry("equity", "Total equity", led.equity["closing"]),
        total("both", "Total liabilities and equity", led.assets["total"]),
    ]


def _financial_position(led: Ledger) -> Sequence[Entry]:
    whole, current = led.assets["total"], led.assets["current"]
    return [
        Entry("current_assets", "Current assets", current),
        Entry("other_assets", "Other assets", {y: whole[y] - current[y] for y in whole}),
        Entry("assets", "Total assets", whole, "subtotal"),
        Entry("liabilities", "Total liabilities", led.liabilities["total"]),
        total("equity", "Total equity", led.equity["closing"]),
    ]


def _inventories(led: Ledger) -> Sequence[Entry]:
    parts = led.split("inventory", led.inventories, STOCK)
    return [*items(parts, STOCK), total("total", "Total inventories", led.inventories)]


def _allowance(led: Ledger) -> Sequence[Entry]:
    moves = {"provision": "Provision", "write_offs": "Write-offs", "recoveries": "Recoveries"}
    return rolled(led.receivables, "Opening balance", moves, "Closing balance")


def _receivables(led: Ledger) -> Sequence[Entry]:
    lines = led.receivables
    return [
        Entry("gross", "Gross receivables", lines["gross"]),
        Entry("allowance", "Allowance", negative(lines["closing"])),
        total("net", "Net receivables", lines["net"]),
    ]


def _accrued(led: Ledger) -> Sequence[Entry]:
    return [*items(led.split("accruals", led.accrued, ACCRUED), ACCRUED),
            total("total", "Total accrued", led.accrued)]  # fmt: skip


def _cash(led: Ledger) -> Sequence[Entry]:
    return [*items(led.split("cash_parts", led.cash, CASH), CASH), total("total", "Total cash", led.cash)]


def _fair_value(led: Ledger) -> Sequence[Entry]:
    whole = led.share("fair_value", led.revenue, 0.06, 0.15)
    return [
        *items(led.split("holdings", whole, HOLDINGS), HOLDINGS),
        total("total", "Total at fair value", whole),
    ]


def _prepaid(led: Ledger) -> Sequence[Entry]:
    whole = led.other_current_assets
    return [*items(led.split("prepaid", whole, PREPAID), PREPAID), total("total", "Total prepaid", whole)]


BALANCES = (
    Topic(
        name="balance_sheet",
        block="CondensedBalanceSheet",
        subject="the balance sheet",
        about="Condensed consolidated balance sheets",
        entries=_balance_sheet,
        instant=True,
        core=True,
        sums=(
            Sum("current_assets", ("cash", "receivables", "inventories", "other_current")),
            Sum(
                "assets",
                ("current_assets", "property", "goodwill", "intangibles", "right_of_use", "other_assets"),
            ),
            Sum("current_liabilities", ("payables", "accrued", "contracts", "current_debt")),
            Sum(
                "liabilities", ("current_liabilities", "long_term_debt", "leases", "deferred_tax", "pensions")
            ),
            Sum("equity", ("assets", "-liabilities")),
            Sum("both", ("liabilities", "equity")),
        ),
        ties={
            "cash": "cash",
            "receivables": "receivables",
            "inventories": "inventories",
            "other_current": "prepaid",
            "current_assets": "current_assets",
            "property": "property",
            "goodwill": "goodwill",
            "intangibles": "intangibles",
            "assets": "assets",
            "accrued": "accrued",
            "contracts": "contract_liabilities",
            "current_debt": "current_debt",
            "long_term_debt": "long_term_debt",
            "leases": "lease_liabilities",
            "deferred_tax": "net_deferred_tax",
            "pensions": "net_pension",
            "liabilities": "liabilities",
            "equity": "equity",
            "both": "assets",
        },
    ),
    Topic(
        name="financial_position",
        block="SelectedBalanceSheetInformation",
        subject="financial position",
        about="Selected information on the financial position",
        entries=_financial_position,
        instant=True,
        short=True,
        sums=(
            Sum("assets", ("current_assets", "other_assets")),
            Sum("equity", ("assets", "-liabilities")),
        ),
        ties={
            "current_assets": "current_assets",
            "assets": "assets",
            "liabilities": "liabilities",
            "equity": "equity",
        },
    ),
    breakdown(
        "cash",
        "ScheduleOfCashAndCashEquivalents",
        "cash",
        "Components of cash and cash equivalents",
        _cash,
        "cash",
        short=True,
    ),
    breakdown(
        "fair_value",
        "FairValueAssetsMeasuredOnRecurringBasis",
        "investments at fair value",
        "Assets measured at fair value on a recurring basis",
        _fair_value,
        "fair_value",
    ),
    Topic(
        name="allowance",
        block="AccountsReceivableAllowanceForCreditLoss",
        subject="the allowance for credit losses",
        about="Changes in the allowance for credit losses",
        entries=_allowance,
        short=True,
        sums=(Sum("closing", ("opening", "provision", "write_offs", "recoveries")),),
        ties={"opening": "allowance@-1", "closing": "allowance"},
    ),
    Topic(
        name="receivables",
        block="ScheduleOfAccountsNotesLoansAndFinancingReceivable",
        subject="receivables",
        about="Accounts receivable",
        entries=_receivables,
        instant=True,
        short=True,
        sums=(Sum("net", ("gross", "allowance")),),
        ties={"allowance": "-allowance", "net": "receivables"},
    ),
    breakdown(
        "inventories",
        "ScheduleOfInventoryCurrent",
        "inventories",
        "Components of inventories",
        _inventories,
        "inventories",
        short=True,
    ),
    breakdown(
        "prepaid",
        "ScheduleOfOtherAssetsCurrent",
        "prepaid assets",
        "Prepaid expenses and other current assets",
        _prepaid,
        "prepaid",
    ),
    breakdown(
        "accrued_liabilities",
        "ScheduleOfAccruedLiabilities",
        "accrued liabilities",
        "Components of accrued liabilities",
        _accrued,
        "accrued",
    ),
)
