"""The closed world: which phrases the judge recognises, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fivestones.score.facts.tokens import Token, is_content, stem, tokenize
from fivestones.types import Concept

# Dropped from forms and text alike before matching: "pain in my knee" is "pain in the knee".
_DETERMINERS = frozenset(
    ["a", "an", "the", "my", "his", "her", "your", "their", "our", "its", "some", "any", "this", "that", "-"]
)
# May stand inside a phrase without breaking it: "pain in the left knee".
_SKIPPABLE = frozenset(
    [
        "left",
        "right",
        "bilateral",
        "both",
        "mild",
        "moderate",
        "severe",
        "bad",
        "really",
        "very",
        "slight",
        "slightly",
        "terrible",
    ]
)


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    concepts: tuple[str, ...]  # every concept that this phrase can mean
    start: int  # token positions [start, end)
    end: int
    longest: bool  # False: inside a longer phrase ("pain" in "chest pain"); may satisfy, never contradict


class Lexicon:
    """Longest-match phrase index over stemmed tokens; forms of one concept all count alike."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts: dict[str, Concept] = {c.name: c for c in concepts}
        self._root = _Node()
        for concept in concepts:
            for form in (concept.name, *concept.forms):
                _insert(self._root, form, concept.name)

    def overlay(self, forms: Mapping[str, Iterable[str]]) -> Lexicon:
        """This lexicon plus further forms (concept -> forms) of one case; the base index is shared."""
        return _Overlaid(self, forms)

    def kind(self, concept: str) -> str:
        entry = self.concepts.get(concept)
        return entry.kind if entry else "other"

    def matches(self, tokens: Sequence[Token]) -> list[Match]:
        """All phrases in text order, nested ones included."""
        found: dict[tuple[int, int], tuple[str, ...]] = {}
        for root in self._roots():
            for start, token in enumerate(tokens):
                if token.norm in root.children:
                    for end, names in _walk(root, tokens, start):
                        found[start, end] = tuple(dict.fromkeys((*found.get((start, end), ()), *names)))
        reach, out = -1, []
        for (start, end), names in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1])):
            out.append(Match(names, start, end, longest=end > reach))
            reach = max(reach, end)
        return out

    def _roots(self) -> tuple[_Node, ...]:
        return (self._root,)


class _Overlaid(Lexicon):
    def __init__(self, base: Lexicon, forms: Mapping[str, Iterable[str]]) -> None:
        self.concepts = base.concepts
        self._root = _Node()
        self._base = base
        for concept, phrases in forms.items():
            for phrase in (concept, *phrases):
                _insert(self._root, phrase, concept)

    def _roots(self) -> tuple[_Node, ...]:
        return (*self._base._roots(), self._root)


def _insert(root: _Node, form: str, concept: str) -> None:
    # "_" joins the words of a key such as "shortness_of_breath"
    norms = [t.norm for t in tokenize(form.replace("_", " ")) if t.text not in _DETERMINERS]
    if not norms:
        return
    node = root
    for norm in norms:
        node = node.children.setdefault(norm, _Node())
    if concept not in node.concepts:
        node.concepts = (*node.concepts, concept)


def _walk(root: _Node, tokens: Sequence[Token], start: int) -> list[tuple[int, tuple[str, ...]]]:
    node, out, i = root, [], start
    while i < len(tokens):
        token = tokens[i]
        nxt = node.children.get(token.norm)
        if nxt is not None:
            node = nxt
            if node.concepts:
                out.append((i + 1, node.concepts))
        elif i == start or (token.text not in _DETERMINERS and token.text not in _SKIPPABLE):
            break
        i += 1
    return out


def content_stems(text: str) -> frozenset[str]:
    return frozenset(t.norm for t in tokenize(text) if is_content(t))


def phrase_stems(phrase: str) -> frozenset[str]:
    """Stems of a short phrase, function words dropped only when something else remains."""
    return content_stems(phrase) or frozenset(stem(w) for w in phrase.lower().split())
