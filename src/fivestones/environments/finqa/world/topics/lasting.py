"""Tables of what lasts: property, goodwill, intangible assets, pensions."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.finqa.world.facts import negative, plus
from fivestones.environments.finqa.world.ledger import Ledger
from fivestones.environments.finqa.world.topics.topic import (
    Entry,
    Sum,
    Topic,
    breakdown,
    due,
    items,
    rolled,
    total,
)

PLANT = ("Land", "Buildings", "Machinery", "Software")
INTANGIBLES = ("Customer relationships", "Technology", "Trade names")


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


LASTING = (
    Topic(
        name="property",
        block="PropertyPlantAndEquipment",
        subject="property",
        about="Property, plant and equipment by class",
        entries=_property,
        instant=True,
        sums=(
            Sum("gross", ("land", "buildings", "machinery", "software")),
            Sum("net", ("gross", "accumulated")),
        ),
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
    breakdown(
        "property_by_region",
        "LongLivedAssetsByGeographicAreas",
        "property by region",
        "Long-lived assets by region",
        _property_by_region,
        "property",
        short=True,
    ),
    Topic(
        name="goodwill",
        block="ScheduleOfGoodwill",
        subject="goodwill",
        about="Changes in the carrying amount of goodwill",
        entries=_goodwill,
        sums=(Sum("closing", ("opening", "acquired", "impairment", "currency")),),
        ties={"opening": "goodwill@-1", "closing": "goodwill"},
    ),
    breakdown(
        "goodwill_by_segment",
        "ScheduleOfGoodwillBySegment",
        "goodwill by segment",
        "Carrying amount of goodwill by reportable segment",
        _goodwill_by_segment,
        "goodwill",
        short=True,
    ),
    breakdown(
        "intangibles",
        "ScheduleOfFiniteLivedIntangibleAssets",
        "intangible assets",
        "Carrying amount of intangible assets by class",
        _intangibles,
        "intangibles",
    ),
    Topic(
        name="intangible_changes",
        block="FiniteLivedIntangibleAssetsRollforward",
        subject="changes in intangible assets",
        about="Changes in intangible assets, net",
        entries=_intangible_changes,
        sums=(Sum("closing", ("opening", "acquired", "amortization")),),
        ties={"opening": "intangibles@-1", "amortization": "-amortization", "closing": "intangibles"},
    ),
    breakdown(
        "amortization_due",
        "ScheduleofFiniteLivedIntangibleAssetsFutureAmortizationExpense",
        "future amortization",
        "Expected amortization of intangible assets",
        _amortization_due,
        "intangibles",
        years="one",
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
)
