"""Tables by segment and by region."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import minus
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import Entry, Sum, Topic, items, total


def _revenue_by_segment(led: Ledger) -> Sequence[Entry]:
    lines = items(led.revenue_by_segment, led.profile.segments)
    return [*lines, total("total", "Total revenue", led.revenue)]


def _revenue_by_region(led: Ledger) -> Sequence[Entry]:
    parts = led.split("regions", led.revenue, led.profile.regions)
    return [*items(parts, led.profile.regions), total("total", "Total revenue", led.revenue)]


def _revenue_mix(led: Ledger) -> Sequence[Entry]:
    return [
        Entry(key, name, led.share_of(series, led.revenue))
        for (key, series), name in zip(led.revenue_by_segment.items(), led.profile.segments, strict=True)
    ]


def _margins(led: Ledger) -> Sequence[Entry]:
    return [
        Entry(key, name, led.share_of(led.operating_income_by_segment[key], revenue))
        for (key, revenue), name in zip(led.revenue_by_segment.items(), led.profile.segments, strict=True)
    ]


def _operating_income_by_segment(led: Ledger) -> Sequence[Entry]:
    lines = items(led.operating_income_by_segment, (*led.profile.segments, "Corporate"))
    return [*lines, total("total", "Total operating income", led.income["operating_income"])]


def _capital_spending(led: Ledger) -> Sequence[Entry]:
    whole = led.property["additions"]
    parts = led.split("capital_spending", whole, led.profile.segments)
    return [*items(parts, led.profile.segments), total("total", "Total capital spending", whole)]


def _depreciation_by_segment(led: Ledger) -> Sequence[Entry]:
    whole = minus(led.income["amortization"], led.property["depreciation"])
    parts = led.split("segment_depreciation", whole, led.profile.segments)
    return [*items(parts, led.profile.segments), total("total", "Total depreciation", whole)]


def _assets_by_segment(led: Ledger) -> Sequence[Entry]:
    names = (*led.profile.segments, "Corporate")
    parts = led.split("segment_assets", led.assets["total"], names)
    return [*items(parts, names), total("total", "Total assets", led.assets["total"])]


def _employees_by_region(led: Ledger) -> Sequence[Entry]:
    parts = led.split("employee_regions", led.employees, led.profile.regions, step=1)
    return [*items(parts, led.profile.regions), total("total", "Total employees", led.employees)]


def _employees_by_segment(led: Ledger) -> Sequence[Entry]:
    parts = led.split("employee_segments", led.employees, led.profile.segments, step=1)
    return [*items(parts, led.profile.segments), total("total", "Total employees", led.employees)]


SEGMENTS = (
    Topic(
        name="revenue_by_segment",
        block="DisaggregationOfRevenue",
        subject="revenue by segment",
        about="Disaggregation of revenue by reportable segment",
        entries=_revenue_by_segment,
        core=True,
        short=True,
        sums=(Sum("total"),),
        ties={"*": "revenue.*", "total": "revenue"},
    ),
    Topic(
        name="revenue_mix",
        block="ScheduleOfRevenueBySegmentAsPercentOfTotal",
        subject="segment shares of revenue",
        about="Share of each reportable segment in revenue",
        entries=_revenue_mix,
        kind="percent",
        ties={"*": "revenue_share.*"},
    ),
    Topic(
        name="margin_by_segment",
        block="ScheduleOfSegmentOperatingMargin",
        subject="operating margin by segment",
        about="Operating margin by reportable segment",
        entries=_margins,
        kind="percent",
        short=True,
        ties={"*": "margin.*"},
    ),
    Topic(
        name="operating_income_by_segment",
        block="ReconciliationOfOperatingProfitLossFromSegmentsToConsolidated",
        subject="operating income by segment",
        about="Operating income by reportable segment",
        entries=_operating_income_by_segment,
        short=True,
        sums=(Sum("total"),),
        ties={"*": "operating_income.*", "total": "operating_income"},
    ),
    Topic(
        name="capital_spending",
        block="ScheduleOfSegmentCapitalExpenditures",
        subject="capital spending by segment",
        about="Additions to property by reportable segment",
        entries=_capital_spending,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "property_additions"},
    ),
    Topic(
        name="depreciation_by_segment",
        block="ScheduleOfSegmentDepreciationAndAmortization",
        subject="depreciation and amortization by segment",
        about="Depreciation and amortization by reportable segment",
        entries=_depreciation_by_segment,
        sums=(Sum("total"),),
        ties={"total": "depreciation_and_amortization"},
    ),
    Topic(
        name="assets_by_segment",
        block="ReconciliationOfAssetsFromSegmentToConsolidated",
        subject="assets by segment",
        about="Total assets by reportable segment",
        entries=_assets_by_segment,
        instant=True,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "assets"},
    ),
    Topic(
        name="revenue_by_region",
        block="RevenueFromExternalCustomersByGeographicAreas",
        subject="revenue by region",
        about="Revenue from external customers by region",
        entries=_revenue_by_region,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "revenue"},
    ),
    Topic(
        name="employees_by_region",
        block="ScheduleOfEmployeesByRegion",
        subject="employees by region",
        about="Employees at the end of the year by region",
        entries=_employees_by_region,
        kind="employees",
        instant=True,
        short=True,
        sums=(Sum("total"),),
        ties={"total": "employees"},
    ),
    Topic(
        name="employees_by_segment",
        block="ScheduleOfEmployeesBySegment",
        subject="employees by segment",
        about="Employees at the end of the year by reportable segment",
        entries=_employees_by_segment,
        kind="employees",
        instant=True,
        sums=(Sum("total"),),
        ties={"total": "employees"},
    ),
)
