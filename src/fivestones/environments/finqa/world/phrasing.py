"""How questions are worded: several phrasings a family; those with a star are for the test split only."""

from __future__ import annotations

from dataclasses import dataclass

from fivestones.environments.finqa.world.drafts import Draft

_TEXTS = {
    "lookup": (
        "What was {company}'s {label} ({subject}) in {year}?",
        "In {company}'s {subject}, what was {label} for {year}?",
        "What did {company} report for {label} under {subject} in {year}?",
        "* {subject} of {company}: how much was {label} in {year}?",
        "* For {year}, which figure does {company} show for {label} in {subject}?",
    ),
    "conversion": (
        "Convert {company}'s {label} ({subject}) of {year}.",
        "Restate {label} from {company}'s {subject} for {year}.",
        "* How much is {company}'s {label} ({subject}) of {year} when converted?",
    ),
    "net change": (
        "In {company}'s {subject}, by how much did {label} change from {year} to {year2}?",
        "What was the change in {company}'s {label} ({subject}) from {year} to {year2}?",
        "* {company}, {subject}: subtract {label} of {year} from that of {year2}.",
    ),
    "growth": (
        "In {company}'s {subject}, by what percentage did {label} change from {year} to {year2}?",
        "What was the growth of {company}'s {label} ({subject}) from {year} to {year2}?",
        "* {company}, {subject}: how fast did {label} grow between {year} and {year2}?",
    ),
    "CAGR": (
        "What was the compound annual growth rate of {company}'s {label} ({subject}) from {year} to {year2}?",
        "In {company}'s {subject}, find the CAGR of {label} from {year} to {year2}.",
        "* {company}, {subject}: at what compound yearly rate did {label} grow from {year} to {year2}?",
    ),
    "spread": (
        "In {company}'s {subject} for {year}, how much higher was {label} than {label2}?",
        "By how much did {label} exceed {label2} in {company}'s {subject} in {year}?",
        "* {company}, {subject}, {year}: what is {label} less {label2}?",
    ),
    "sum": (
        "In {company}'s {subject}, what were {label} and {label2} together in {year}?",
        "What is the sum of {label} and {label2} in {company}'s {subject} for {year}?",
        "* {company}, {subject}, {year}: add {label} and {label2}.",
    ),
    "share": (
        "In {company}'s {subject}, what share of {label2} was {label} in {year}?",
        "What percentage of {label2} did {label} make up in {company}'s {subject} for {year}?",
        "* {company}, {subject}, {year}: express {label} as a percentage of {label2}.",
    ),
    "ratio": (
        "In {company}'s {subject}, what was the ratio of {label} to {label2} in {year}?",
        "Divide {label} by {label2} in {company}'s {subject} for {year}.",
        "* {company}, {subject}, {year}: how many times {label2} is {label}?",
    ),
    "sum over years": (
        "In {company}'s {subject}, what was {label} in total over {year} to {year2}?",
        "Add up {company}'s {label} ({subject}) for all years from {year} to {year2}.",
        "* {company}, {subject}: what does {label} come to over {year} through {year2}?",
    ),
    "mix shift": (
        "In {company}'s {subject}, how did the share of {label} in {label2} change from {year} to {year2}?",
        "How did {label} as a percentage of {label2} shift from {year} to {year2} in {company}'s {subject}?",
        "* {company}, {subject}: change in the weight of {label} in {label2}, {year} to {year2}?",
    ),
    "average": (
        "* In {company}'s {subject}, what was the average of {label} over {year} and {year2}?",
        "* {company}, {subject}: what is the mean of {label} for {year} and {year2}?",
    ),
    "coverage": (
        "How many times did {company}'s {a} cover its {b} in {year}?",
        "What was the coverage of {b} by {a} at {company} in {year}?",
        "* {company}, {year}: divide {a} by {b}.",
    ),
    "share across": (
        "What percentage of {b} was {company}'s {a} in {year}?",
        "For {company} in {year}, what was {a} as a percentage of {b}?",
        "* {company}, {year}: express {a} as a share of {b}.",
    ),
    "gap across": (
        "How much higher was {company}'s {a} than its {b} in {year}?",
        "For {company} in {year}, by how much did {a} exceed {b}?",
        "* {company}, {year}: what is {a} less {b}?",
    ),
    "growth gap": (
        "By how much did the growth of {company}'s {a} exceed that of its {b} from {year} to {year2}?",
        "From {year} to {year2}, what was {company}'s growth of {a} less its growth of {b}?",
        "* {company}, {year} to {year2}: growth of {a} minus growth of {b}?",
    ),
    "mix shift across": (
        "By how much did {company}'s {a} as a percentage of {b} change from {year} to {year2}?",
        "For {company}, how did the ratio of {a} to {b} shift from {year} to {year2}?",
        "* {company}: shift of {a} relative to {b}, {year} to {year2}?",
    ),
    "weighted average": (
        "What was {company}'s average of {b} over {labels} in {year}, weighted by {a}?",
        "For {company} in {year}, weight {b} of {labels} by {a}: what is the average?",
        "* {company}, {year}: mean of {b} over {labels} with weights from {a}?",
    ),
    "common size": (
        "What were {company}'s {parts} in {year}, each as a percentage of {b}?",
        "For {company} in {year}, give {parts} as percentages of {b}.",
        "* {company}, {year}: size {parts}, each against {b}.",
    ),
    "combined share": (
        "What percentage of {company}'s {c} were {a} and {b} together in {year} and {year2}?",
        "For {company} in {year} and {year2}, what was the sum of {a} and {b} as a percentage of {c}?",
        "* {company}, {year} and {year2}: {a} plus {b}, over {c}?",
    ),
    "growth of several": (
        "How much did {company}'s {parts} grow from {year} to {year2}?",
        "From {year} to {year2}, what was the growth of each of {company}'s {parts}?",
        "* {company}, {year} to {year2}: growth rates of {parts}?",
    ),
}


@dataclass(frozen=True, slots=True)
class Phrasing:
    id: str  # "growth-2"
    text: str  # with {slots}
    held_out: bool


def phrasings(family: str, test: bool) -> tuple[Phrasing, ...]:
    """Those of a split: training and validation never see the ones held out."""
    every = tuple(
        Phrasing(f"{family.replace(' ', '-').lower()}-{n}", text.removeprefix("* "), text.startswith("* "))
        for n, text in enumerate(_TEXTS[family], 1)
    )
    return every if test else tuple(p for p in every if not p.held_out)


def worded(phrasing: Phrasing, company: str, draft: Draft) -> str:
    """The question. How the answer is wanted comes last."""
    slots = {key: slot.removeprefix("the ").replace("(the ", "(") for key, slot in draft.slots.items()}
    question = phrasing.text.format(company=company, **slots)
    question = question[0].upper() + question[1:]
    if len(draft.fields) > 1:
        keys = "; ".join(f"{key}: ..." for key, _ in draft.fields)
        return f"{question} Answer {draft.ask}, as {keys}"
    return f"{question} Answer {draft.ask}." if draft.ask else question
