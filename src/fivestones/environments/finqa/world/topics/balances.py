"""Tables of assets and liabilities."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import negative, plus
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, due, items, rolled, total

STOCK = ("Raw materials", "Work in process", "Finished goods")
PLANT = ("Land", "Buildings", "Machinery", "Software")
INTANGIBLES = ("Customer relationships", "Technology", "Trade names")
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


def _property(led: Ledger) -> Sequence[Entry]:
    net, gone = led.property["closing"], led.accumulated_depreciation
    gross = plus(net, gone)
    return [
        *items(led.split("plant", gross, PLANT, (0.6, 1.6, 2.4, 0.8)), PLANT),
        Entry("gross", "Property, gross", gross, "subtotal"),
        Entry("accumulated", "Accumulated depreciation", negative(gone)),
        total("net", "Property, net", net),
    ]


def _property_changes(led: Ledger) -> Sequence[Entry]:
    moves = {"additions": "Additions", "disposals": "Disposals", "depreciation": "Depreciation"}
    return rolled(led.property, "Opening balance", moves, "Closing balance")


def _property_by_region(led: Ledger) -> Sequence[Entry]:
    net = led.property["closing"]
    parts = led.split("property_regions", net, led.profile.regions)
    return [*items(parts, led.profile.regions), total("total", "Total property", net)]


def _goodwill(led: Ledger) -> Sequence[Entry]:
    moves = {"acquired": "Acquired", "impairment": "Impairment", "currency": "Currency effects"}
    return rolled(led.goodwill, "Opening balance", moves, "Closing balance")


def _goodwill_by_segment(led: Ledger) -> Sequence[Entry]:
    whole = led.goodwill["closing"]
    parts = led.split("goodwill_segments", whole, led.profile.segments)
    return [*items(parts, led.profile.segments), total("total", "Total goodwill", whole)]


def _intangibles(led: Ledger) -> Sequence[Entry]:
    whole = led.intangibles["closing"]
    parts = led.split("intangibles_by_class", whole, INTANGIBLES)
    return [*items(parts, INTANGIBLES), total("total", "Total intangibles", whole)]


def _intangible_changes(led: Ledger) -> Sequence[Entry]:
    moves = {"acquired": "Acquired", "amortization": "Amortization"}
    return rolled(led.intangibles, "Opening balance", moves, "Closing balance")


def _amortization_due(led: Ledger) -> Sequence[Entry]:
    whole = led.intangibles["closing"]
    return [
        *due(led.profile.last, led.due("amortization_due", whole)),
        total("total", "Total amortization", whole),
    ]


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


def _deferred_taxes(led: Ledger) -> Sequence[Entry]:
    lines = led.deferred_tax
    names = ("Loss carryforwards", "Employee benefits", "Other differences")
    return [
        *items(led.split("deferred_parts", lines["gross"], names), names),
        Entry("gross", "Gross deferred tax assets", lines["gross"], "subtotal"),
        Entry("allowance", "Valuation allowance", lines["allowance"]),
        Entry("assets", "Deferred tax assets, net", lines["assets"], "subtotal"),
        Entry("liabilities", "Deferred tax liabilities", negative(lines["liabilities"])),
        total("net", "Net deferred taxes", negative(lines["net"])),
    ]


def _pension(led: Ledger) -> Sequence[Entry]:
    moves = {
        "service": "Service cost",
        "interest": "Interest cost",
        "actuarial": "Actuarial changes",
        "benefits": "Benefits paid",
    }
    return rolled(led.pension, "Opening obligation", moves, "Closing obligation")


def _pension_status(led: Ledger) -> Sequence[Entry]:
    lines = led.pension
    return [
        Entry("obligation", "Obligation", lines["closing"]),
        Entry("assets", "Plan assets", lines["assets"]),
        total("net", "Net obligation", lines["net"]),
    ]


def _simple(name: str, block: str, subject: str, about: str, entries: object, fact: str, **more: object) -> Topic:
    """A breakdown of one balance."""
    return Topic(
        name=name, block=block, subject=subject, about=about, entries=entries, instant=True,
        sums=(Sum("total"),), ties={"total": fact}, **more,
    )  # type: ignore[arg-type]  # fmt: skip


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
            Sum("assets", ("current_assets", "property", "goodwill", "intangibles", "right_of_use",
                           "other_assets")),
            Sum("current_liabilities", ("payables", "accrued", "contracts", "current_debt")),
            Sum("liabilities", ("current_liabilities", "long_term_debt", "leases", "deferred_tax",
                                "pensions")),
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
    _simple("inventories", "ScheduleOfInventoryCurrent", "inventories", "Components of inventories",
            _inventories, "inventories", short=True),
    Topic(
        name="property",
        block="PropertyPlantAndEquipment",
        subject="property",
        about="Property, plant and equipment by class",
        entries=_property,
        instant=True,
        sums=(Sum("gross", ("land", "buildings", "machinery", "software")),
              Sum("net", ("gross", "accumulated"))),
        ties={"net": "property"},
    ),
    Topic(
        name="property_changes",
        block="PropertyPlantAndEquipmentRollforward",
        subject="changes in property",
        about="Changes in property and equipment, net",
        entries=_property_changes,
        short=True,
        sums=(Sum("closing", ("opening", "additions", "disposals", "depreciation")),),
        ties={"opening": "property@-1", "additions": "property_additions", "closing": "property"},
    ),
    _simple("property_by_region", "LongLivedAssetsByGeographicAreas", "property by region",
            "Long-lived assets by region", _property_by_region, "property", short=True),
    Topic(
        name="goodwill",
        block="ScheduleOfGoodwill",
        subject="goodwill",
        about="Changes in the carrying amount of goodwill",
        entries=_goodwill,
        sums=(Sum("closing", ("opening", "acquired", "impairment", "currency")),),
        ties={"opening": "goodwill@-1", "closing": "goodwill"},
    ),
    _simple("goodwill_by_segment", "ScheduleOfGoodwillBySegment", "goodwill by segment",
            "Carrying amount of goodwill by reportable segment", _goodwill_by_segment, "goodwill",
            short=True),
    _simple("intangibles", "ScheduleOfFiniteLivedIntangibleAssets", "intangible assets",
            "Carrying amount of intangible assets by class", _intangibles, "intangibles"),
    Topic(
        name="intangible_changes",
        block="FiniteLivedIntangibleAssetsRollforward",
        subject="changes in intangible assets",
        about="Changes in intangible assets, net",
        entries=_intangible_changes,
        sums=(Sum("closing", ("opening", "acquired", "amortization")),),
        ties={"opening": "intangibles@-1", "amortization": "-amortization", "closing": "intangibles"},
    ),
    _simple("amortization_due", "ScheduleofFiniteLivedIntangibleAssetsFutureAmortizationExpense",
            "future amortization", "Expected amortization of intangible assets", _amortization_due,
            "intangibles", years="one"),
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
    _simple("accrued_liabilities", "ScheduleOfAccruedLiabilities", "accrued liabilities",
            "Components of accrued liabilities", _accrued, "accrued"),
    _simple("cash", "ScheduleOfCashAndCashEquivalents", "cash", "Components of cash and cash equivalents",
            _cash, "cash", short=True),
    _simple("fair_value", "FairValueAssetsMeasuredOnRecurringBasis", "investments at fair value",
            "Assets measured at fair value on a recurring basis", _fair_value, "fair_value"),
    _simple("prepaid", "ScheduleOfOtherAssetsCurrent", "prepaid assets",
            "Prepaid expenses and other current assets", _prepaid, "prepaid"),
    Topic(
        name="deferred_taxes",
        block="ScheduleOfDeferredTaxAssetsAndLiabilities",
        subject="deferred taxes",
        about="Deferred tax assets and liabilities",
        entries=_deferred_taxes,
        instant=True,
        sums=(
            Sum("gross", ("loss_carryforwards", "employee_benefits", "other_differences")),
            Sum("assets", ("gross", "allowance")),
            Sum("net", ("assets", "liabilities")),
        ),
        ties={"net": "-net_deferred_tax"},
    ),
    Topic(
        name="pension",
        block="ScheduleOfChangesInProjectedBenefitObligations",
        subject="the pension obligation",
        about="Changes in the projected pension obligation",
        entries=_pension,
        held_out=True,
        sums=(Sum("closing", ("opening", "service", "interest", "actuarial", "benefits")),),
        ties={"opening": "pension@-1", "closing": "pension"},
    ),
    Topic(
        name="pension_status",
        block="ScheduleOfNetFundedStatus",
        subject="pension funding",
        about="Funded status of the pension plans",
        entries=_pension_status,
        instant=True,
        short=True,
        held_out=True,
        sums=(Sum("net", ("obligation", "-assets")),),
        ties={"obligation": "pension", "net": "net_pension"},
    ),
)  # fmt: skip
