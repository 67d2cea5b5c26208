"""Precision: does each statement of a section trace to a fact, the dialogue or the reference?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fivestones.score.facts.case import Case
from fivestones.score.facts.compare import Comparison, compare
from fivestones.score.facts.extract import Extraction, Mention
from fivestones.score.facts.numbers import same
from fivestones.score.facts.settings import Settings
from fivestones.score.facts.tokens import stem


@dataclass(frozen=True, slots=True)
class Statement:
    name: str
    credit: float  # [0, 1]
    weight: float
    status: str
    text: str = ""
    invented: float = 0.0  # counts towards the invention penalty


def trace(
    case: Case,
    name: str,
    extraction: Extraction,
    found: Mapping[str, Mapping[int, Comparison]],
    settings: Settings,
) -> list[Statement]:
    """Every statement of section `name` with its credit."""
    out: list[Statement] = []
    cross: list[
        tuple[Mention, bool]
    ] = []  # (mention of another section's fact, is that fact in its own section?)
    seen: dict[tuple[str, ...], int] = {}
    own = 0
    for mention in extraction.mentions:
        if not mention.longest or mention.polarity in ("conditional", "asked"):
            continue
        seen[mention.concepts] = seen.get(mention.concepts, 0) + 1
        facts = [i for c in mention.concepts for i in case.by_concept.get(c, ())]
        agreeing = [i for i in facts if compare(case.truths[i], mention).credit > 0]
        at_home = any(name in case.truths[i].sections for i in agreeing)
        if agreeing and not at_home:
            homes = [(i, s) for i in agreeing for s in case.truths[i].sections if i in found.get(s, {})]
            cross.append((mention, any(found[s][i].credit > 0 for i, s in homes)))
            continue
        out.append(_statement(case, mention, facts, at_home, seen[mention.concepts], settings))
        own += at_home
    out += _cross(cross, own, settings)
    out += _numbers(case, extraction, settings)
    return out + _words(case, extraction, settings)


def _statement(
    case: Case, mention: Mention, facts: list[int], at_home: bool, times: int, settings: Settings
) -> Statement:
    """A concept that this section states for the n-th time; `facts`: the facts of that concept."""
    concept = mention.concepts[0]
    kind = case.lexicon.kind(concept)
    weight = {"drug": settings.drug, "body_site": settings.body_site}.get(kind, settings.concept)
    if facts and times > settings.repeats and kind != "body_site":
        return Statement(concept, 0.0, settings.concept, "repeated", mention.text, 0.25)
    if at_home:
        return Statement(concept, 1.0, weight, "traced", mention.text)
    # the dialogue may say more of whose or which it was, but never the opposite of a stated fact
    hard = [i for i in facts if not case.truths[i].soft]
    against = {compare(case.truths[i], mention).contradicts for i in hard} & {
        "polarity",
        "side",
        "value",
        "time",
    }
    if not against and (_licensed(case, mention) or (kind == "body_site" and concept in case.polarities)):
        licence = weight if kind == "body_site" else settings.licensed
        return Statement(concept, 1.0, licence, "licensed", mention.text)
    if facts:
        return Statement(concept, 0.0, weight, "contradicts", mention.text, settings.contradiction)
    if (share := _known_words(case, mention)) > 0:  # the case's own words in another reading
        return Statement(concept, 0.7 * share, settings.licensed, "plausible", mention.text)
    return Statement(concept, 0.0, weight, "invented", mention.text, min(weight, 1.0))


def _licensed(case: Case, mention: Mention) -> bool:
    for concept in mention.concepts:
        polarities = case.polarities.get(concept)
        if not polarities or not (mention.polarity in polarities or "asked" in polarities):
            continue
        if mention.sides <= case.sides.get(concept, frozenset()) or "both" in case.sides.get(
            concept, frozenset()
        ):
            return True
    return False


def _known_words(case: Case, mention: Mention) -> float:
    """Share of a phrase's words that the case has; 0 unless all (with a reference text: half) are."""
    if set(mention.concepts) & set(case.polarities):
        return 0.0  # known, but with the other polarity or side
    words = [w for w in mention.text.lower().replace("-", " ").split() if len(w) > 2]
    share = sum(stem(w) in case.stems for w in words) / len(words) if words else 0.0
    return share if share >= (0.5 if case.terms else 1.0) else 0.0


def _cross(cross: list[tuple[Mention, bool]], own: int, settings: Settings) -> list[Statement]:
    free = settings.cross_free + settings.cross_share * own
    out = []
    for i, (mention, stated) in enumerate(cross):
        allowed = min(1.0, max(0.0, free - i))  # a fraction at the edge: no cliff
        least = 0.0 if stated else settings.misplaced
        credit = least + (1.0 - least) * allowed
        weight = settings.duplicate_weight * (1.0 - allowed) + 0.5 * allowed
        status = "cross-reference" if allowed == 1.0 else "duplicate" if stated else "misplaced"
        cost = settings.duplicate * (1.0 - allowed) if stated else 0.0
        out.append(Statement(mention.concepts[0], credit, weight, status, mention.text, cost))
    return out


def _numbers(case: Case, extraction: Extraction, settings: Settings) -> list[Statement]:
    out = []
    for q in extraction.quantities:
        if q.weak:
            continue
        if any(same(q, known) for known in case.quantities):
            out.append(Statement(q.label, 1.0, settings.number * settings.licensed, "traced"))
        else:
            out.append(Statement(q.label, 0.0, settings.number, "invented", invented=1.0))
    return out


def _words(case: Case, extraction: Extraction, settings: Settings) -> list[Statement]:
    """Open words: with a reference text each counts a little; unexplained ones beyond a budget cost."""
    unexplained = [t for t, _ in extraction.terms if t not in case.stems]
    explained = len(extraction.terms) - len(unexplained)
    out = []
    if case.terms:
        out.append(Statement("open words", 1.0, settings.term * (explained + 1), "traced"))  # 1: a prior
    budget = 0.0 if case.terms else settings.free_words + settings.free_word_share * len(extraction.tokens)
    over = max(0.0, len(unexplained) - budget)
    if over:
        text = " ".join(dict.fromkeys(unexplained))
        cost = 0.0 if case.terms else 0.15 * over
        out.append(Statement("unexplained words", 0.0, settings.term * over, "invented", text, cost))
    return out
