"""The reference note: every fact of the scenario in its section, in concise clinical English."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fivestones.environments.soap.knowledge import Entry
from fivestones.environments.soap.scenario import Item, Scenario
from fivestones.environments.soap.speech import capital, listing, pick, plural
from fivestones.types import Fact


def reference_note(scenario: Scenario, facts: Sequence[Fact], rng: Random) -> dict[str, str]:
    """The four sections. Each fact stands in one clause with all its attributes."""
    if len(facts) < len(scenario.items):
        raise ValueError(f"{len(facts)} facts cannot cover the {len(scenario.items)} items of the scenario")
    return {
        "S": _subjective(scenario, rng),
        "O": _objective(scenario, rng),
        "A": _assessment(scenario.of("assessment"), rng),
        "P": _plan(scenario, rng),
    }


def _subjective(s: Scenario, rng: Random) -> str:
    out = []
    if symptoms := [_symptom(i) for i in s.of("symptom")]:
        opener = pick(rng, ("", "", "Reports ", "Presents with ", "Complains of "))
        out.append(capital(opener + listing(symptoms, "and") + "."))
    if denied := [_name(i.entry) for i in s.of("denied")]:
        opener = pick(rng, ("Denies ", "Denies ", "No "))
        out.append(f"{opener}{listing(denied, 'or')}.")
    if past := [_name(i.entry) for i in s.of("history")]:
        opener = pick(rng, ("PMH: ", "History of ", "Past history: "))
        out.append(f"{opener}{listing(past, 'and')}.")
    if family := [f"{i.relative} with {_name(i.entry)}" for i in s.of("family")]:
        opener = pick(rng, ("FH: ", "Family history: "))
        out.append(f"{opener}{'; '.join(family)}.")
    if social := [_name(i.entry) for i in s.of("social")]:
        out.append(f"Social: {', '.join(social)}.")
    if drugs := [_drug(i) for i in s.of("home_drug")]:
        opener = pick(rng, ("Meds: ", "Takes ", "Home meds: "))
        out.append(f"{opener}{'; '.join(drugs)}.")
    return " ".join(out)


def _objective(s: Scenario, rng: Random) -> str:
    out = []
    if vitals := [f"{_short(i.entry, rng)} {_amount(i)}" for i in s.of("vital")]:
        out.append(capital(", ".join(vitals)) + ".")
    if findings := [_placed(i) for i in s.of("finding") if not i.test]:
        opener = pick(rng, ("", "Exam: ", "On exam, "))
        out.append(capital(opener + "; ".join(findings) + "."))
    out += [capital(f"{_name(i.entry)} {_amount(i)}.") for i in s.of("result")]
    out += [capital(f"{_name(i.test)}: {_placed(i)}.") for i in s.of("finding") if i.test]
    return " ".join(out)


def _assessment(items: Sequence[Item], rng: Random) -> str:
    out = []
    for item in items:
        name = _name(item.entry)
        if item.severity:
            name = pick(rng, (f"{item.severity} {name}", f"{name}, {item.severity}"))
        out.append(capital(f"{pick(rng, ('', '', 'findings consistent with ', 'likely '))}{name}."))
    return " ".join(out)


def _plan(s: Scenario, rng: Random) -> str:
    out = [f"{pick(rng, ('Start', 'Start', 'Prescribe', 'Begin'))} {_drug(i)}." for i in s.of("drug")]
    if orders := [_name(i.entry) for i in s.of("order")]:
        out.append(f"{pick(rng, ('Order', 'Obtain'))} {listing(orders, 'and')}.")
    out += [capital(f"{_name(i.entry)}.") for i in s.of("plan")]
    for item in s.of("followup"):
        number, noun = (item.time or "").split(" ", 1)
        out.append(
            f"{pick(rng, ('Follow up', 'Return visit', 'Recheck'))} in {number} {plural(noun, number)}."
        )
    return " ".join(out)


def _name(entry: Entry) -> str:
    return entry.forms[0]


def _short(entry: Entry, rng: Random) -> str:
    """A vital sign by its usual abbreviation or by its name."""
    abbreviations = [f for f in entry.forms if len(f) <= 4]
    return pick(rng, abbreviations) if abbreviations and rng.random() < 0.7 else entry.forms[0]


def _placed(item: Item) -> str:
    name = _name(item.entry)
    if item.site:
        return f"{name} in the {item.side + ' ' if item.side else ''}{_name(item.site)}"
    return f"{name} on the {item.side}" if item.side else name


def _symptom(item: Item) -> str:
    text = f"{item.severity} {_placed(item)}" if item.severity else _placed(item)
    if item.time:
        number, noun = item.time.split(" ", 1)
        text += f" for {number} {plural(noun, number)}"
    return text


def _amount(item: Item) -> str:
    if item.unit is None:
        return item.value or ""
    return f"{item.value}%" if item.unit == "%" else f"{item.value} {item.unit}"


def _drug(item: Item) -> str:
    return f"{_name(item.entry)} {_amount(item)} {item.time or ''}".strip()
