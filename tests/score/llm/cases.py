"""Visits, notes and judges for the tests of the LLM judge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attempts
from chat_clients import client
from fivestones.environments.soap.spec import OUTPUT_SCHEMA, SECTIONS, spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.score.llm import LlmJudge, Rubric, load_rubric
from fivestones.score.rubric import RubricScorer
from fivestones.types import Message, Rollout, Task
from scripted_server import ScriptedServer

__all__ = ["OUTPUT_SCHEMA", "SECTIONS"]


def task(number: int = 0) -> Task:
    dialogue = f"Doctor: What brings you in?\nPatient: I have had a cough for {number + 2} days."
    return Task(
        id=str(number),
        prompt=(Message("user", dialogue),),
        reference={"source": dialogue, "output": {s: f"Reference {s}." for s in SECTIONS}},
        cluster=str(number),
    )


def note(number: int = 0, **changed: str) -> dict[str, str]:
    return {
        "S": f"Cough for {number + 2} days.",
        "O": f"Temp {98 + number % 5} F.",
        "A": f"Acute bronchitis, case {number}.",
        "P": f"Rest; follow up in {number + 3} days.",
        **changed,
    }


def rollout(of: Task, output: Mapping[str, str]) -> Rollout:
    return attempts.rollout(of, json.dumps(output))


def judge(*servers: ScriptedServer | str, rubric: Rubric | None = None, **keys: Any) -> LlmJudge:
    return LlmJudge(client(*servers, **keys), rubric or load_rubric("soap"), SECTIONS)


def scorer(of: LlmJudge) -> RubricScorer:
    """The clinical job's: 1 point for strict JSON, 1 for each section."""
    environment = StructuredEnvironment(spec(), {})
    return RubricScorer(
        gates=environment.gates,
        parse=environment.parse,
        criteria=spec().criteria,
        judges={"facts": of},
        gate_points=1.0,
    )
