"""A reply as a dialogue: one "Speaker: words" line a turn, or what is wrong with its form."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fivestones.environments.soap.realise import WORDS
from fivestones.environments.soap.scenario import Length

NOT_A_DIALOGUE = "not a dialogue"
TOO_SHORT = "too short"
TOO_LONG = "too long"

LEAST_TURNS = 4
_THOUGHTS = re.compile(r"\A.*</think>", re.DOTALL)
_FENCE = re.compile(r"\A```[a-z]*\n(.*)\n```\Z", re.DOTALL)
_TURN = re.compile(r"\**(?P<who>[A-Z][A-Za-z ]{1,20}?)\**:\**\s*(?P<words>.*)")
_ASIDE = re.compile(r"\s*(?:\[[^\]]*\]|\([^)]*\)|\*[^*]+\*)\s*\Z")  # a line of stage directions


def read_dialogue(text: str, labels: Sequence[str], length: Length) -> tuple[str | None, list[str]]:
    """The dialogue, or its faults. labels: who may speak, and both must.

    Thoughts before the answer, a code fence around it and bold labels are taken off; a line without a label
    goes on with the turn before.
    """
    text = bare(text)
    turns: list[tuple[str, list[str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        turn = _TURN.fullmatch(line)
        if turn and turn["who"] in labels:
            turns.append((turn["who"], [turn["words"]]))
        elif not turns:
            return None, [f"{NOT_A_DIALOGUE}: it does not begin with a turn of {' or '.join(labels)}"]
        elif _ASIDE.fullmatch(line) or (turn and _is_speaker(turn["who"])):
            return None, [f"{NOT_A_DIALOGUE}: a line that is no turn of {' or '.join(labels)}"]
        else:
            turns[-1][1].append(line)
    if len(turns) < LEAST_TURNS or {who for who, _ in turns} != set(labels):
        return None, [
            f"{NOT_A_DIALOGUE}: {len(turns)} turns; allowed: {LEAST_TURNS} at least, by both speakers"
        ]
    dialogue = "\n".join(f"{who}: {' '.join(words)}" for who, words in turns)
    words, (low, high) = len(dialogue.split()), WORDS[length]
    if words < low:
        return None, [f"{TOO_SHORT}: {words} words; allowed: {low} to {high}"]
    if words > high:
        return None, [f"{TOO_LONG}: {words} words; allowed: {low} to {high}"]
    return dialogue, []


def bare(text: str) -> str:
    """A reply without thoughts before the answer and a code fence around it."""
    text = _THOUGHTS.sub("", text).strip()
    fenced = _FENCE.match(text)
    return fenced[1].strip() if fenced else text


def _is_speaker(who: str) -> bool:
    """One word at the beginning of a line, or two: "Nurse Smith"; a sentence with a colon is no speaker."""
    return who[:1].isupper() and len(who.split()) <= 2
