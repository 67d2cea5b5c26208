"""A client of chat models behind OpenAI-compatible endpoints: what the LLM judge and the teacher ask by."""

from __future__ import annotations

from fivestones.chat.cache import ReplyCache, Spent
from fivestones.chat.client import OVER_BUDGET, Ask, ChatClient, Said, Unanswered, Unreadable, flaw
from fivestones.chat.egress import Egress
from fivestones.chat.usage import Tally, Usage

__all__ = [
    "OVER_BUDGET",
    "Ask",
    "ChatClient",
    "Egress",
    "ReplyCache",
    "Said",
    "Spent",
    "Tally",
    "Unanswered",
    "Unreadable",
    "Usage",
    "flaw",
]
