"""From a scenario to a dialogue in one of several styles, within the length asked for."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from fivestones.environments.soap.realise_script import Script
from fivestones.environments.soap.realise_styles import STYLES
from fivestones.environments.soap.realise_voice import Voice
from fivestones.environments.soap.scenario import Length, Scenario
from fivestones.errors import UsageError, nearest
from fivestones.types import Fact

HELD_OUT = "rambling"
WORDS = {"short": (130, 260), "long": (600, 1500)}  # of a dialogue, speaker labels included
_AIM = {"short": (140, 215), "long": (640, 1250)}  # the filling stops at a length drawn from here


def realise(scenario: Scenario, facts: Sequence[Fact], style: str, length: Length, rng: Random) -> str:
    """The dialogue, one "Speaker: words" line a turn. `facts` must be those of the scenario."""
    if style not in STYLES:
        allowed = ", ".join(STYLES)
        raise UsageError(
            f"synth.styles: unknown style `{style}`; allowed: {allowed}.{nearest(style, STYLES)}"
        )
    if len(facts) < len(scenario.items):
        raise ValueError(f"{len(facts)} facts cannot cover the {len(scenario.items)} items of the scenario")
    manner = STYLES[style]
    who = manner.patient or (scenario.caregiver.capitalize() if scenario.caregiver else "Patient")
    low, high = WORDS[length]
    # Each attempt leaves out more optional words: a scenario with many facts in a wordy style may run over.
    for wordy in (1.0, 1.0, 0.6, 0.3, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0):
        voice = Voice(
            scenario=scenario, rng=rng, lay=manner.lay, spoken=manner.spoken,
            slips=manner.slips * min(1, 2 * wordy), hesitant=manner.hesitant * wordy, wordy=wordy,
        )  # fmt: skip
        script = Script(voice)
        manner.layout(script)
        distractors = int(rng.random() < 0.6) if length == "short" else 3
        script.pad(rng.randint(*_AIM[length]), high - 5, manner.talk, distractors)
        if script.words() < low:
            script.pad(low + 20, high - 5, {"explain": 1, "small": 1}, 0)
        text = script.text({"D": manner.clinician, "P": who})
        if low <= len(text.split()) <= high:
            return text
    raise ValueError(f"{scenario.condition} in style {style} does not fit {low} to {high} words")
