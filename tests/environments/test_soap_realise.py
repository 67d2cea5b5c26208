"""Every fact is said, in every style, within the length asked for, without filler said twice."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.soap import knowledge
from fivestones.environments.soap.facts import facts_of
from fivestones.environments.soap.note import reference_note
from fivestones.environments.soap.realise import WORDS, realise
from fivestones.environments.soap.realise_styles import STYLES
from fivestones.environments.soap.realise_talk import BANKS, expand
from fivestones.environments.soap.realise_voice import Voice
from fivestones.environments.soap.scenario import draw
from fivestones.environments.soap.speech import FREQUENCIES, renderings, say_dose, say_duration, words
from fivestones.errors import UsageError

KB = knowledge.load()


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.lower())


def written(value: str) -> list[str]:
    return [value] if value.count("/") and "." in value else [r.lower() for r in renderings(value)]


def heard(text: str, fact) -> list[str]:
    """What of a fact cannot be found in the text."""
    entry = KB.vocabulary.get(fact.concept)
    forms = (*(fact.forms), *((*entry.forms, *entry.say) if entry else ()))
    missing = [] if any(f.lower() in text for f in forms) else [fact.concept]
    if fact.value and not any(v in text for v in written(fact.value)):
        missing.append(fact.value)
    if fact.side and fact.side not in text:
        missing.append(fact.side)
    if fact.site and not any(f.lower() in text for f in KB.vocabulary[fact.site].forms):
        missing.append(fact.site)
    if fact.experiencer not in ("patient", *re.findall(r"[a-z]+", text)):
        missing.append(fact.experiencer)
    if fact.time and not any(t in text for t in times(fact.time)):
        missing.append(fact.time)
    return missing


def times(time: str) -> list[str]:
    if time in FREQUENCIES:
        return [*FREQUENCIES[time], time]
    number, noun = time.split(" ")
    return [f"{n} {noun}" for n in (*renderings(number), *(("a", "an") if number == "1" else ()))]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("length", ["short", "long"])
@settings(max_examples=60)
@given(condition=st.sampled_from(KB.conditions), seed=st.integers(0, 10**6))
def test_every_fact_is_said_within_the_length(style, length, condition, seed):
    rng = Random(seed)
    scenario = draw(KB, condition, rng, length)
    facts = facts_of(scenario)
    dialogue = realise(scenario, facts, style, length, rng)
    low, high = WORDS[length]
    assert low <= len(dialogue.split()) <= high
    text = plain(dialogue)
    assert {f.id: gap for f in facts if (gap := heard(text, f))} == {}
    assert "{" not in dialogue and "[" not in dialogue and "|" not in dialogue
    assert all(re.match(r"[A-Z][a-z]+: \S", line) for line in dialogue.splitlines())


@settings(max_examples=60)
@given(
    condition=st.sampled_from(KB.conditions),
    seed=st.integers(0, 10**6),
    length=st.sampled_from(("short", "long")),
)
def test_the_note_holds_every_fact_in_its_section(condition, seed, length):
    rng = Random(seed)
    scenario = draw(KB, condition, rng, length)
    facts = facts_of(scenario)
    note = reference_note(scenario, facts, rng)
    assert list(note) == ["S", "O", "A", "P"]
    assert all(note.values())
    assert {f.id: gap for f in facts if (gap := heard(plain(note[f.section]), f))} == {}
    total = sum(len(text.split()) for text in note.values())
    assert 20 <= total <= (75 if length == "short" else 300)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("length", ["short", "long"])
def test_numbers_are_corrected_and_distractors_are_said_in_every_style(style, length, monkeypatch):
    made: list[str] = []

    def corrected(self: Voice, wrong: str, right: str, plainly=Voice.corrected) -> str:
        made.append(plainly(self, wrong, right))
        return made[-1]

    monkeypatch.setattr(Voice, "corrected", corrected)
    corrections, distractors = 0, 0
    for seed in range(60):
        rng = Random(seed)
        scenario = draw(KB, KB.conditions[seed % len(KB.conditions)], rng, length)
        made.clear()
        text = plain(realise(scenario, facts_of(scenario), style, length, rng))
        corrections += any(plain(words) in text for words in made)
        names = [f.lower() for i in scenario.distractors for f in (*i.entry.forms, *i.entry.say)]
        distractors += any(name in text for name in names)
    assert corrections >= 5 and distractors >= 20  # of 60 dialogues; without slips and distractors 0 and 0


@pytest.mark.parametrize("style", STYLES)
def test_no_sentence_of_talk_comes_twice(style):
    for seed in range(20):
        rng = Random(seed)
        scenario = draw(KB, KB.conditions[seed % len(KB.conditions)], rng, "long")
        dialogue = realise(scenario, facts_of(scenario), style, "long", rng)
        talk = re.sub(r"^\w+: ", "", dialogue, flags=re.MULTILINE)
        sentences = Counter(s.strip() for s in re.split(r"[.?!\n]+", talk) if len(s.split()) >= 6)
        assert [s for s, n in sentences.items() if n > 1] == []


def test_styles_differ_in_their_shape():
    """Words of a patient's turn: a chatty patient says far more at once than one who answers yes or no."""
    shape = {}
    for style in STYLES:
        turns, said = 0, 0
        for seed in range(25):
            rng = Random(seed)
            scenario = draw(KB, KB.conditions[seed % len(KB.conditions)], rng, "short")
            lines = realise(scenario, facts_of(scenario), style, "short", rng).splitlines()
            own = [line for line in lines if not line.startswith(("Doctor:", "Nurse:"))]
            turns, said = turns + len(own), said + sum(len(line.split()) - 1 for line in own)
        shape[style] = said / turns
    assert shape["rambling"] > 1.2 * shape["followup"]
    assert shape["chatty"] > 1.2 * shape["followup"]


def test_an_unknown_style_is_named():
    scenario = draw(KB, KB.conditions[0], Random(0), "short")
    with pytest.raises(UsageError, match="Did you mean `chatty`"):
        realise(scenario, facts_of(scenario), "chaty", "short", Random(0))


def test_talk_expands_without_leftovers():
    for bank in BANKS.values():
        for line in bank:
            turns = expand(line, Random(1), x="thing", whose="my son")
            assert turns and all(s in "DP" and t and not re.search(r"[\[\]{}|/]", t) for s, t in turns)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("142/88", "one forty two over eighty eight"),
        ("101.2", "a hundred and one point two"),
        ("101.2", "one oh one point two"),
        ("10", "ten"),
        ("250", "two fifty"),
        ("98", "ninety-eight"),
    ],
)
def test_numbers_aloud(value, said):
    assert said in renderings(value)


def test_units_and_durations_aloud():
    rng = Random(3)
    assert words(1203) == "one thousand two hundred and three"
    assert {say_dose("10", "mg", rng) for _ in range(50)} == {"10 mg", "10 milligrams", "ten milligrams"}
    assert {say_duration("3 day", rng) for _ in range(50)} == {"3 days", "three days"}
    assert say_dose("875/125", "mg", rng) == "875/125 mg"
