"""A scenario in words, for a prompt: who the patient is, and each fact with the wordings that count as it."""

from __future__ import annotations

from collections.abc import Sequence

from fivestones.environments.soap.facts import SEVERITY_FORMS
from fivestones.environments.soap.knowledge import Entry
from fivestones.environments.soap.scenario import SECTIONS, Item, Role, Scenario
from fivestones.environments.soap.speech import plural

_COUNTED = ("units", "puffs", "drops", "sprays")
_WORDINGS = 5  # of a concept that are shown
_LEAD: dict[Role, str] = {
    "symptom": "the patient has",
    "denied": "the patient does NOT have",
    "history": "in the patient's past",
    "family": "in the family",
    "social": "about the patient's life",
    "home_drug": "the patient already takes",
    "vital": "measured",
    "finding": "found on examination",
    "result": "test result",
    "assessment": "the clinician's diagnosis",
    "drug": "the clinician prescribes",
    "order": "the clinician orders",
    "plan": "the clinician's plan",
    "followup": "the patient is to be seen again",
}
_PASSING: dict[Role, str] = {
    "neighbour": "somebody the patient knows has or had",
    "old_drug": "years ago, and stopped long since, the patient took",
    "other_drug": "somebody else in the house takes",
}


def patient(scenario: Scenario) -> str:
    """Age, sex, who speaks."""
    years = f"{scenario.age}-year-old" if scenario.age else "Infant under one year old, a"
    parts = [f"Patient: {years} {scenario.sex}{', pregnant' if scenario.pregnant else ''}."]
    if scenario.caregiver:
        parts.append(f"The {scenario.caregiver} speaks for the patient, who says nothing.")
    return " ".join(parts)


def facts(scenario: Scenario, *, spoken: bool) -> str:
    """A line a fact, in the order of the sections. spoken: for a conversation; else with the section, for a
    note."""
    ordered = sorted(scenario.items, key=lambda item: "SOAP".index(SECTIONS[item.role]))
    return "\n".join(f"- {_line(item, spoken=spoken)}" for item in ordered)


def passing(scenario: Scenario) -> str:
    """What may be mentioned although it is no fact of the patient; empty when there is nothing."""
    lines = [f"{_PASSING[item.role]} {_names(item.entry, spoken=True)}" for item in scenario.distractors]
    if not lines:
        return ""
    return (
        "- One of these may come up in passing, clearly as not being about the patient's health today: "
        f"{'; '.join(lines)}."
    )


def _line(item: Item, *, spoken: bool) -> str:
    lead = _LEAD[item.role]
    if item.role == "family":
        lead = f"the patient's {item.relative} has or had"
    if item.test:
        lead = f"result of {item.test.forms[0]}"
    text = f"{lead}: {_names(item.entry, spoken=spoken)}{_attributes(item)}"
    return text if spoken else f"{SECTIONS[item.role]}: {text}"


def _names(entry: Entry, *, spoken: bool) -> str:
    forms = (*entry.forms, *entry.say) if spoken else entry.forms
    return _quoted(list(dict.fromkeys(forms))[:_WORDINGS])


def _quoted(forms: Sequence[str]) -> str:
    return " or ".join(f'"{form}"' for form in forms)


def _attributes(item: Item) -> str:
    out = []
    if item.value:
        unit = item.unit or ""
        counted = unit[:-1] if item.value == "1" and unit in _COUNTED else unit
        out.append(f"{item.value}{'' if unit in ('', '%') else ' '}{counted}")
    if item.site:
        out.append(f"in the {item.side + ' ' if item.side else ''}{item.site.forms[0]}")
    elif item.side:
        out.append(f"on the {item.side}")
    if item.time:
        out.append(_time(item))
    if item.severity:
        out.append(f"of severity {_quoted(SEVERITY_FORMS[item.severity][:3])}")
    return f"; {'; '.join(out)}" if out else ""


def _time(item: Item) -> str:
    time = item.time or ""
    if item.role in ("home_drug", "drug"):
        return time
    number, noun = time.split(" ", 1)
    return f"{'in' if item.role == 'followup' else 'for'} {number} {plural(noun, number)}"
