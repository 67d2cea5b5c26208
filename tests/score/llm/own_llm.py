"""An LLM judge as a recipe names one of its own: `judge.kind: own_llm:judge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chat_clients import client
from fivestones.score.llm import LlmJudge
from fivestones.score.llm.rubric import parse_rubric

RUBRIC = """
name: label
role: You check labels.
source: ticket
part: section
fields:
  c: {kind: graded, question: "How well does the label fit?", levels: [no, hardly, perhaps, nearly, yes]}
"""


def judge(fields: Sequence[str], url: str, cache: str) -> LlmJudge:
    made = client(url, cache=Path(cache), limits={"attempts": 2})
    return LlmJudge(made, parse_rubric(RUBRIC, "label"), fields)
