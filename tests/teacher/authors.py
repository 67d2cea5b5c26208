"""A scripted teacher: it answers a prompt with what the grammar has made of the same scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from fivestones.build_data import _planned
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.teacher import Dialogue, Draft, MakeDraft, Note, load_prompts
from fivestones.judges import soap_lexicon
from fivestones.recipe import Recipe
from fivestones.recipe_load import load_recipe
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.facts.realised import dialogue_faults
from scripted_server import Body, ScriptedServer

SIZES = {"synth.train": 4, "synth.test": 3}
SCENARIOS = 8  # of a row, that it knows
PATIENT = {"timeout": 60.0, "deadline": 120.0, "attempts": 4, "backoff": 0.001}
AGAIN = "An earlier version was refused."
Spoil = Callable[[str, str, bool], str]
"""(column, the right text, is it the first attempt?) -> what the teacher says."""


def recipe_for(server: ScriptedServer | str, **teacher: Any) -> Recipe:
    url = server if isinstance(server, str) else server.url
    part: Mapping[str, Any] = {
        "endpoints": [{"url": url}],
        "model": "author-1b",
        "limits": PATIENT,
        **teacher,
    }
    return load_recipe("soap", "smoke", {**SIZES, "synth": {"teacher": part}})


@cache
def lexicon() -> Lexicon:
    return soap_lexicon()


@cache
def drafts(numbers: int = 1) -> tuple[Draft, ...]:
    """Of each planned row, its first scenarios."""
    part = load_recipe("soap", "smoke", SIZES).synth
    assert part is not None
    make = MakeDraft(knowledge.load(), 0, part.length)
    return tuple(make(item, k) for item in _planned(part, 0) for k in range(numbers))


@cache
def passing() -> frozenset[str]:
    """Rows whose first scenario passes the gate as the grammar tells it."""
    return frozenset(
        d.row["id"] for d in drafts() if not dialogue_faults(d.facts, d.row["dialogue"], lexicon(), d.allowed)
    )


@cache
def texts() -> Mapping[str, tuple[str, str]]:
    """Prompt -> (column, the grammar's text)."""
    prompts = load_prompts()
    pieces = (
        Dialogue(prompts=prompts, find_faults=lambda facts, text, allowed: ()),
        Note(prompts=prompts, find_faults=lambda facts, note, context: ()),
    )
    return {
        piece.body(draft, ())["messages"][-1]["content"]: (piece.column, draft.row[piece.column])
        for draft in drafts(SCENARIOS)
        for piece in pieces
    }


def author(spoil: Spoil = lambda column, text, first: text) -> Callable[[Body], str]:
    """A brain of a ScriptedServer."""
    known = texts()  # here once, not in each of the server's threads

    def say(body: Body) -> str:
        prompt, _, again = body["messages"][-1]["content"].partition(f"\n\n{AGAIN}")
        column, text = known[prompt]
        return spoil(column, text, not again)

    return say
