"""Tables of equity, shares and what they earn."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, items, rolled, total

QUARTERS = ("First quarter", "Second quarter", "Third quarter", "Fourth quarter")
FUNCTIONS = ("Cost of sales", "Selling", "Research")


def _equity(led: Ledger) -> Sequence[Entry]:
    moves = {
        "net_income": "Net income",
        "oci": "Other comprehensive income (loss)",
        "compensation": "Stock-based compensation",
        "dividends": "Dividends declared",
        "issued": "Shares issued",
        "repurchased": "Shares repurchased",
    }
    return rolled(led.equity, "Opening equity", moves, "Closing equity")


def _oci(led: Ledger) -> Sequence[Entry]:
    lines = led.accumulated_oci
    names = ("Currency translation", "Cash flow hedges", "Pension adjustments")
    parts = {k: lines[k] for k in ("currency", "hedges", "pensions")}
    return [*items(parts, names), total("total", "Total accumulated income (loss)", lines["total"])]


def _stock_compensation(led: Ledger) -> Sequence[Entry]:
    whole = led.stock_compensation
    return [
        *items(led.split("stock_compensation", whole, FUNCTIONS), FUNCTIONS),
        total("total", "Total stock compensation", whole),
    ]


def _per_share(led: Ledger) -> Sequence[Entry]:
    lines = led.per_share
    return [
        Entry("basic", "Basic earnings", lines["basic"]),
        Entry("diluted", "Diluted earnings", lines["diluted"]),
        Entry("dividends", "Dividends", lines["dividends"]),
    ]


def _dividends(led: Ledger) -> Sequence[Entry]:
    rng, year = led.rng("dividends"), led.per_share["dividends"]
    parts: list[dict[int, Fraction]] = [{} for _ in QUARTERS]
    for y, amount in year.items():
        weights = [rng.randint(90, 115) for _ in QUARTERS]
        for part, weight in zip(parts, weights, strict=True):
            part[y] = amount * Fraction(weight, sum(weights))
    lines = [
        Entry(f"q{i}", name, part) for i, (name, part) in enumerate(zip(QUARTERS, parts, strict=True), 1)
    ]
    return [*lines, total("total", "Full year", year)]


def _average_shares(led: Ledger) -> Sequence[Entry]:
    shares = led.shares
    return [
        Entry("basic", "Basic shares", shares["basic"]),
        Entry("dilution", "Dilutive shares", shares["dilution"]),
        total("diluted", "Diluted shares", shares["diluted"]),
    ]


def _shares(led: Ledger) -> Sequence[Entry]:
    moves = {"issued": "Shares issued", "repurchased": "Shares repurchased"}
    return rolled(led.shares, "Opening shares", moves, "Closing shares")


def _options(led: Ledger) -> Sequence[Entry]:
    moves = {"granted": "Granted", "exercised": "Exercised", "forfeited": "Forfeited"}
    return rolled(led.options, "Opening options", moves, "Closing options")


EQUITY = (
    Topic(
        name="equity",
        block="ScheduleOfStockholdersEquity",
        subject="changes in equity",
        about="Changes in stockholders' equity",
        entries=_equity,
        sums=(
            Sum(
                "closing",
                ("opening", "net_income", "oci", "compensation", "dividends", "issued", "repurchased"),
            ),
        ),
        ties={
            "opening": "equity@-1",
            "net_income": "net_income",
            "compensation": "stock_compensation",
            "dividends": "-dividends",
            "closing": "equity",
        },
    ),
    Topic(
        name="accumulated_oci",
        block="ScheduleOfAccumulatedOtherComprehensiveIncomeLoss",
        subject="accumulated other comprehensive income",
        about="Accumulated other comprehensive income (loss)",
        entries=_oci,
        instant=True,
        sums=(Sum("total"),),
    ),
    Topic(
        name="stock_compensation",
        block="ScheduleOfEmployeeServiceShareBasedCompensationAllocationOfRecognizedPeriodCosts",
        subject="stock compensation",
        about="Stock-based compensation expense",
        entries=_stock_compensation,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "stock_compensation"},
    ),
    Topic(
        name="earnings_per_share",
        block="ScheduleOfEarningsPerShareBasicAndDiluted",
        subject="earnings per share",
        about="Earnings and dividends per share",
        entries=_per_share,
        kind="usd_per_share",
        core=True,
        short=True,
        ties={"basic": "eps_basic", "diluted": "eps_diluted", "dividends": "dividends_per_share"},
    ),
    Topic(
        name="dividends_by_quarter",
        block="DividendsDeclared",
        subject="dividends by quarter",
        about="Dividends declared per share by quarter",
        entries=_dividends,
        kind="usd_per_share",
        sums=(Sum("total"),),
        ties={"total": "dividends_per_share"},
    ),
    Topic(
        name="average_shares",
        block="ScheduleOfWeightedAverageNumberOfShares",
        subject="average shares",
        about="Weighted average number of shares",
        entries=_average_shares,
        kind="shares",
        core=True,
        short=True,
        sums=(Sum("diluted", ("basic", "dilution")),),
        ties={"basic": "shares_basic", "diluted": "shares_diluted"},
    ),
    Topic(
        name="shares",
        block="ScheduleOfCommonStockOutstandingRollForward",
        subject="shares outstanding",
        about="Changes in common shares outstanding",
        entries=_shares,
        kind="shares",
        short=True,
        sums=(Sum("closing", ("opening", "issued", "repurchased")),),
        ties={"opening": "shares@-1", "closing": "shares"},
    ),
    Topic(
        name="stock_options",
        block="ScheduleOfShareBasedCompensationStockOptionsActivity",
        subject="stock options",
        about="Stock option activity",
        entries=_options,
        kind="shares",
        short=True,
        held_out=True,
        sums=(Sum("closing", ("opening", "granted", "exercised", "forfeited")),),
        ties={"opening": "options@-1", "closing": "options"},
    ),
)
