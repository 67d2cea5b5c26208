"""The embedded judge: `FactsJudge`, and the fact extraction it rests on."""

from __future__ import annotations

from fivestones.score.facts.extract import extract
from fivestones.score.facts.judge import FactsJudge, Finding
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.facts.settings import Settings

__all__ = ["FactsJudge", "Finding", "Lexicon", "Settings", "extract"]
