"""One fact against one mention: what agrees, what is missing, what contradicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fivestones.score.facts.clauses import RELATIVES
from fivestones.score.facts.extract import Mention
from fivestones.score.facts.lexicon import phrase_stems
from fivestones.score.facts.numbers import Quantity, canonical, parse, same
from fivestones.types import Fact

CONCEPT_SHARE = 0.5  # credit for the concept alone; the rest is shared by the attributes
_OPPOSITE = {
    "positive": "negative",
    "negative": "positive",
    "normal": "abnormal",
    "abnormal": "normal",
    "mild": "severe",
    "severe": "mild",
}
_RELATIVES = frozenset(RELATIVES.values())


@dataclass(frozen=True, slots=True)
class Truth:
    """A fact with its attributes parsed once, and the sections where it may stand."""

    fact: Fact
    sections: tuple[str, ...]
    value: tuple[Quantity, ...]
    time: tuple[Quantity, ...]
    value_stems: frozenset[str]  # for a value that is not a number
    time_stems: frozenset[str]
    site_stems: frozenset[str]
    kind: str
    soft: bool = False  # read from a text, not stated by a scenario: only doses contradict critically

    @property
    def weight(self) -> float:
        return self.fact.weight * (2.0 if self.fact.critical else 1.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    credit: float  # [0, 1]; 0 when contradicting
    missing: tuple[str, ...] = ()
    contradicts: str | None = None  # polarity, experiencer, side, value, time, site
    mention: Mention | None = None


def prepare(fact: Fact, sections: tuple[str, ...], kind: str, *, soft: bool = False) -> Truth:
    value = tuple(canonical(fact.value, fact.unit)) if fact.value else ()
    time = tuple(q for q in parse(fact.time) if q.dimension in ("time", "rate")) if fact.time else ()
    return Truth(
        fact=fact,
        sections=sections,
        value=value,
        time=time,
        value_stems=phrase_stems(fact.value) if fact.value and not value else frozenset(),
        time_stems=phrase_stems(fact.time) if fact.time and not time else frozenset(),
        site_stems=phrase_stems(fact.site.replace("_", " ")) if fact.site else frozenset(),
        kind=kind,
        soft=soft,
    )


def _experiencers_agree(fact: str, mention: str) -> bool:
    if fact == mention:
        return True
    family = {fact, mention} <= _RELATIVES
    return family and bool({fact, mention} & {"family", "parent", "sibling"})


def compare(truth: Truth, mention: Mention) -> Comparison:
    """Credit of a mention of the fact's concept; attributes count only inside the mention's clause."""
    fact = truth.fact
    if mention.polarity in ("conditional", "asked") and truth.kind not in ("plan", "test", "drug"):
        return Comparison(0.0, mention=mention)
    if not _experiencers_agree(fact.experiencer, mention.experiencer):
        return Comparison(0.0, contradicts="experiencer", mention=mention)
    missing: list[str] = []
    needed = 0
    for name, verdict in (
        ("side", _side(fact.side, mention)),
        ("value", _quantity(truth.value, truth.value_stems, mention, ("time", "rate", "date", "age"))),
        ("time", _quantity(truth.time, truth.time_stems, mention, None)),
        ("site", _site(truth, mention)),
    ):
        if verdict is None:
            continue
        needed += 1
        if verdict == "against":
            return Comparison(0.0, contradicts=name, mention=mention)
        if not verdict:
            missing.append(name)
    polarity = mention.polarity if mention.polarity in ("present", "absent") else "present"
    if polarity != fact.polarity:
        # nested phrases ("pain" in "chest pain") may help but never contradict
        return Comparison(0.0, contradicts="polarity" if mention.longest else None, mention=mention)
    share = 1.0 - len(missing) / needed if needed else 1.0
    return Comparison(CONCEPT_SHARE + (1 - CONCEPT_SHARE) * share, tuple(missing), mention=mention)


def _side(side: str | None, mention: Mention) -> bool | str | None:
    if side is None:
        return None
    if side in mention.sides or (side == "both" and {"left", "right"} <= mention.sides):
        return True
    return "against" if mention.sides and mention.longest else False


def _site(truth: Truth, mention: Mention) -> bool | str | None:
    """The body site, by its concept or its words; one that names a side ("right upper quadrant") keeps it."""
    site = truth.fact.site
    if site is None:
        return None
    if site in mention.near:
        return True
    named = {"left", "right"} & set(site.lower().replace("_", " ").split())
    if named and mention.longest and mention.sides and not named & mention.sides:
        return "against"
    return truth.site_stems <= mention.stems and named <= mention.stems


def _quantity(
    wanted: Sequence[Quantity], stems: frozenset[str], mention: Mention, skip: tuple[str, ...] | None
) -> bool | str | None:
    if stems:
        if stems <= mention.stems:
            return True
        opposite = {_OPPOSITE[s] for s in stems if s in _OPPOSITE}
        return "against" if opposite & mention.stems else False
    if not wanted:
        return None
    if any(same(w, q) for w in wanted for q in mention.quantities):
        return True
    dimensions = {w.dimension for w in wanted}
    own = [
        q
        for q in mention.quantities
        if (q.dimension in dimensions or (skip is not None and q.dimension not in skip)) and not q.weak
    ]
    if own and mention.longest:
        return "against"
    # "fever and cough for 3 days": the clause's value may belong to all of a list
    return any(same(w, q) for w in wanted for q in mention.around) and skip is None


def best(truth: Truth, mentions: Iterable[Mention]) -> Comparison:
    """The most agreeing mention; a contradiction only when nothing agrees."""
    top = Comparison(0.0)
    for mention in mentions:
        found = compare(truth, mention)
        if (
            found.credit > top.credit
            or (top.mention is None and found.mention is not None)
            or (top.credit == 0 and top.contradicts is None and found.contradicts is not None)
        ):
            top = found
    return top


def contradiction(truth: Truth, mentions: Iterable[Mention], others: Sequence[Truth]) -> str | None:
    """What a mention says against the fact, unless another fact of the same concept explains that mention."""
    for mention in mentions:
        if not mention.longest or (truth.fact.concept != mention.concepts[0] and len(mention.concepts) > 1):
            continue
        against = compare(truth, mention).contradicts
        if against is None or against == "experiencer":
            continue
        if not any(compare(other, mention).credit > 0 for other in others):
            return against
    return None


def is_critical(truth: Truth, contradiction: str) -> bool:
    """Does this contradiction zero the section?"""
    if truth.soft:
        return truth.kind == "drug" and contradiction == "value"
    return truth.fact.critical and contradiction in ("polarity", "side", "site", "value")
