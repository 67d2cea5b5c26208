"""The facts of a scenario: what its note must say, and what it must not contradict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from fivestones.environments.soap.scenario import FOLLOW_UP, SECTIONS, Scenario
from fivestones.types import Concept, Fact

# A severity is a fact of its own, so that "mild" for "severe" is a miss without losing the symptom.
SEVERITY_FORMS = {
    "mild": ("mild", "slight", "not too bad", "a little bit"),
    "moderate": ("moderate", "moderately severe", "fairly bad", "middling"),
    "severe": ("severe", "really bad", "terrible", "awful", "intense"),
}
_CRITICAL = ("assessment", "drug")


def extra_concepts() -> list[Concept]:
    """Lexicon entries for the concepts that facts use beside those of the knowledge base."""
    out = [Concept(name=FOLLOW_UP.key, kind="plan", forms=FOLLOW_UP.forms, section="P")]
    return out + [Concept(name=f"severity_{k}", kind="other", forms=v) for k, v in SEVERITY_FORMS.items()]


def facts_of(scenario: Scenario) -> tuple[Fact, ...]:
    """One fact for each item, and one for each severity, in the order of the sections."""
    out: list[Fact] = []
    for n, item in enumerate(scenario.items):
        section = SECTIONS[item.role]
        forms = FOLLOW_UP.forms if item.role == "followup" else ()
        out.append(
            Fact(
                id=f"{section}{n}",
                section=section,
                concept=item.entry.key,
                forms=forms,
                polarity="absent" if item.role == "denied" else "present",
                value=item.value,
                unit=item.unit,
                side=item.side,
                site=item.site.key if item.site else None,
                time=item.time,
                experiencer=item.relative or "patient",
                critical=item.role in _CRITICAL or n == 0,
            )
        )
        if item.severity:
            out.append(
                Fact(
                    id=f"{section}{n}s",
                    section=section,
                    concept=f"severity_{item.severity}",
                    forms=SEVERITY_FORMS[item.severity],
                    weight=0.5,
                )
            )
    return tuple(sorted(out, key=lambda f: "SOAP".index(f.section)))


def signature(facts: Iterable[Fact], condition: str) -> str:
    """Uniqueness key of a row: equal for equal conditions with equal sets of attribute values."""
    values = sorted(json.dumps(_attributes(f)) for f in facts)
    return f"{condition}:{hashlib.sha256('|'.join(values).encode()).hexdigest()[:16]}"


def _attributes(f: Fact) -> Sequence[str | None]:
    return (f.section, f.concept, f.polarity, f.value, f.unit, f.side, f.site, f.time, f.experiencer)


def to_dict(fact: Fact) -> dict[str, Any]:
    """JSON-ready, without fields at their defaults: `Fact(**to_dict(f))` is `f` (forms become a list)."""
    out: dict[str, Any] = {}
    for field in fields(fact):
        value = getattr(fact, field.name)
        if value != field.default:
            out[field.name] = list(value) if isinstance(value, tuple) else value
    return out
