"""A scenario: one imaginary visit, drawn from the knowledge base under its constraints.

A scenario is a tuple of items; each item becomes one fact (two when it carries a severity), so what is drawn
here is exactly what the note must hold. Distractors are things people mention that belong in no section.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from fivestones.environments.soap.knowledge import Condition, Entry, Knowledge, Sex, TestUse
from fivestones.environments.soap.speech import pick

Length = Literal["short", "long"]
Role = Literal[
    "symptom", "denied", "history", "family", "social", "home_drug",  # S
    "vital", "finding", "result",  # O
    "assessment",  # A
    "drug", "order", "plan", "followup",  # P
    "neighbour", "old_drug", "other_drug",  # distractors, in no section
]  # fmt: skip
SECTIONS: dict[str, str] = {
    "symptom": "S", "denied": "S", "history": "S", "family": "S", "social": "S", "home_drug": "S",
    "vital": "O", "finding": "O", "result": "O", "assessment": "A",
    "drug": "P", "order": "P", "plan": "P", "followup": "P",
}  # fmt: skip
AGE_BANDS = ((0, 5), (6, 17), (18, 39), (40, 64), (65, 92))
FACTS = {"short": (7, 11), "long": (18, 35)}  # how many facts a scenario of this length yields
CAREGIVEN_BELOW = 12  # years; below it an adult speaks for the patient
FOLLOW_UP = Entry(
    key="follow_up",
    kind="plan",
    forms=("follow up", "follow-up", "return visit", "see you back", "see you again", "come back", "recheck"),
    type="followup",
)


@dataclass(frozen=True, slots=True)
class Item:
    role: Role
    entry: Entry
    value: str | None = None
    unit: str | None = None
    side: str | None = None
    site: Entry | None = None
    time: str | None = None  # "3 day" or "twice daily"
    severity: str | None = None
    relative: str | None = None  # who has it, when not the patient
    test: Entry | None = None  # the test that a finding comes from


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The scenario group of a row: all rows of one cell stay in one split."""

    condition: str
    age: tuple[int, int]
    sex: Sex
    severity: str

    @property
    def group(self) -> str:
        return f"{self.condition}/{self.age[0]}-{self.age[1]}/{self.sex}/{self.severity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    condition: str
    specialty: str
    age: int  # years
    sex: Sex
    pregnant: bool
    severity: str
    caregiver: str | None  # who speaks for the patient: mother, father, daughter ...
    length: Length
    items: tuple[Item, ...]
    distractors: tuple[Item, ...]

    def of(self, *roles: Role) -> tuple[Item, ...]:
        return tuple(i for i in self.items if i.role in roles)


def cells(condition: Condition) -> tuple[Cell, ...]:
    """All groups of a condition: at least two, so that both splits can hold it."""
    low, high = condition.age[0], min(condition.age[1], AGE_BANDS[-1][1])
    low = min(low, high)
    bands = [(max(low, a), min(high, b)) for a, b in AGE_BANDS if a <= high and b >= low]
    sexes: tuple[Sex, ...] = (condition.sex,) if condition.sex else ("female", "male")
    if len(bands) * len(sexes) * len(condition.severities) < 2:
        ((a, b),) = bands
        middle = (a + b) // 2
        bands = [(a, middle), (middle + 1, max(b, middle + 1))]
    return tuple(
        Cell(condition=condition.key, age=band, sex=sex, severity=severity)
        for band in bands for sex in sexes for severity in condition.severities
    )  # fmt: skip


def draw(
    kb: Knowledge, condition: Condition, rng: Random, length: Length = "short", cell: Cell | None = None
) -> Scenario:
    """One scenario of `condition` (of `cell`, when given), within every constraint of the knowledge base."""
    return _Draw(kb, condition, rng, length, cell or pick(rng, cells(condition))).scenario()


class _Draw:
    """The state of one draw: who the patient is, and which concepts are already used."""

    def __init__(self, kb: Knowledge, condition: Condition, rng: Random, length: Length, cell: Cell) -> None:
        self.kb, self.condition, self.rng, self.length, self.cell = kb, condition, rng, length, cell
        self.age = rng.randint(*cell.age)
        self.used = {condition.key}
        self.long = length == "long"
        self.side = pick(rng, ("left", "right"))  # one for the whole visit: pain and findings agree
        self.sites: set[str] = set()  # body sites named so far; later items prefer them

    # ---- choosing

    def fits(self, entry: Entry) -> bool:
        return entry.fits(age=self.age, sex=self.cell.sex, pregnant=self.condition.pregnant)

    def choose(self, keys: Iterable[str], n: int, *, anyone: bool = False) -> list[Entry]:
        """Up to `n` unused concepts that fit the patient (`anyone`: or that need not)."""
        pool = [self.kb.vocabulary[k] for k in keys if k not in self.used]
        pool = [e for e in pool if anyone or self.fits(e)]
        chosen = self.rng.sample(pool, min(n, len(pool)))
        self.used.update(e.key for e in chosen)
        return chosen

    def some(self, low: int, high: int) -> int:
        return self.rng.randint(low, high)

    # ---- the visit

    def scenario(self) -> Scenario:
        c, rng = self.condition, self.rng
        caregiver = None
        if self.age < CAREGIVEN_BELOW:
            caregiver = pick(rng, ("mother", "mother", "father", "grandmother"))
        elif self.age >= 74 and rng.random() < 0.3:
            caregiver = pick(rng, ("daughter", "son"))
        used_first = {d.key for d in c.drugs} | {t.key for t in c.tests}
        items = self.symptoms()
        self.used |= used_first  # what this condition prescribes or tests is never also a home drug
        items += self.background(caregiver)
        self.used -= used_first
        tests = [t for t in rng.sample(c.tests, len(c.tests)) if self.fits(self.kb.vocabulary[t.key])]
        items += self.objective(tests)
        severe = self.cell.severity if rng.random() < (0.7 if self.long else 0.45) else None
        items.append(Item("assessment", self.kb.vocabulary[c.key], severity=severe))
        items += self.plan([t for t in tests if t.key not in self.used])
        return Scenario(
            condition=c.key, specialty=c.specialty, age=self.age, sex=self.cell.sex, pregnant=c.pregnant,
            severity=self.cell.severity, caregiver=caregiver, length=self.length,
            items=tuple(self.sized(items)), distractors=tuple(self.distractors()),
        )  # fmt: skip

    def symptoms(self) -> list[Item]:
        c, rng = self.condition, self.rng
        first = self.choose(c.core, 1) or self.choose(c.extra, 1)
        rest = self.choose((*c.core, *c.extra), self.some(3, 5) if self.long else self.some(1, 2))
        items: list[Item] = []
        span = self.durations()
        for n, entry in enumerate((*first, *rest)):
            item = Item("symptom", entry)
            if entry.duration and (n == 0 or rng.random() < (0.5 if self.long else 0.2)):
                item = replace(item, time=span[min(n, len(span) - 1)])
            item = self.placed(item)
            if entry.severity and n == 0 and rng.random() < (0.6 if self.long else 0.35):
                item = replace(item, severity=self.cell.severity)
            items.append(item)
        denied = self.choose(c.denied, self.some(3, 5) if self.long else self.some(1, 2))
        return items + [Item("denied", e) for e in denied]

    def durations(self) -> list[str]:
        """Plausible durations, longest first: a condition seen again in days is acute, in months chronic."""
        number, noun = self.condition.followup[0].split()
        noun = noun.rstrip("s")
        ranges = {
            "day": [("day", 1, 9), ("hour", 3, 20)],
            "week": [("day", 2, 13), ("week", 2, 6)]
            if int(number) < 4
            else [("week", 2, 11), ("month", 2, 9)],
            "month": [("week", 3, 10), ("month", 2, 11)],
            "year": [("month", 3, 11), ("year", 2, 8)],
        }[noun]
        if self.age < 3:
            ranges = [("day", 1, 12), ("day", 2, 6)]
        unit, low, high = pick(self.rng, ranges)
        numbers = sorted((self.some(low, high) for _ in range(3)), reverse=True)
        return [f"{n} {unit}" for n in numbers]

    def background(self, caregiver: str | None) -> list[Item]:
        """History, family, social and home drugs: one of them when short, most of them when long."""
        parts = [self.past, self.drugs_at_home, self.relatives, self.social]
        if self.long:
            return [item for part in parts for item in part(caregiver)]
        self.rng.shuffle(parts)
        for part in parts:
            if items := part(caregiver)[:1]:
                return items
        return []

    def past(self, _: str | None) -> list[Item]:
        c = self.condition
        n = self.some(1, 3) if self.long else 1
        return [Item("history", e) for e in self.choose(dict.fromkeys((*c.history, *c.comorbid)), n)]

    def social(self, _: str | None) -> list[Item]:
        return [
            Item("social", e) for e in self.choose(self.condition.risks, self.some(0, 2) if self.long else 1)
        ]

    def relatives(self, caregiver: str | None) -> list[Item]:
        items = []
        women, men = ["mother", "sister", "grandmother"], ["father", "brother", "grandfather"]
        if self.age < CAREGIVEN_BELOW:
            women, men = ["mother", "grandmother", "aunt"], ["father", "grandfather", "uncle"]
        for entry in self.choose(self.condition.family, self.some(1, 2) if self.long else 1, anyone=True):
            pool = women if entry.sex == "female" else men if entry.sex == "male" else women + men
            pool = [p for p in pool if p != caregiver]
            items.append(Item("family", entry, relative=pick(self.rng, pool)))
        return items

    def drugs_at_home(self, caregiver: str | None) -> list[Item]:
        """Drugs taken for something else, that is for another condition that such a patient can have."""
        pool: list[str] = []
        for _ in range(16):
            other = pick(self.rng, pick(self.rng, self.kb.specialties).conditions)
            low, high = other.age
            if other.sex in (None, self.cell.sex) and low <= self.age <= high and not other.pregnant:
                drugs = (self.kb.vocabulary[d.key] for d in other.drugs)
                pool += [d.key for d in drugs if d.route == "oral" and set(d.frequency) & set(_REGULAR)]
        chosen = self.choose(dict.fromkeys(pool), self.some(1, 2) if self.long else 1)
        return [self.dosed("home_drug", e, e.doses, _REGULAR) for e in chosen]

    def dosed(self, role: Role, entry: Entry, doses: Sequence[str], among: Sequence[str] = ()) -> Item:
        value, unit = pick(self.rng, doses).split(" ", 1) if doses else (None, None)
        often = [f for f in entry.frequency if not among or f in among] or list(entry.frequency)
        return Item(role, entry, value=value, unit=unit, time=pick(self.rng, often) if often else None)

    def objective(self, tests: Sequence[TestUse]) -> list[Item]:
        c, rng = self.condition, self.rng
        abnormal = [self.kb.vocabulary[k] for k in c.vitals]
        common = [e for e in self.kb.of_kind("vital") if e.key not in c.vitals and e.key in _COMMON_VITALS]
        rng.shuffle(abnormal)
        rng.shuffle(common)
        n = self.some(3, 5) if self.long else self.some(1, 2)
        items = [self.vital(e) for e in (*abnormal, *common)[:n] if e.normal]
        self.used.update(i.entry.key for i in items)
        for entry in self.choose(c.exam, self.some(2, 3) if self.long else 1):
            items.append(self.finding(entry))
        done = 0
        for use in tests:
            if done >= (2 if self.long else int(rng.random() < 0.25)):
                break
            if found := self.result(use):
                items.append(found)
                done += 1
        return items

    def finding(self, entry: Entry, test: Entry | None = None) -> Item:
        return self.placed(Item("finding", entry, test=test))

    def placed(self, item: Item) -> Item:
        """With a side and a site, where the concept takes them and its own words do not say so already."""
        side = self.side if item.entry.side and self.rng.random() < 0.8 else None
        sites = item.entry.site if self.rng.random() < 0.8 else ()
        known = [k for k in sites if k in self.sites or k in self.condition.key.split("_")]
        site = self.kb.vocabulary[pick(self.rng, known or sites)] if sites else None
        self.sites |= {site.key} if site else set()
        if any("left" in f or "right" in f for e in (item.entry, site) if e for f in e.forms):
            side = None
        return replace(item, side=side, site=site)

    def vital(self, entry: Entry) -> Item:
        rng, limits = self.rng, self.condition.vitals.get(entry.key) or entry.normal_at(self.age)
        if len(limits) == 4:
            high = rng.randint(int(limits[0]), int(limits[1]))
            low = min(rng.randint(int(limits[2]), int(limits[3])), high - 20)  # a plausible pulse pressure
            return Item("vital", entry, value=f"{high}/{low}", unit=entry.unit)
        return Item("vital", entry, value=self.number(limits[0], limits[1], entry.decimals), unit=entry.unit)

    def number(self, low: float, high: float, decimals: int) -> str:
        scale: int = 10**decimals
        n = self.rng.randint(round(low * scale), max(round(low * scale), round(high * scale)))
        return f"{n / scale:.{decimals}f}" if decimals else str(n)

    def result(self, use: TestUse) -> Item | None:
        entry = self.kb.vocabulary[use.key]
        if use.key in self.used:
            return None
        if use.range:
            self.used.add(use.key)
            return Item("result", entry, value=self.number(*use.range, entry.decimals), unit=entry.unit)
        found = self.choose(use.findings, 1)
        if not found:
            return None
        self.used.add(use.key)
        return self.finding(found[0], entry)

    def plan(self, tests: Sequence[TestUse]) -> list[Item]:
        c, rng = self.condition, self.rng
        doses = {d.key: d.doses for d in c.drugs}
        drugs = [
            self.dosed("drug", e, doses[e.key] or e.doses)
            for e in self.choose(doses, self.some(1, 2) if self.long else 1)
        ]
        orders = self.choose(
            [t.key for t in tests], self.some(1, 2) if self.long else int(rng.random() < 0.3)
        )
        rest = [k for k in c.plan if self.kb.vocabulary[k].type != "followup"]
        plans = self.choose(rest, self.some(2, 3) if self.long else (0 if drugs and orders else 1))
        items = drugs + [Item("order", e) for e in orders] + [Item("plan", e) for e in plans]
        if self.long or not items or rng.random() < 0.6:
            number, noun = pick(rng, c.followup).split()
            items.append(Item("followup", FOLLOW_UP, time=f"{number} {noun.rstrip('s')}"))
        return items

    # ---- the size

    def sized(self, items: list[Item]) -> list[Item]:
        """Drop or add the least telling items until the number of facts is right."""
        low, high = FACTS[self.length]
        high = high if self.long else self.some(9, high)
        for role in ("vital", "denied", "symptom", "order", "plan", "social", "finding"):
            while count(items) > high and sum(i.role == role for i in items) > 1:
                items.remove([i for i in items if i.role == role][-1])
        for role in ("order", "vital", "denied", "followup", "plan"):
            section = sum(SECTIONS[i.role] == SECTIONS[role] for i in items)
            if count(items) > FACTS[self.length][1] and section > 1:
                items = [i for i in items if i.role != role]
        missing = low - count(items)
        if missing > 0:
            for item in self.more(missing):
                at = max(n for n, i in enumerate(items) if SECTIONS[i.role] == SECTIONS[item.role])
                items.insert(at + 1, item)
        return items

    def more(self, n: int) -> list[Item]:
        """`n` further items that fit nearly everybody: normal vitals, then denied symptoms."""
        vitals = [e for e in self.kb.of_kind("vital") if e.key in _COMMON_VITALS and e.key not in self.used]
        items = [self.vital(e) for e in vitals[: (n + 1) // 2]]
        self.used.update(i.entry.key for i in items)
        denied = [*self.condition.denied, *self.rng.sample(_COMMON_SYMPTOMS, len(_COMMON_SYMPTOMS))]
        mine = {*self.condition.core, *self.condition.extra}
        pool = [k for k in dict.fromkeys(denied) if k in self.kb.vocabulary and k not in mine]
        return items + [Item("denied", e) for e in self.choose(pool, n - len(items))]

    def distractors(self) -> list[Item]:
        """A neighbour's complaint, a drug stopped long ago, somebody else's drug: never used concepts."""
        symptoms = [e.key for e in self.kb.of_kind("symptom")]
        drugs = [e.key for e in self.kb.of_kind("drug")]
        items = [
            Item("neighbour", e) for e in self.choose(self.rng.sample(symptoms, min(8, len(symptoms))), 1)
        ]
        roles: tuple[Role, ...] = ("old_drug", "other_drug")
        others = self.choose(self.rng.sample(drugs, min(12, len(drugs))), 2)
        items += [Item(role, e) for role, e in zip(roles, others, strict=False)]
        return items


def count(items: Sequence[Item]) -> int:
    """How many facts these items yield."""
    return len(items) + sum(i.severity is not None for i in items)


_REGULAR = ("once daily", "twice daily", "at bedtime", "every morning", "three times daily", "once weekly")
_COMMON_VITALS = ("temp", "bp", "hr", "rr", "spo2", "weight")
_COMMON_SYMPTOMS = (
    "fever", "chills", "cough", "chest_pain", "shortness_of_breath", "nausea", "vomiting", "diarrhea",
    "headache", "rash", "dizziness", "abdominal_pain", "weight_loss", "night_sweats", "palpitations",
)  # fmt: skip
