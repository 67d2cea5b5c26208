"""The LLM judge: any OpenAI-compatible endpoint, a rubric as data, and a verdict or the reason for none."""

from __future__ import annotations

from fivestones.score.llm.cache import ReplyCache
from fivestones.score.llm.client import Ask, ChatClient, Unanswered, Unreadable
from fivestones.score.llm.egress import Egress
from fivestones.score.llm.judge import LlmJudge
from fivestones.score.llm.rubric import Rubric, load_rubric
from fivestones.score.llm.usage import Usage
from fivestones.score.llm.verdict import Opinion

__all__ = [
    "Ask",
    "ChatClient",
    "Egress",
    "LlmJudge",
    "Opinion",
    "ReplyCache",
    "Rubric",
    "Unanswered",
    "Unreadable",
    "Usage",
    "load_rubric",
]
