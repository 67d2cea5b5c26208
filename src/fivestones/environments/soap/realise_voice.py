"""A voice: who speaks of whom, in which words. Turns templates and items into sentences.

Templates use slots for person ("{I}", "{my}", "{Ive}" ...: the patient, "he"/"she" when a caregiver speaks;
"{you}", "{your}", "{youve}" ...: the same person addressed by the clinician) and for content ({x}, {d}, ...).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from fivestones.environments.soap.facts import SEVERITY_FORMS
from fivestones.environments.soap.knowledge import Entry
from fivestones.environments.soap.scenario import Item, Scenario
from fivestones.environments.soap.speech import (
    capital,
    hesitate,
    pick,
    say_dose,
    say_duration,
    say_frequency,
    say_number,
)

Turn = tuple[str, str]  # speaker: "D" (clinician) or "P" (patient or caregiver), and what is said

_SELF = {
    "I": "I", "Ive": "I've", "Im": "I'm", "Id": "I'd", "my": "my", "me": "me", "have": "have", "s": "",
    "es": "",
    "was": "was", "do": "do", "dont": "don't", "didnt": "didn't", "you": "you", "your": "your",
    "youve": "you've",
    "youre": "you're", "are": "are", "hv": "have", "does": "do", "youd": "you'd", "obj": "you",
}  # fmt: skip
_NUMBER_UNITS = {
    "bpm": ("", " beats a minute", " beats per minute", " bpm"),
    "F": ("", " degrees", " Fahrenheit", " degrees Fahrenheit"),
    "%": (" percent", "%", " percent"),
    "mmHg": ("", "", " millimeters of mercury"),
    "breaths/min": ("", " breaths a minute", " a minute"),
    "lb": (" pounds", " pounds"),
    "kg/m2": ("", ""),
}
_CORRECTIONS = (
    "{wrong}, no wait, {right}", "{wrong}... no, {right}", "{wrong}, sorry, {right}",
    "{wrong}, I mean {right}",
    "{wrong}, hang on, make that {right}", "{wrong}, or no, {right}", "{wrong}, let me correct that, {right}",
    "{wrong}... scratch that, {right}",
)  # fmt: skip


@dataclass(slots=True)
class Voice:
    """The words of one dialogue. `lay`, `spoken`, `slips` and `hesitant` are probabilities."""

    scenario: Scenario
    rng: Random
    lay: float = 0.5  # lay instead of clinical wording, when the patient speaks
    spoken: float = 0.5  # numbers as words
    slips: float = 0.1  # a wrong number corrected at once
    hesitant: float = 0.1
    wordy: float = 1.0  # scales optional words
    used: set[str] = field(default_factory=set)

    # ---- words

    @property
    def third(self) -> bool:
        return self.scenario.caregiver is not None

    def maybe(self, p: float) -> bool:
        return self.rng.random() < p

    def fresh(self, bank: Sequence[str]) -> str:
        """A template that this dialogue has not used, as far as a few draws can tell."""
        for _ in range(6):
            template = pick(self.rng, bank)
            if template not in self.used:
                break
        self.used.add(template)
        return template

    def fill(self, template: str, **content: str) -> str:
        """The sentence of a template, with a capital and an end mark."""
        text = template.format_map(_person(self.scenario.sex if self.third else None) | content)
        text = capital(text.strip())
        return text if text[-1] in ".?!" else text + "."

    def slot(self, name: str) -> str:
        """The word of a person slot: `slot("my")` is "my", "his" or "her"."""
        return _person(self.scenario.sex if self.third else None)[name]

    def say(self, bank: Sequence[str], **content: str) -> str:
        return self.fill(self.fresh(bank), **content)

    def um(self, text: str) -> str:
        """Perhaps with a hesitation in front."""
        if not self.maybe(self.hesitant):
            return text
        head = text[:1] if text[:2] in ("I ", "I'") or text[1:2].isupper() else text[:1].lower()
        return f"{capital(hesitate(self.rng))}, {head}{text[1:]}"

    # ---- content

    def name(self, entry: Entry, lay: float | None = None) -> str:
        """A form of a concept: the clinical one, or with probability `lay` one of the others."""
        forms = entry.forms
        if len(forms) > 1 and self.rng.random() < (self.lay if lay is None else lay):
            return pick(self.rng, forms[1:])
        return forms[0]

    def verb(self, entry: Entry) -> str | None:
        """A spoken verb phrase, when there is one: they are in the patient's own person ("my", "you")."""
        return pick(self.rng, entry.say) if entry.say and not self.third else None

    def place(self, item: Item, whose: str) -> str:
        """ " in my left knee", " on the right side" or nothing."""
        if item.site:
            site = item.site.forms[0]
            return f" in {whose} {item.side} {site}" if item.side else f" in {whose} {site}"
        if item.side:
            return pick(self.rng, (f" on the {item.side} side", f" on the {item.side}"))
        return ""

    def severity(self, item: Item) -> str:
        return pick(self.rng, SEVERITY_FORMS[item.severity]) if item.severity else ""

    def duration(self, time: str) -> str:
        right = say_duration(time, self.rng, self.spoken)
        if not self.maybe(self.slips):
            return right
        number, noun = time.split(" ", 1)
        return self.corrected(say_duration(f"{self.other(number)} {noun}", self.rng, self.spoken), right)

    def dose(self, item: Item, slips: bool = True) -> str:
        assert item.value is not None and item.unit is not None
        right = say_dose(item.value, item.unit, self.rng, self.spoken)
        if not slips or "/" in item.value or not self.maybe(self.slips):
            return right
        return self.corrected(say_dose(self.other(item.value), item.unit, self.rng, self.spoken), right)

    def frequency(self, item: Item) -> str:
        return say_frequency(item.time, self.rng) if item.time else ""

    def measure(self, item: Item) -> str:
        """The number of a vital sign or test, with its unit more or less spelled out."""
        assert item.value is not None
        number = say_number(item.value, self.rng, self.spoken)
        if self.maybe(self.slips * 0.6):
            number = self.corrected(say_number(self.other(item.value), self.rng, self.spoken), number)
        if item.unit in _NUMBER_UNITS:
            return number + pick(self.rng, _NUMBER_UNITS[item.unit])
        return f"{number} {item.unit}" if item.unit and self.maybe(0.6) else number

    def corrected(self, wrong: str, right: str) -> str:
        return pick(self.rng, _CORRECTIONS).format(wrong=wrong, right=right)

    def other(self, value: str) -> str:
        """A near, wrong number of the same shape."""
        if "/" in value:
            high, low = value.split("/")
            return f"{int(high) + pick(self.rng, (-10, -8, 6, 10, 12))}/{low}"
        if "." in value:
            return f"{float(value) + pick(self.rng, (1, 2)):.{len(value.split('.')[1])}f}"
        n = int(value)
        if n >= 10 and n % 5 == 0:  # a dose: another usual strength
            return str(
                pick(
                    self.rng, (n + 5, n + 10, 2 * n) if n % 10 else (n + 10, n // 2 if n > 10 else 15, 2 * n)
                )
            )
        return str(n + 1 + self.rng.randint(0, 1) if n < 5 or self.maybe(0.5) else n - 1)


@lru_cache(maxsize=4)
def _person(sex: str | None) -> dict[str, str]:
    if sex is None:
        return _SELF
    he, his, him = ("he", "his", "him") if sex == "male" else ("she", "her", "her")
    return {
        "I": he, "Ive": f"{he}'s", "Im": f"{he}'s", "Id": f"{he}'d", "my": his, "me": him, "have": "has",
        "s": "s",
        "es": "es", "was": "was", "do": "does", "dont": "doesn't", "didnt": "didn't", "you": he, "your": his,
        "youve": f"{he}'s", "youre": f"{he}'s", "are": "is", "hv": "has", "does": "does", "youd": f"{he}'d",
        "obj": him,
    }  # fmt: skip


_HEAD = re.compile(r" (?:of|in|with|on|from|around|when|during|after|at|behind|under|to|for|while|near) ")


@lru_cache(maxsize=8192)
def this(phrase: str) -> str:
    """ "this" or "these", by the head of a noun phrase: "these chills", "this pain in the joints"."""
    head = _HEAD.split(phrase, maxsplit=1)[0]
    return "these" if re.search(r"[^suiaos]s$|[aeo]es$|ies$|feet$", head) else "this"


@lru_cache(maxsize=8192)
def article(phrase: str) -> str:
    """ "a" or "an" by sound: "an MRI", "a CT scan", "an echocardiogram"."""
    if re.match(r"[A-Z]{2,}|[xX]-", phrase):
        return "an" if phrase[0] in "AEFHILMNORSXx" else "a"
    return "an" if phrase[0].lower() in "aeiou" and not phrase.startswith(("uni", "uri", "eu")) else "a"
