"""The rest of a company's facts: its balance sheet, its equity and shares, its cash and its people."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

from fivestones.environments.finqa.world.facts import (
    Operations,
    Series,
    grain,
    minus,
    negative,
    plus,
)


class Ledger(Operations):
    """All facts of one company."""

    # --- assets ---------------------------------------------------------------------------------------------

    @cached_property
    def cash(self) -> Series:
        return self.share("cash", self.revenue, 0.07, 0.22, jitter=0.25)

    @cached_property
    def receivables(self) -> dict[str, Series]:
        """Gross, the roll-forward of the allowance (positive), net."""
        rng = self.rng("allowance")
        gross = self.share("receivables", self.revenue, 0.1, 0.2)
        lines = self.rolled(
            grain(gross[self.years[0]] * rng.uniform(0.03, 0.06)),
            {
                "provision": lambda y, b: grain(gross[y] * rng.uniform(0.012, 0.03)),
                "write_offs": lambda y, b: -grain(b * rng.uniform(0.25, 0.5)),
                "recoveries": lambda y, b: grain(b * rng.uniform(0.03, 0.09)),
            },
        )
        return {**lines, "gross": gross, "net": minus(gross, lines["closing"])}

    @cached_property
    def inventories(self) -> Series:
        return self.share("inventories", self.revenue, 0.07, 0.16)

    @cached_property
    def property(self) -> dict[str, Series]:
        """Net of depreciation."""
        rng = self.rng("property")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.25, 0.5)),
            {
                "additions": lambda y, b: grain(self.revenue[y] * rng.uniform(0.04, 0.08)),
                "disposals": lambda y, b: -grain(b * rng.uniform(0.01, 0.03)),
                "depreciation": lambda y, b: -grain(b * rng.uniform(0.1, 0.14)),
            },
        )

    @cached_property
    def accumulated_depreciation(self) -> Series:
        return self.share("accumulated", self.property["closing"], 0.5, 1.1)

    @cached_property
    def goodwill(self) -> dict[str, Series]:
        rng = self.rng("goodwill")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.15, 0.4)),
            {
                "acquired": lambda y, b: (
                    0 if rng.random() < 0.25 else grain(self.revenue[y] * rng.uniform(0.01, 0.08))
                ),
                "impairment": lambda y, b: 0 if rng.random() < 0.6 else -grain(b * rng.uniform(0.02, 0.08)),
                "currency": lambda y, b: grain(b * rng.choice((-1, 1)) * rng.uniform(0.005, 0.02)),
            },
        )

    @cached_property
    def leases(self) -> dict[str, Series]:
        liability = self.share("leases", self.revenue, 0.05, 0.12)
        interest = self.share("lease_interest", liability, 0.08, 0.2)
        return {
            "asset": self.share("right_of_use", liability, 0.88, 0.97, jitter=0.02),
            "liability": liability,
            "interest": interest,
            "payments": plus(liability, interest),
        }

    @cached_property
    def other_assets(self) -> Series:
        return self.share("other_assets", self.revenue, 0.03, 0.07)

    @cached_property
    def other_current_assets(self) -> Series:
        return self.share("other_current_assets", self.revenue, 0.02, 0.05)

    @cached_property
    def assets(self) -> dict[str, Series]:
        current = plus(self.cash, self.receivables["net"], self.inventories, self.other_current_assets)
        fixed = (self.property, self.goodwill, self.intangibles)
        lasting = plus(*(f["closing"] for f in fixed), self.leases["asset"], self.other_assets)
        return {"current": current, "total": plus(current, lasting)}

    # --- liabilities and equity -----------------------------------------------------------------------------

    @cached_property
    def payables(self) -> Series:
        return self.share("payables", self.revenue, 0.05, 0.11)

    @cached_property
    def accrued(self) -> Series:
        return self.share("accrued", self.revenue, 0.04, 0.09)

    @cached_property
    def contracts(self) -> dict[str, Series]:
        """What customers paid ahead."""
        rng = self.rng("contracts")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.03, 0.08)),
            {
                "billed": lambda y, b: grain(self.revenue[y] * rng.uniform(0.03, 0.07)),
                "recognized": lambda y, b: -grain(b * rng.uniform(0.4, 0.6)),
            },
        )

    @cached_property
    def deferred_tax(self) -> dict[str, Series]:
        """Assets less the valuation allowance, liabilities, and by how much these are more (`net`)."""
        gross = self.share("deferred_assets", self.revenue, 0.02, 0.04)
        allowance = self.share("valuation", gross, 0.08, 0.2)
        net = self.share("deferred_net", self.revenue, 0.01, 0.03)
        assets = minus(gross, allowance)
        return {
            "gross": gross,
            "allowance": negative(allowance),
            "assets": assets,
            "liabilities": plus(assets, net),
            "net": net,
        }

    @cached_property
    def pension(self) -> dict[str, Series]:
        """The obligation's roll-forward, the plan's assets, and by how much these are less (`net`)."""
        rng = self.rng("pension")
        lines = self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.06, 0.14)),
            {
                "service": lambda y, b: grain(b * rng.uniform(0.02, 0.04)),
                "interest": lambda y, b: grain(b * rng.uniform(0.03, 0.05)),
                "actuarial": lambda y, b: grain(b * rng.choice((-1, 1)) * rng.uniform(0.01, 0.06)),
                "benefits": lambda y, b: -grain(b * rng.uniform(0.04, 0.07)),
            },
        )
        assets = self.share("plan_assets", lines["closing"], 0.65, 0.85, jitter=0.05)
        return {**lines, "assets": assets, "net": minus(lines["closing"], assets)}

    @cached_property
    def liabilities(self) -> dict[str, Series]:
        current = plus(self.payables, self.accrued, self.contracts["closing"], self.debt["current"])
        lasting = plus(
            self.debt["long_term"], self.leases["liability"], self.deferred_tax["net"], self.pension["net"]
        )
        return {"current": current, "total": plus(current, lasting)}

    @cached_property
    def accumulated_oci(self) -> dict[str, Series]:
        rng = self.rng("oci")
        parts: dict[str, Series] = {}
        for name, level in (("currency", 0.03), ("hedges", 0.008), ("pensions", 0.015)):
            sign = rng.choice((-1, -1, 1))
            parts[name] = {
                y: grain(sign * self.revenue[y] * level * rng.uniform(0.5, 1.6)) for y in self.years
            }
        return {**parts, "total": plus(*parts.values())}

    @cached_property
    def equity(self) -> dict[str, Series]:
        """The roll-forward. What the other moves leave open was paid for shares, or for which shares were
        issued."""
        rng = self.rng("equity")
        oci = self.accumulated_oci["total"]
        closing = minus(self.assets["total"], self.liabilities["total"])
        comp = self.stock_compensation
        names = ("opening", "net_income", "oci", "compensation", "dividends", "issued", "repurchased")
        lines: dict[str, Series] = {name: {} for name in (*names, "closing")}
        for y in self.years:
            income = self.net_income[y]
            paid = -grain(max(income, 0) * rng.uniform(0.2, 0.5))
            change = oci[y] - oci.get(y - 1, oci[y])
            moves = income + change + comp[y] + paid
            before = closing.get(y - 1, closing[y] - moves)
            rest = closing[y] - before - moves
            row = (before, income, change, comp[y], paid, max(rest, 0), min(rest, 0), closing[y])
            for name, amount in zip(lines, row, strict=True):
                lines[name][y] = amount
        return lines

    @cached_property
    def stock_compensation(self) -> Series:
        return self.share("compensation", self.revenue, 0.006, 0.02)

    # --- shares ---------------------------------------------------------------------------------------------

    @cached_property
    def shares(self) -> dict[str, Series]:
        """Outstanding: the roll-forward; the averages that earnings are divided by."""
        rng = self.rng("shares")
        lines = self.rolled(
            grain(self.revenue[self.years[0]] / rng.uniform(12, 60)),
            {
                "issued": lambda y, b: grain(b * rng.uniform(0.008, 0.02)),
                "repurchased": lambda y, b: 0 if rng.random() < 0.1 else -grain(b * rng.uniform(0.01, 0.04)),
            },
        )
        basic = {y: grain((lines["opening"][y] + lines["closing"][y]) / 2) for y in self.years}
        dilution = {
            # shares that would lessen a loss are left out
            y: 0 if self.net_income[y] < 0 else grain(basic[y] * rng.uniform(0.01, 0.03))
            for y in self.years
        }
        return {**lines, "basic": basic, "dilution": dilution, "diluted": plus(basic, dilution)}

    @cached_property
    def per_share(self) -> dict[str, dict[int, Fraction]]:
        shares = self.shares
        return {
            "basic": {y: Fraction(self.net_income[y], shares["basic"][y]) for y in self.years},
            "diluted": {y: Fraction(self.net_income[y], shares["diluted"][y]) for y in self.years},
            "dividends": {y: Fraction(-self.equity["dividends"][y], shares["basic"][y]) for y in self.years},
        }

    @cached_property
    def options(self) -> dict[str, Series]:
        """Outstanding stock options, in shares."""
        rng = self.rng("options")
        return self.rolled(
            grain(self.shares["opening"][self.years[0]] * rng.uniform(0.03, 0.07)),
            {
                "granted": lambda y, b: grain(b * rng.uniform(0.12, 0.3)),
                "exercised": lambda y, b: -grain(b * rng.uniform(0.08, 0.2)),
                "forfeited": lambda y, b: -grain(b * rng.uniform(0.03, 0.08)),
            },
        )

    # --- cash flows, taxes, people --------------------------------------------------------------------------

    @cached_property
    def cash_flow(self) -> dict[str, Series]:
        """Operations are what the change in cash leaves."""
        first = self.years[0]
        cash = self.cash
        opening = {y: cash.get(y - 1, cash[first]) for y in self.years}
        currency = self.share("cash_currency", cash, -0.02, -0.005)
        bought = negative(plus(self.goodwill["acquired"], self.intangibles["acquired"]))
        spent = negative(self.property["additions"])
        sold = negative(self.property["disposals"])
        total = self.debt["total"]
        borrowed = {y: total[y] - total.get(y - 1, total[first]) for y in self.years}
        stock = plus(self.equity["issued"], self.equity["repurchased"])
        investing = plus(spent, bought, sold)
        financing = plus(borrowed, self.equity["dividends"], stock)
        change = minus(cash, opening)
        return {
            "operating": minus(change, investing, financing, currency),
            "spent": spent,
            "bought": bought,
            "sold": sold,
            "investing": investing,
            "borrowed": borrowed,
            "stock": stock,
            "financing": financing,
            "currency": currency,
            "change": change,
            "opening": opening,
            "closing": cash,
        }

    @cached_property
    def unrecognized_tax(self) -> dict[str, Series]:
        rng = self.rng("unrecognized")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.004, 0.012)),
            {
                "current_year": lambda y, b: grain(b * rng.uniform(0.08, 0.2)),
                "prior_years": lambda y, b: grain(b * rng.uniform(0.03, 0.1)),
                "settlements": lambda y, b: -grain(b * rng.uniform(0.03, 0.12)),
                "lapses": lambda y, b: -grain(b * rng.uniform(0.03, 0.09)),
            },
        )

    @cached_property
    def warranty(self) -> dict[str, Series]:
        rng = self.rng("warranty")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.006, 0.015)),
            {
                "provision": lambda y, b: grain(self.revenue[y] * rng.uniform(0.004, 0.009)),
                "claims": lambda y, b: -grain(b * rng.uniform(0.35, 0.55)),
            },
        )

    @cached_property
    def employees(self) -> Series:
        rng = self.rng("employees")
        each = rng.uniform(1.2e5, 4e5)
        return {y: round(self.revenue[y] / each * rng.uniform(0.93, 1.07)) + 60 for y in self.years}

    def share_of(self, part: Series, whole: Series) -> dict[int, Fraction]:
        """In percent."""
        return {y: Fraction(100 * part[y], whole[y]) for y in self.years}
