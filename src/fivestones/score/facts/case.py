"""One task, read once: the truth, and what licenses a note's other statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from fivestones.score.facts.compare import Truth, prepare
from fivestones.score.facts.extract import Extraction, extract, read, read_dialogue, turns
from fivestones.score.facts.lexicon import Lexicon, content_stems
from fivestones.score.facts.numbers import Quantity, quantities, same
from fivestones.score.facts.settings import Settings
from fivestones.score.facts.tokens import tokenize
from fivestones.types import Fact

_FACT_FIELDS = frozenset(f.name for f in dataclass_fields(Fact))
_TERM_WEIGHT = 0.3  # an open word of a reference text beside a recognised fact of weight 1
_NUMBER_WEIGHT = 0.5
NOTHING = "<nothing to report>"  # the term that stands for an uneventful reference
_SHORT = 12  # words; only a short text is nothing but "nothing"
_NOTHING_WORDS = frozenset({"noncontributory", "unremarkable", "unchanged", "none"})
# Where a fact read from the dialogue alone may stand: first the section that answers for it.
_ALSO = {
    "drug": ("P", "S"),
    "condition": ("A", "S", "P"),
    "test": ("P", "O"),
    "history": ("S", "A"),
    "other": ("S", "O", "A", "P"),
}


@dataclass(frozen=True, slots=True)
class Case:
    lexicon: Lexicon  # with the facts' own forms
    truths: tuple[Truth, ...]
    by_concept: Mapping[str, tuple[int, ...]]  # concept -> indices into truths
    terms: Mapping[str, Mapping[tuple[str, bool], float]]  # field -> (open word, negated) -> weight
    numbers: Mapping[
        str, tuple[tuple[Quantity, float], ...]
    ]  # field -> free-standing numbers of the reference
    polarities: Mapping[str, frozenset[str]]  # concept -> polarities in the dialogue and the reference
    sides: Mapping[str, frozenset[str]]  # concept -> sides there
    quantities: tuple[Quantity, ...]  # of facts, dialogue and reference
    stems: frozenset[str]  # content stems of facts, dialogue and reference
    expected_length: Mapping[str, float]  # field -> tokens
    source_ngrams: frozenset[tuple[str, ...]]

    @staticmethod
    def same(a: Quantity, b: Quantity) -> bool:
        return same(a, b)


def as_fact(value: Fact | Mapping[str, Any]) -> Fact:
    """A Fact from its dict; keys that a Fact does not have are left out."""
    if isinstance(value, Fact):
        return value
    known = {k: v for k, v in value.items() if k in _FACT_FIELDS}
    known["forms"] = tuple(known.get("forms") or ())
    return Fact(**known)


def build_case(reference: Mapping[str, Any], lexicon: Lexicon, fields: Sequence[str]) -> Case | None:
    """Read `reference` (see FactsJudge); None when it holds nothing to judge by."""
    source = str(reference.get("source") or "")
    raw_facts = reference.get("facts")
    output = {f: _text(v) for f, v in (reference.get("output") or {}).items() if f in fields}
    facts: list[Fact] = []
    soft = raw_facts is None
    if raw_facts is not None:
        facts = [as_fact(f) for f in raw_facts]
        lexicon = lexicon.overlay({f.concept: f.forms for f in facts})
    elif output:
        facts = [f for name, text in output.items() for f in extract(text, lexicon, name)]
    elif source:
        facts = extract(source, lexicon, dialogue=True)
    else:
        return None
    truths = tuple(
        prepare(
            f,
            _sections(f, lexicon.kind(f.concept), fields, alone=not output and soft),
            lexicon.kind(f.concept),
            soft=soft,
        )
        for f in facts
    )
    by_concept: dict[str, tuple[int, ...]] = {}
    for i, truth in enumerate(truths):
        by_concept[truth.fact.concept] = (*by_concept.get(truth.fact.concept, ()), i)
    polarities, sides = _licence(source, output, lexicon)
    terms, numbers = _open(output, lexicon) if soft and output else ({}, {})
    texts = [source, *output.values(), *(" ".join((f.concept.replace("_", " "), *f.forms)) for f in facts)]
    texts += [" ".join(x for x in (f.value, f.unit, f.site, f.time, f.side) if x) for f in facts]
    said = [text for _, text in turns(source)]
    return Case(
        lexicon=lexicon,
        truths=truths,
        by_concept=by_concept,
        terms=terms,
        numbers=numbers,
        polarities=polarities,
        sides=sides,
        quantities=known_quantities([*said, *output.values()], truths),
        stems=frozenset().union(*(content_stems(t) for t in texts)),
        expected_length=_expected(output, truths, lexicon, fields),
        source_ngrams=_source_ngrams(said),
    )


def _text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else "\n".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )


def _sections(fact: Fact, kind: str, fields: Sequence[str], *, alone: bool) -> tuple[str, ...]:
    """Fields where the fact may stand, the one that answers for its recall first."""
    allowed = (fact.section, *(_ALSO.get(kind, ()) if alone else ()))
    known = tuple(dict.fromkeys(s for s in allowed if s in fields))
    return known or tuple(fields)


def _licence(
    source: str, output: Mapping[str, str], lexicon: Lexicon
) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    polarities: dict[str, set[str]] = {}
    sides: dict[str, set[str]] = {}
    mentions = list(read_dialogue(source, lexicon)) if source else []
    for text in output.values():
        mentions += read(text, lexicon).mentions
    for mention in mentions:
        for concept in mention.concepts:
            polarities.setdefault(concept, set()).add(mention.polarity)
            sides.setdefault(concept, set()).update(mention.sides)
    return {k: frozenset(v) for k, v in polarities.items()}, {k: frozenset(v) for k, v in sides.items()}


def says_nothing(extraction: Extraction) -> bool:
    """ "Noncontributory.", "Within normal limits.", or a short text that only denies."""
    words = [t.text for t in extraction.tokens if t.is_word]
    if len(words) > _SHORT or (
        extraction.quantities and any(q.dimension != "date" for q in extraction.quantities)
    ):
        return False
    if _NOTHING_WORDS & set(words) or ("normal" in words and {"within", "otherwise", "all"} & set(words)):
        return True
    denied = [negated for _, negated in extraction.terms]
    denied += [m.polarity == "absent" for m in extraction.mentions if m.longest]
    return all(denied) and (bool(denied) or bool({"no", "none", "not", "negative"} & set(words)))


def _open(
    output: Mapping[str, str], lexicon: Lexicon
) -> tuple[dict[str, dict[tuple[str, bool], float]], dict[str, tuple[tuple[Quantity, float], ...]]]:
    """Open words and free-standing numbers of the reference, as facts of low weight."""
    terms: dict[str, dict[tuple[str, bool], float]] = {}
    numbers: dict[str, tuple[tuple[Quantity, float], ...]] = {}
    for name, text in output.items():
        extraction = read(text, lexicon)
        terms[name] = dict.fromkeys(extraction.terms, _TERM_WEIGHT)
        if says_nothing(extraction):
            terms[name] = {(NOTHING, False): 1.0, **dict.fromkeys(extraction.terms, _TERM_WEIGHT / 3)}
        numbers[name] = tuple((q, _NUMBER_WEIGHT) for q in extraction.quantities if not q.weak)
    return terms, numbers


def known_quantities(texts: Sequence[str], truths: Sequence[Truth]) -> tuple[Quantity, ...]:
    out = [q for text in texts for q in quantities(text, tokenize(text))]
    for truth in truths:
        out += [*truth.value, *truth.time]
        for form in truth.fact.forms:
            out += quantities(form, tokenize(form))
    seen: dict[tuple[float, float | None, str | None, str], Quantity] = {}
    for q in out:
        seen.setdefault((q.value, q.second, q.unit, q.dimension), q)
    return tuple(seen.values())


def _expected(
    output: Mapping[str, str], truths: Sequence[Truth], lexicon: Lexicon, fields: Sequence[str]
) -> dict[str, float]:
    """Tokens that an honest section needs: the reference's, else an estimate from the facts."""
    out = {}
    for name in fields:
        if name in output:
            out[name] = float(len(tokenize(output[name])))
            continue
        own = [t for t in truths if t.sections[0] == name]
        out[name] = (
            sum(
                4
                + len(t.fact.concept.replace("_", " ").split())
                + 3 * (len(t.value) + len(t.time) + bool(t.fact.side))
                for t in own
            )
            + 12.0
        )
    return out


def _source_ngrams(said: Sequence[str]) -> frozenset[tuple[str, ...]]:
    n = Settings().echo_ngram
    out: set[tuple[str, ...]] = set()
    for line in said:
        norms = [t.norm for t in tokenize(line) if t.text.isalnum()]
        out.update(tuple(norms[i : i + n]) for i in range(len(norms) - n + 1))
    return frozenset(out)
