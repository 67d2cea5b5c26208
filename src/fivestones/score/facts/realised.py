"""The realisation gate: is every fact of a scenario really in a text, and is nothing against it?

Stricter than a score: one fact left out, changed or invented is a fault, and a text with a fault is no data.
A fault reads "cause: what"; causes are few, so that they can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fivestones.score.facts.case import known_quantities
from fivestones.score.facts.compare import Truth, best, contradiction, prepare
from fivestones.score.facts.extract import Mention, read, read_dialogue, turns
from fivestones.score.facts.judge import FactsJudge, Finding
from fivestones.score.facts.lexicon import Lexicon, phrase_stems
from fivestones.score.facts.numbers import same
from fivestones.score.facts.tokens import stem
from fivestones.types import Fact, Message, Task

# What a conversation may not add. Advice and habits come up in any talk, and a place is no statement.
_CHECKED = frozenset({"drug", "condition", "test", "vital", "finding", "symptom", "history"})
_MEASURED = frozenset(
    {"mass", "volume", "tablet", "puff", "unit", "drop", "pair", "temperature", "per_minute", "percent"}
)
_ORDINARY = frozenset({"club", "fit", "run", "scale"})  # stems of findings that any talk has too
_LEAST = 0.9  # of a factor of the judge; honest notes have 1
_FACTORS = {"length": "too long", "echo": "copied", "salad": "no sentences"}


def dialogue_faults(
    facts: Sequence[Fact], dialogue: str, lexicon: Lexicon, allowed: Iterable[str]
) -> list[str]:
    """Of a conversation. allowed: concepts that it may name without their being facts."""
    own = lexicon.overlay({fact.concept: fact.forms for fact in facts})
    truths = [prepare(fact, (fact.section,), own.kind(fact.concept)) for fact in facts]
    mentions = read_dialogue(dialogue, own)
    by_concept: dict[str, list[Mention]] = {}
    for mention in mentions:
        for concept in mention.concepts:
            by_concept.setdefault(concept, []).append(mention)
    faults: list[str] = []
    for i, truth in enumerate(truths):
        others = [t for k, t in enumerate(truths) if k != i and t.fact.concept == truth.fact.concept]
        faults += _fact_faults(truth, by_concept.get(truth.fact.concept, ()), others)
    known = {*(fact.concept for fact in facts), *allowed}
    return faults + _inventions(mentions, known, facts, own) + _numbers(dialogue, truths, own)


def note_faults(judge: FactsJudge, facts: Sequence[Fact], note: Mapping[str, str], context: str) -> list[str]:
    """Of a note, section by section. context: a text that it may quote beside the facts."""
    reference = {"facts": list(facts), "source": context}
    task = Task(id="note", prompt=(Message("user", context),), reference=reference, cluster="note")
    told = [_note_fault(finding) for finding in judge.explain(task, note)]
    return list(dict.fromkeys(fault for fault in told if fault))


def _fact_faults(truth: Truth, mentions: Sequence[Mention], others: Sequence[Truth]) -> list[str]:
    found, name = best(truth, mentions), _name(truth.fact)
    if found.credit == 1.0:
        against = contradiction(truth, mentions, others)
        return [f"contradicted: {name} ({against})"] if against else []
    if found.contradicts:
        return [f"contradicted: {name} ({found.contradicts})"]
    if found.credit:
        return [f"incomplete: {name} (without {', '.join(found.missing)})"]
    return [f"left out: {name}"]


def _inventions(
    mentions: Sequence[Mention], known: set[str], facts: Sequence[Fact], lexicon: Lexicon
) -> list[str]:
    """Concepts from outside the scenario. "The pain", where the fact is "chest pain", is a fact's own word,
    and "it fits" is no seizure."""
    forms = [form for fact in facts for form in fact.forms]
    for concept in known:
        entry = lexicon.concepts.get(concept)
        forms += (concept.replace("_", " "), *(entry.forms if entry else ()))
    phrases = [_ORDINARY, *map(phrase_stems, forms)]
    out = []
    for mention in mentions:
        if not mention.longest or mention.polarity not in ("present", "absent"):
            continue
        if known.intersection(mention.concepts) or lexicon.kind(mention.concepts[0]) not in _CHECKED:
            continue
        words = {stem(w) for w in mention.text.lower().replace("-", " ").split() if len(w) > 2}
        if not any(words <= phrase for phrase in phrases):
            out.append(f"invented: {' '.join(mention.text.split())}")
    return list(dict.fromkeys(out))


def _numbers(dialogue: str, truths: Sequence[Truth], lexicon: Lexicon) -> list[str]:
    """Doses and measurements that no fact has. Ages, dates and times come up in any talk."""
    known = known_quantities((), truths)
    said = [q for _, line in turns(dialogue) for q in read(line, lexicon).quantities]
    strange = [
        q.label
        for q in said
        if q.dimension in _MEASURED and not q.weak and not any(same(q, k) for k in known)
    ]
    return [f"invented number: {label}" for label in dict.fromkeys(strange)]


def _note_fault(finding: Finding) -> str | None:
    """None: nothing is wrong with it."""
    status, _, what = finding.status.partition(":")
    name = f"{(finding.text or finding.name).replace('_', ' ')} (section {finding.field})"
    if finding.kind == "fact":
        match status:
            case "matched":
                return None
            case "partial":
                return f"incomplete: {name} without {what.replace(',', ', ')}"
            case "contradicts":
                return f"contradicted: {name}, {what}"
            case "misplaced":
                return f"misplaced: {name}"
        return f"left out: {name}"
    if finding.kind == "statement" and finding.credit < 1.0:
        if status in ("invented", "repeated", "duplicate", "misplaced"):
            return f"{status}: {name}"
        if status == "contradicts":
            return f"contradicted: {name}"
    if finding.kind == "factor" and finding.credit < _LEAST and finding.name in _FACTORS:
        return f"{_FACTORS[finding.name]}: section {finding.field}"
    return None


def _name(fact: Fact) -> str:
    value = " ".join(part for part in (fact.value, fact.unit) if part)
    site = fact.site.replace("_", " ") if fact.site else None
    own = None if fact.experiencer == "patient" else f"of the {fact.experiencer}"
    denied = "denied" if fact.polarity == "absent" else None
    parts = (fact.concept.replace("_", " "), own, denied, value, fact.side, site, fact.time)
    return " ".join(part for part in parts if part)
