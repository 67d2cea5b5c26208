"""The facts of a made company: whole dollars (in steps of a thousand), shares and people by year. They obey
the identities of its books: segments and regions sum to revenue, assets are liabilities and equity, every
roll-forward closes at its balance. Tables show them rounded.

Facts come in groups, each made when first asked for, from a random stream of its own: a company of four
tables does not pay for those of forty.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

Series = dict[int, int]  # year -> amount
Move = Callable[[int, int], int]  # (year, balance so far) -> what is added
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


def plus(*series: Mapping[int, int]) -> Series:
    return {y: sum(s[y] for s in series) for y in series[0]}


def minus(one: Mapping[int, int], *rest: Mapping[int, int]) -> Series:
    return {y: one[y] - sum(s[y] for s in rest) for y in one}


def negative(series: Mapping[int, int]) -> Series:
    return {y: -amount for y, amount in series.items()}


class Maker:
    """How facts are made: random streams, shares, parts and roll-forwards.

    stream: the seed of its random streams, such as "7:train:12".
    """

    def __init__(self, profile: Profile, stream: str) -> None:
        self.profile = profile
        self.years = tuple(range(profile.last - HISTORY + 1, profile.last + 1))
        self._stream = stream

    def rng(self, group: str) -> random.Random:
        return random.Random(f"{self._stream}:{group}")

    def split(
        self,
        group: str,
        total: Series,
        labels: Sequence[str],
        weights: Sequence[float] | None = None,
        step: int = GRAIN,
    ) -> dict[str, Series]:
        """`total` of each year in parts labelled so, whose weights drift from year to year."""
        rng = self.rng(group)
        now = list(weights) if weights else [rng.uniform(0.6, 2.4) for _ in labels]
        parts: dict[str, Series] = {key_of(label): {} for label in labels}
        for year in self.years:
            now = [w * rng.uniform(0.86, 1.18) for w in now]
            for series, amount in zip(parts.values(), parted(total[year], now, step), strict=True):
                series[year] = amount
        return parts

    def share(self, group: str, of: Series, least: float, most: float, jitter: float = 0.12) -> Series:
        """A share of another fact, about as large every year."""
        rng = self.rng(group)
        level = rng.uniform(least, most)
        return {y: grain(of[y] * level * rng.uniform(1 - jitter, 1 + jitter)) for y in self.years}

    def rolled(self, first: int, moves: Mapping[str, Move]) -> dict[str, Series]:
        """A roll-forward: opening, the moves (signed; each made from the year and the balance so far),
        closing. Every year opens where the one before closed."""
        lines: dict[str, Series] = {"opening": {}, **{name: {} for name in moves}, "closing": {}}
        balance = first
        for y in self.years:
            lines["opening"][y] = balance
            for name, move in moves.items():
                lines[name][y] = amount = move(y, balance)
                balance += amount
            lines["closing"][y] = balance
        return lines

    def due(self, group: str, total: Series) -> dict[str, Series]:
        """`total` by when it falls due: in each of the next five years (`due_1` ..) and after that."""
        rng = self.rng(group)
        lines: dict[str, Series] = {k: {} for k in (*(f"due_{n}" for n in range(1, 6)), "thereafter")}
        for y in self.years:
            parts = parted(total[y], [rng.uniform(0.5, 1.6) for _ in range(5)] + [rng.uniform(1.8, 3.5)])
            for name, amount in zip(lines, parts, strict=True):
                lines[name][y] = amount
        return lines


class Operations(Maker):
    """Revenue, expenses, income and tax."""

    @cached_property
    def revenue_by_segment(self) -> dict[str, Series]:
        rng = self.rng("segments")
        labels = self.profile.segments
        weights = [rng.uniform(0.5, 2.5) for _ in labels]
        parts: dict[str, Series] = {}
        for label, weight in zip(labels, weights, strict=True):
            amount = self.profile.revenue * weight / sum(weights)
            trend = rng.uniform(-0.02, 0.11)
            parts[key_of(label)] = series = {}
            for year in self.years:
                series[year] = grain(amount)
                amount *= 1 + trend + rng.uniform(-0.09, 0.09)
        return parts

    @cached_property
    def revenue(self) -> Series:
        return plus(*self.revenue_by_segment.values())

    @cached_property
    def restructuring(self) -> dict[str, Series]:
        """The reserve. There are years without charges."""
        rng = self.rng("restructuring")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.004, 0.008)),
            {
                "charges": lambda y, b: (
                    0 if rng.random() < 0.15 else grain(self.revenue[y] * rng.uniform(0.004, 0.012))
                ),
                "payments": lambda y, b: -grain(b * rng.uniform(0.35, 0.65)),
            },
        )

    @cached_property
    def intangibles(self) -> dict[str, Series]:
        """Net of amortization."""
        rng = self.rng("intangibles")
        return self.rolled(
            grain(self.revenue[self.years[0]] * rng.uniform(0.15, 0.4)),
            {
                "acquired": lambda y, b: (
                    0 if rng.random() < 0.2 else grain(self.revenue[y] * rng.uniform(0.01, 0.07))
                ),
                "amortization": lambda y, b: -grain(b * rng.uniform(0.09, 0.13)),
            },
        )

    @cached_property
    def debt(self) -> dict[str, Series]:
        """Principal less issue costs, what of it is due soon and what is not; the interest."""
        rng = self.rng("debt")
        rate = rng.uniform(0.03, 0.065)
        principal = self.share("principal", self.revenue, 0.22, 0.6)
        costs = self.share("issue_costs", principal, 0.006, 0.015)
        current = self.share("current_debt", principal, 0.05, 0.14)
        total = minus(principal, costs)
        return {
            "principal": principal,
            "costs": negative(costs),
            "total": total,
            "current": current,
            "long_term": minus(total, current),
            "interest": {y: grain(total[y] * rate * rng.uniform(0.95, 1.05)) for y in self.years},
        }

    @cached_property
    def income(self) -> dict[str, Series]:
        """The income statement as far as the tax. Expenses are positive; `other` is income when positive."""
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
        lines["amortization"] = negative(self.intangibles["amortization"])
        lines["restructuring"] = self.restructuring["charges"]
        lines["interest"] = self.debt["interest"]
        level = rng.uniform(0.004, 0.012)
        lines["other"] = {
            y: grain(self.revenue[y] * level * rng.choice((-1, 1, 1)) * rng.uniform(0.5, 1.5))
            for y in self.years
        }
        lines["gross_profit"] = minus(self.revenue, lines["cost"])
        lines["operating_expenses"] = plus(
            *(lines[k] for k in ("selling", "research", "amortization", "restructuring"))
        )
        lines["operating_income"] = minus(lines["gross_profit"], lines["operating_expenses"])
        lines["pretax"] = minus(plus(lines["operating_income"], lines["other"]), lines["interest"])
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
            ("foreign", -0.03, -0.01),
            ("credits", -0.03, -0.008),
            ("other", 0.004, 0.014),
        ):
            lines[name] = {y: grain(pretax[y] * rng.uniform(least, most)) for y in self.years}
        lines["tax"] = plus(*lines.values())
        lines["net_income"] = minus(pretax, lines["tax"])
        return lines

    @cached_property
    def net_income(self) -> Series:
        return self.tax["net_income"]

    @cached_property
    def operating_income_by_segment(self) -> dict[str, Series]:
        """Of the segments, and of what belongs to none (`corporate`, an expense)."""
        rng = self.rng("segment_income")
        corporate = {y: -grain(self.revenue[y] * rng.uniform(0.012, 0.03)) for y in self.years}
        rest = minus(self.income["operating_income"], corporate)
        weights = [rng.uniform(0.6, 2.4) for _ in self.profile.segments]
        if rng.random() < 0.25:  # a segment that loses money
            weights[rng.randrange(len(weights))] = -0.2
        parts = self.split("segment_margins", rest, self.profile.segments, weights)
        return {**parts, "corporate": corporate}
