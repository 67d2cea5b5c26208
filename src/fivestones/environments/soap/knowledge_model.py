"""The values of the knowledge base: specialties of conditions, and the vocabulary that they refer to.

The YAML schema they are read from is described in `knowledge.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fivestones.types import Section

Sex = Literal["female", "male"]

KINDS = (
    "symptom", "finding", "vital", "condition", "drug", "test", "plan", "history", "social", "body_site",
    "other",
)  # fmt: skip
FREQUENCIES = (
    "once daily", "twice daily", "three times daily", "four times daily", "at bedtime", "every morning",
    "every 4 hours", "every 6 hours", "every 8 hours", "every 12 hours", "every other day", "once weekly",
    "twice weekly", "every 2 weeks", "once monthly", "every 3 months", "once", "as needed",
    "five times daily",
)  # fmt: skip
DOSE_UNITS = ("mg", "mcg", "g", "units", "mL", "mEq", "puffs", "drops", "%", "IU", "sprays")
SEVERITIES = ("mild", "moderate", "severe")
PLAN_TYPES = ("advice", "referral", "followup", "procedure", "admission", "monitoring", "device", "therapy")
TEST_TYPES = ("lab", "imaging", "procedure")
NOT_IN = ("pregnancy", "child")
# Where a kind always belongs in a note; None: it depends (a home drug is S, a prescribed one P).
SECTION_OF: Mapping[str, Section | None] = {
    "symptom": "S", "history": "S", "social": "S", "finding": "O", "vital": "O", "plan": "P",
}  # fmt: skip
ADULT = 18  # years; below it a drug marked `not_in: [child]` is not given


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One vocabulary concept. Options that do not belong to its kind keep their empty default."""

    key: str
    kind: str
    forms: tuple[str, ...]  # preferred clinical form first; does not repeat `say`
    say: tuple[str, ...] = ()  # spoken verb phrases (module docstring)
    sex: Sex | None = None
    age: tuple[int, int] = (0, 120)  # years, inclusive
    not_pregnant: bool = False
    duration: bool = False
    severity: bool = False
    side: bool = False
    site: tuple[str, ...] = ()  # body_site keys
    system: str | None = None
    reassuring: bool = False  # finding with `normal: true`
    type: str | None = None  # of a test or plan
    unit: str | None = None
    normal: tuple[float, ...] = ()  # lo, hi; blood pressure: sys_lo, sys_hi, dia_lo, dia_hi
    abnormal: tuple[float, ...] = ()
    bands: tuple[tuple[float, ...], ...] = ()  # (age_lo, age_hi, *normal)
    decimals: int = 0
    doses: tuple[str, ...] = ()
    frequency: tuple[str, ...] = ()
    route: str | None = None
    drug_class: str | None = None
    not_in: tuple[str, ...] = ()

    def fits(self, *, age: int, sex: Sex, pregnant: bool = False) -> bool:
        """Whether this concept can apply to such a patient."""
        if self.sex is not None and self.sex != sex:
            return False
        if not self.age[0] <= age <= self.age[1]:
            return False
        if pregnant and (self.not_pregnant or "pregnancy" in self.not_in):
            return False
        return not (age < ADULT and "child" in self.not_in)

    def normal_at(self, age: int) -> tuple[float, ...]:
        """The normal range of a vital at this age (years)."""
        for lo, hi, *normal in self.bands:
            if lo <= age <= hi:
                return tuple(normal)
        return self.normal


@dataclass(frozen=True, slots=True, kw_only=True)
class TestUse:
    """A test of a condition: an expected numeric range, expected findings, or neither."""

    key: str
    range: tuple[float, float] | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrugUse:
    key: str
    doses: tuple[str, ...]  # narrowed for this condition, else the drug's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one diagnosis may look like. All references are vocabulary keys (conditions: see `Knowledge`)."""

    key: str
    name: str
    specialty: str
    forms: tuple[str, ...]  # synonyms, the name not included
    sex: Sex | None
    age: tuple[int, int]
    pregnant: bool
    severities: tuple[str, ...]
    core: tuple[str, ...]
    extra: tuple[str, ...]
    denied: tuple[str, ...]
    history: tuple[str, ...]
    family: tuple[str, ...]
    risks: tuple[str, ...]
    comorbid: tuple[str, ...]
    vitals: Mapping[str, tuple[float, ...]]
    exam: tuple[str, ...]
    tests: tuple[TestUse, ...]
    drugs: tuple[DrugUse, ...]
    plan: tuple[str, ...]
    followup: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specialty:
    name: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    specialties: tuple[Specialty, ...]  # by name
    vocabulary: Mapping[str, Entry]  # every concept that is referred to, conditions included

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return tuple(c for s in self.specialties for c in s.conditions)

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        return tuple(e for e in self.vocabulary.values() if e.kind == kind)
