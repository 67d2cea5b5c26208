"""ROUGE F1 (Lin, 2004) by Google's rouge-score package, with Porter stemming; numbers to compare with
papers."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # brings nltk along: imported when a rubric asks for it

    return RougeScorer([kind], use_stemmer=True)


def rouge1(reference: object, value: object) -> float:
    """Unigram F1, in [0, 1]."""
    return _f1("rouge1", reference, value)


def rouge_l(reference: object, value: object) -> float:
    """F1 of the longest common subsequence of words, in [0, 1]."""
    return _f1("rougeL", reference, value)


def _f1(kind: str, reference: object, value: object) -> float:
    return float(_scorer(kind).score(str(reference), str(value))[kind].fmeasure)
