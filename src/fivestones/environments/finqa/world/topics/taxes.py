"""Tables of income taxes."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import negative
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, items, rolled, total

RECONCILED = {
    "statutory": "Tax at the statutory rate",
    "state": "State taxes",
    "foreign": "Foreign rate differences",
    "credits": "Research credits",
    "other": "Other items",
}


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


def _income_tax(led: Ledger) -> Sequence[Entry]:
    whole = led.tax["tax"]
    names = ("Federal", "State", "Foreign", "Deferred")
    parts = led.split("tax_parts", whole, names, (2.0, 0.6, 1.4, 0.8))
    return [*items(parts, names), total("total", "Total tax", whole)]


def _pretax(led: Ledger) -> Sequence[Entry]:
    whole = led.income["pretax"]
    names = ("Domestic", "Foreign")
    parts = led.split("pretax_parts", whole, names, (1.6, 1.0))
    return [*items(parts, names), total("total", "Income before taxes", whole)]


def _tax_reconciliation(led: Ledger) -> Sequence[Entry]:
    lines = [Entry(key, label, led.tax[key]) for key, label in RECONCILED.items()]
    return [*lines, total("tax", "Provision for income taxes", led.tax["tax"])]


def _tax_rates(led: Ledger) -> Sequence[Entry]:
    pretax = led.income["pretax"]
    names = {**RECONCILED, "statutory": "Statutory rate"}
    lines = [Entry(key, label, led.share_of(led.tax[key], pretax)) for key, label in names.items()]
    return [*lines, total("tax", "Effective tax rate", led.share_of(led.tax["tax"], pretax))]


def _unrecognized_tax(led: Ledger) -> Sequence[Entry]:
    moves = {
        "current_year": "Current year positions",
        "prior_years": "Prior year positions",
        "settlements": "Settlements",
        "lapses": "Lapsed positions",
    }
    return rolled(led.unrecognized_tax, "Opening balance", moves, "Closing balance")


TAXES = (
    Topic(
        name="income_tax",
        block="ScheduleOfComponentsOfIncomeTaxExpenseBenefit",
        subject="income tax",
        about="Components of the provision for income taxes",
        entries=_income_tax,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "tax"},
    ),
    Topic(
        name="pretax_income",
        block="ScheduleOfIncomeBeforeIncomeTaxDomesticAndForeign",
        subject="income before taxes",
        about="Domestic and foreign income before income taxes",
        entries=_pretax,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "pretax"},
    ),
    Topic(
        name="tax_reconciliation",
        block="ScheduleOfEffectiveIncomeTaxRateReconciliationAmount",
        subject="the tax reconciliation",
        about="Reconciliation of the provision for income taxes to the statutory rate",
        entries=_tax_reconciliation,
        sums=(Sum("tax"),),
        ties={"*": "tax.*", "tax": "tax"},
    ),
    Topic(
        name="tax_rates",
        block="ScheduleOfEffectiveIncomeTaxRateReconciliation",
        subject="the effective tax rate",
        about="Reconciliation of the effective tax rate to the statutory rate",
        entries=_tax_rates,
        kind="percent",
        variants=False,  # a statutory rate is the same everywhere
        sums=(Sum("tax"),),
        ties={"*": "tax_rate.*", "tax": "tax_rate"},
    ),
    Topic(
        name="unrecognized_tax",
        block="SummaryOfIncomeTaxContingencies",
        subject="unrecognized tax benefits",
        about="Changes in unrecognized tax benefits",
        entries=_unrecognized_tax,
        held_out=True,
        sums=(Sum("closing", ("opening", "current_year", "prior_years", "settlements", "lapses")),),
        ties={"opening": "unrecognized_tax@-1", "closing": "unrecognized_tax"},
    ),
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
)
