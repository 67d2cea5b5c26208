"""The facts of a made company: whole dollars (in steps of a thousand), shares and people by year. They obey
the identities of its books: segments and regions sum to revenue, assets are liabilities and equity, every
roll-forward closes at its balance. Tables show them rounded.

Facts come in groups, each made when first asked for, from a random stream of its own: a company of four
tables does not pay for those of forty.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Series = dict[int, int]  # year -> amount
GRAIN = 1000  # dollars
HISTORY = 8  # years, the first of which only opens the roll-forwards


@dataclass(frozen=True, slots=True)
class Profile:
    """Who the company is: what its facts and its tables are made from."""

    slug: str
    name: str
    segments: tuple[str, ...]
    regions: tuple[str, ...]
    last: int  # fiscal year of the latest table
    revenue: int  # dollars, about, in the first year of the history
    short: bool


def grain(amount: float) -> int:
    return round(amount / GRAIN) * GRAIN


def parted(total: int, weights: Sequence[float], step: int = GRAIN) -> list[int]:
    """`total` in as many parts as weights, each a multiple of `step` but for the largest, which takes the
    rest."""
    whole = sum(weights)
    parts = [round(total * w / whole / step) * step for w in weights]
    largest = max(range(len(parts)), key=lambda i: weights[i])
    parts[largest] += total - sum(parts)
    return parts


def key_of(label: str) -> str:
    """'Other current assets' -> 'other_current_assets'."""
    return "_".join("".join(c if c.isalnum() else " " for c in label.lower()).split())


class Ledger:
    """All facts of one company. A fact is a Series; members of a breakdown are keyed by `key_of` their name.

    stream: the seed of its random streams, such as "7:train:12".
    """

    def __init__(self, profile: Profile, stream: str) -> None:
        self.profile = profile
        self.years = tuple(range(profile.last - HISTORY + 1, profile.last + 1))
        self._stream = stream

    def rng(self, group: str) -> random.Random:
        return random.Random(f"{self._stream}:{group}")

    def split(
        self, group: str, total: Series, names: Sequence[str], weights: Sequence[float] | None = None
    ) -> dict[str, Series]:
        """`total` of each year in parts named so, whose weights drift from year to year."""
        rng = self.rng(group)
        now = list(weights) if weights else [rng.uniform(0.6, 2.4) for _ in names]
        parts: dict[str, Series] = {key_of(name): {} for name in names}
        for year in self.years:
            now = [w * rng.uniform(0.86, 1.18) for w in now]
            for series, amount in zip(parts.values(), parted(total[year], now), strict=True):
                series[year] = amount
        return parts

    def share(self, group: str, of: Series, least: float, most: float, jitter: float = 0.12) -> Series:
        """A share of another fact, about as large every year."""
        rng = self.rng(group)
        level = rng.uniform(least, most)
        return {y: grain(of[y] * level * rng.uniform(1 - jitter, 1 + jitter)) for y in self.years}

    # --- operations -----------------------------------------------------------------------------------------

    @cached_property
    def revenue_by_segment(self) -> dict[str, Series]:
        rng = self.rng("segments")
        names = self.profile.segments
        weights = [rng.uniform(0.5, 2.5) for _ in names]
        parts: dict[str, Series] = {}
        for name, weight in zip(names, weights, strict=True):
            amount = self.profile.revenue * weight / sum(weights)
            trend = rng.uniform(-0.02, 0.11)
            parts[key_of(name)] = series = {}
            for year in self.years:
                series[year] = grain(amount)
                amount *= 1 + trend + rng.uniform(-0.09, 0.09)
        return parts

    @cached_property
    def revenue(self) -> Series:
        return {y: sum(s[y] for s in self.revenue_by_segment.values()) for y in self.years}

    @cached_property
    def revenue_by_region(self) -> dict[str, Series]:
        return self.split("regions", self.revenue, self.profile.regions)

    @cached_property
    def revenue_by_quarter(self) -> dict[str, Series]:
        names = ("First quarter", "Second quarter", "Third quarter", "Fourth quarter")
        return self.split("quarters", self.revenue, names, (0.9, 1.0, 1.0, 1.15))

    @cached_property
    def income(self) -> dict[str, Series]:
        """The income statement. Expenses are positive; `other` is income when positive."""
        rng = self.rng("income")
        ratios = {
            "cost": rng.uniform(0.42, 0.66),
            "selling": rng.uniform(0.09, 0.17),
            "research": rng.uniform(0.02, 0.08),
        }
        lines: dict[str, Series] = {
            name: {y: grain(self.revenue[y] * r * rng.uniform(0.93, 1.07)) for y in self.years}
            for name, r in ratios.items()
        }
        lines["revenue"] = self.revenue
        lines["amortization"] = self.intangibles["amortization"]
        lines["restructuring"] = self.restructuring["charges"]
        lines["interest"] = self.debt["interest"]
        level = rng.uniform(0.003, 0.012)
        lines["other"] = {
            y: grain(self.revenue[y] * level * rng.choice((-1, 1, 1)) * rng.uniform(0.5, 1.5))
            for y in self.years
        }
        expenses = ("selling", "research", "amortization", "restructuring")
        lines["gross_profit"] = {y: self.revenue[y] - lines["cost"][y] for y in self.years}
        lines["operating_expenses"] = {y: sum(lines[k][y] for k in expenses) for y in self.years}
        lines["operating_income"] = {
            y: lines["gross_profit"][y] - lines["operating_expenses"][y] for y in self.years
        }
        lines["pretax"] = {
            y: lines["operating_income"][y] - lines["interest"][y] + lines["other"][y] for y in self.years
        }
        return lines

    @cached_property
    def tax(self) -> dict[str, Series]:
        """From the statutory 21% of income before taxes to the tax, line by line; also the tax itself and
        what it leaves."""
        rng = self.rng("tax")
        pretax = self.income["pretax"]
        lines: dict[str, Series] = {"statutory": {y: grain(pretax[y] * 0.21) for y in self.years}}
        for name, least, most in (
            ("state", 0.012, 0.035),
            ("foreign", -0.03, 0.025),
            ("credits", -0.03, -0.008),
            ("other", -0.012, 0.014),
        ):
            lines[name] = {y: grain(pretax[y] * rng.uniform(least, most)) for y in self.years}
        lines["tax"] = {y: sum(line[y] for line in lines.values()) for y in self.years}
        lines["net_income"] = {y: pretax[y] - lines["tax"][y] for y in self.years}
        return lines

    @cached_property
    def net_income(self) -> Series:
        return self.tax["net_income"]

    @cached_property
    def operating_income_by_segment(self) -> dict[str, Series]:
        """Of the segments, and of what belongs to none (`corporate`, an expense)."""
        rng = self.rng("segment_income")
        total = self.income["operating_income"]
        corporate = {y: -grain(self.revenue[y] * rng.uniform(0.012, 0.03)) for y in self.years}
        rest = {y: total[y] - corporate[y] for y in self.years}
        parts = self.split("segment_margins", rest, self.profile.segments)
        return {**parts, "corporate": corporate}

    @cached_property
    def restructuring(self) -> dict[str, Series]:
        """The reserve: opening + charges - payments = closing. There are years without charges."""
        rng = self.rng("restructuring")
        balance = grain(self.revenue[self.years[0]] * rng.uniform(0.003, 0.008))
        lines: dict[str, Series] = {k: {} for k in ("opening", "charges", "payments", "closing")}
        for y in self.years:
            charges = 0 if rng.random() < 0.15 else grain(self.revenue[y] * rng.uniform(0.002, 0.012))
            payments = grain((balance + charges) * rng.uniform(0.35, 0.65))
            row = (balance, charges, -payments, balance + charges - payments)
            for name, amount in zip(lines, row, strict=True):
                lines[name][y] = amount
            balance += charges - payments
        return lines

    # --- what roll-forwards share ---------------------------------------------------------------------------

    def rolled(self, group: str, first: int, moves: Sequence[tuple[str, Series]]) -> dict[str, Series]:
        """opening, the moves (signed), closing: each year opens where the one before closed."""
        lines: dict[str, Series] = {"opening": {}, **dict(moves), "closing": {}}
        balance = first
        for y in self.years:
            lines["opening"][y] = balance
            balance += sum(move[y] for _, move in moves)
            lines["closing"][y] = balance
        return lines

    @cached_property
    def intangibles(self) -> dict[str, Series]:
        """Net: opening + acquired - amortization = closing; `amortization` is positive."""
        rng = self.rng("intangibles")
        balance = grain(self.revenue[self.years[0]] * rng.uniform(0.15, 0.4))
        lines: dict[str, Series] = {k: {} for k in ("opening", "acquired", "amortization", "closing")}
        for y in self.years:
            gone = grain(balance * rng.uniform(0.09, 0.13))
            bought = 0 if rng.random() < 0.2 else grain(self.revenue[y] * rng.uniform(0.01, 0.07))
            row = (balance, bought, gone, balance + bought - gone)
            for name, amount in zip(lines, row, strict=True):
                lines[name][y] = amount
            balance += bought - gone
        return lines

    @cached_property
    def debt(self) -> dict[str, Series]:
        """Principal in four instruments, less issue costs: what is due soon and what is not; the interest."""
        rng = self.rng("debt")
        rate = rng.uniform(0.03, 0.065)
        principal = self.share("principal", self.revenue, 0.22, 0.6)
        costs = self.share("issue_costs", principal, 0.006, 0.015)
        current = self.share("current_debt", principal, 0.05, 0.14)
        total = {y: principal[y] - costs[y] for y in self.years}
        return {
            "principal": principal,
            "costs": {y: -costs[y] for y in self.years},
            "total": total,
            "current": current,
            "long_term": {y: total[y] - current[y] for y in self.years},
            "interest": {y: grain(total[y] * rate * rng.uniform(0.95, 1.05)) for y in self.years},
        }

    @cached_property
    def instruments(self) -> dict[str, Series]:
        names = ("Term loan", "Senior notes", "Convertible notes", "Other borrowings")
        return self.split("instruments", self.debt["principal"], names, (1.5, 3.0, 1.2, 0.6))

    def due(self, group: str, total: Series) -> dict[str, Series]:
        """`total` by when it falls due: in the next five years (`due_1` ..) and after that."""
        rng = self.rng(group)
        lines: dict[str, Series] = {k: {} for k in (*(f"due_{n}" for n in range(1, 6)), "thereafter")}
        for y in self.years:
            parts = parted(total[y], [rng.uniform(0.5, 1.6) for _ in range(5)] + [rng.uniform(1.8, 3.5)])
            for name, amount in zip(lines, parts, strict=True):
                lines[name][y] = amount
        return lines
