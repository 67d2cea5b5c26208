"""Factors in (0, 1] against notes that are shaped for the judge and not for a reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from fivestones.score.facts.case import Case
from fivestones.score.facts.extract import BRACKETED, Extraction
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.facts.settings import Settings

_QUALIFIERS = frozenset({"body_site", "other"})  # may stand bare beside what they qualify
_SPEAKER_TAG = re.compile(
    rf"\b(?:doctor|patient|nurse|caller|clinician|guest_\w+) ?: |{BRACKETED}", re.IGNORECASE
)


def length_factor(extraction: Extraction, expected: float, settings: Settings) -> float:
    """1 up to a multiple of the expected length (tokens), then falling as a power of the excess."""
    limit = settings.length_slack * expected + settings.length_floor
    length = len(extraction.tokens)
    return 1.0 if length <= limit else (limit / length) ** float(settings.length_power)


def ngrams(norms: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(norms[i : i + n]) for i in range(len(norms) - n + 1)}


def echo_factor(text: str, extraction: Extraction, case: Case, settings: Settings) -> float:
    """Falls with the share inside n-grams of the dialogue (a few tokens free), and with each speaker tag."""
    factor = settings.speaker_tag ** len(_SPEAKER_TAG.findall(text)[:8])
    norms = [t.norm for t in extraction.tokens if t.text.isalnum()]
    n = settings.echo_ngram
    if len(norms) < n + 3 or not case.source_ngrams:
        return float(factor)
    covered = [False] * len(norms)
    for i in range(len(norms) - n + 1):
        if tuple(norms[i : i + n]) in case.source_ngrams:
            covered[i : i + n] = [True] * n
    share = max(0, sum(covered) - settings.echo_free) / len(norms)
    over = max(0.0, share - settings.echo_from) / (1.0 - settings.echo_from)
    return float(factor * (1.0 - (1.0 - settings.echo_least) * over))


def salad_factor(extraction: Extraction, lexicon: Lexicon, settings: Settings) -> float:
    """Falls with the share of neighbouring concepts that have no word or mark between them."""
    tops = [m for m in extraction.mentions if m.longest and lexicon.kind(m.concepts[0]) not in _QUALIFIERS]
    if len(tops) < 3:
        return 1.0
    bare = sum(b.start - a.end <= 0 for a, b in pairwise(tops)) / (len(tops) - 1)
    over = max(0.0, bare - settings.salad_from) / (1.0 - settings.salad_from)
    return 1.0 - (1.0 - settings.salad_least) * over
