"""The LLM judge: a chat model, a rubric as data, and a verdict or the reason for none."""

from __future__ import annotations

from fivestones.score.llm.judge import LlmJudge
from fivestones.score.llm.rubric import Rubric, load_rubric
from fivestones.score.llm.verdict import Opinion

__all__ = ["LlmJudge", "Opinion", "Rubric", "load_rubric"]
