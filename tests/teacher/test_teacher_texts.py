"""What a teacher's texts must hold: the gate, and the form of a dialogue."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache

import pytest
from authors import drafts, lexicon, passing
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.soap.facts import facts_of
from fivestones.environments.soap.generate import plan
from fivestones.environments.soap.knowledge import load
from fivestones.environments.soap.teacher import Draft, MakeDraft
from fivestones.environments.soap.teacher_dialogue import bare, read_dialogue
from fivestones.score.facts.judge import FactsJudge
from fivestones.score.facts.realised import dialogue_faults, note_faults
from fivestones.types import Fact

TALK = """Doctor: What brings you in?
Patient: I have had a cough for three days.
Doctor: Any fever?
Patient: No.
Doctor: Blood pressure is 142 over 88. You have bronchitis. I will start amoxicillin 500 mg twice daily.
Patient: Thank you, doctor."""
FACTS = (
    Fact(id="S0", section="S", concept="cough", time="3 day", critical=True),
    Fact(id="S1", section="S", concept="fever", polarity="absent"),
    Fact(id="O2", section="O", concept="bp", value="142/88", unit="mmHg"),
    Fact(id="A3", section="A", concept="acute_bronchitis", forms=("bronchitis",), critical=True),
    Fact(
        id="P4", section="P", concept="amoxicillin", value="500", unit="mg", time="twice daily", critical=True
    ),
)


def faults(text: str, allowed: tuple[str, ...] = ()) -> list[str]:
    return dialogue_faults(FACTS, text, lexicon(), allowed)


def test_what_says_all_and_nothing_else_passes() -> None:
    assert faults(TALK) == []


@pytest.mark.parametrize(
    ("was", "is_", "fault"),
    [
        ("I have had a cough for three days.", "I do not feel well.", "left out: cough 3 day"),
        ("a cough for three days", "a cough", "incomplete: cough 3 day (without time)"),
        ("three days", "three weeks", "contradicted: cough 3 day (time)"),
        ("Patient: No.", "Patient: Yes, a little.", "contradicted: fever denied (polarity)"),
        ("Doctor: Any fever?\nPatient: No.\n", "", "left out: fever denied"),
        ("500 mg", "5000 mg", "contradicted: amoxicillin 500 mg twice daily (value)"),
        ("142 over 88", "124 over 88", "contradicted: bp 142/88 mmHg (value)"),
        ("Thank you", "And I take warfarin. Thank you", "invented: warfarin"),
        ("Thank you", "I have chest pain too. Thank you", "invented: chest pain"),
        ("Thank you", "It was 39 degrees Celsius. Thank you", "invented number: 39 C"),
    ],
)
def test_what_is_left_out_changed_or_invented_is_a_fault(was: str, is_: str, fault: str) -> None:
    assert was in TALK
    assert fault in faults(TALK.replace(was, is_))


def test_what_the_scenario_lets_pass_is_no_invention() -> None:
    talk = TALK.replace("Thank you", "My neighbour takes warfarin. Thank you")
    assert "invented: warfarin" in faults(talk) and faults(talk, ("warfarin",)) == []


def test_everyday_words_and_the_fact_s_own_words_are_no_inventions() -> None:
    talk = TALK.replace("Thank you", "It all fits. I ran for the bus. That coughing is tiring. Thank you")
    assert [fault for fault in faults(talk) if fault.startswith("invented: fits")] == []
    assert not any("cough" in fault for fault in faults(talk))


@cache
def judge() -> FactsJudge:
    return FactsJudge(lexicon(), ("S", "O", "A", "P"))


@cache
def many() -> tuple[Draft, ...]:
    make = MakeDraft(load(), 11, "short")
    return tuple(make(item, 0) for item in plan(load(), 12, 12, 11))


def of_note(draft: Draft, note: dict[str, str]) -> list[str]:
    return note_faults(judge(), draft.facts, note, draft.context)


def test_the_grammar_s_own_notes_have_no_fault() -> None:
    assert [of_note(draft, json.loads(draft.row["note"])) for draft in many()] == [[]] * len(many())


def test_the_grammar_s_own_dialogues_mostly_pass() -> None:
    """Not all: the gate takes no correction ("three, no, four days") and no idiom for granted."""
    passed = [d for d in many() if not dialogue_faults(d.facts, d.row["dialogue"], lexicon(), d.allowed)]
    assert len(passed) >= len(many()) // 2
    assert passing()  # of the rows that the other tests use


@settings(max_examples=25, derandomize=True)
@given(st.data())
def test_another_dose_or_denial_in_a_note_is_a_fault(data: st.DataObject) -> None:
    draft = data.draw(st.sampled_from(many()))
    note = json.loads(draft.row["note"])
    drugs = [f for f in draft.facts if f.section == "P" and f.unit == "mg" and "." not in str(f.value)]
    if drugs:
        value = str(drugs[0].value)
        changed = {**note, "P": note["P"].replace(f"{value} mg", f"{value}0 mg")}
        if changed == note:  # the dose is written otherwise
            return
        assert any(fault.startswith("contradicted") for fault in of_note(draft, changed))
    denied = {**note, "S": "Denies everything. " + note["S"].replace("Denies", "Reports")}
    if "Denies" in note["S"]:
        assert of_note(draft, denied)


def test_a_section_without_its_facts_or_with_another_s_is_a_fault() -> None:
    draft = many()[0]
    note = json.loads(draft.row["note"])
    assert any(f.startswith("left out") for f in of_note(draft, {**note, "S": "None reported."}))
    swapped = {**note, "S": note["A"], "A": note["S"]}
    assert any(f.startswith(("misplaced", "left out")) for f in of_note(draft, swapped))
    assert any(f.startswith("invented") for f in of_note(draft, {**note, "A": note["A"] + " On warfarin."}))


def test_a_draft_is_the_generator_s_row_with_its_scenario() -> None:
    for draft in drafts():
        assert draft.facts == facts_of(draft.scenario)
        assert json.loads(draft.row["facts"])[0]["concept"] == draft.facts[0].concept
        labels = {line.split(":")[0] for line in draft.row["dialogue"].splitlines()}
        assert labels == {*draft.labels}


def test_the_form_of_a_dialogue() -> None:
    labels = ("Doctor", "Patient")
    lines = [f"{labels[i % 2]}: {'word ' * 11}".strip() for i in range(14)]
    text = "\n".join(lines)
    assert read_dialogue(text, labels, "short") == (text, [])
    bold = re.sub(r"(?m)^(\w+):", r"**\1:**", text)
    assert read_dialogue(f"<think>hm</think>\n```\n{bold}\n```", labels, "short") == (text, [])
    wrapped = text.replace("word word", "word\nword", 1)
    assert read_dialogue(wrapped, labels, "short")[0] == text
    for bad, fault in (
        ("Here is the dialogue.\n" + text, "not a dialogue: it does not begin"),
        (text + "\nNurse: Hello.", "not a dialogue: a line that is no turn"),
        (text.replace("\nPatient", "\n(He sighs.)\nPatient", 1), "not a dialogue: a line that is no turn"),
        ("\n".join(lines[:3]), "not a dialogue: 3 turns"),
        ("\n".join(lines[:5]), "too short"),
        ("\n".join(lines * 3), "too long"),
    ):
        told, wrong = read_dialogue(bad, labels, "short")
        assert told is None and wrong[0].startswith(fault), (bad[:40], wrong)


@settings(max_examples=60, derandomize=True)
@given(st.text())
def test_any_reply_can_be_read(text: str) -> None:
    told, wrong = read_dialogue(text, ("Doctor", "Patient"), "short")
    assert (told is None) == bool(wrong)
    assert isinstance(bare(text), str)
    dialogue_faults(FACTS, text, lexicon(), ())


def test_a_fact_of_a_relative_is_not_the_patient_s() -> None:
    family = (replace(FACTS[0], concept="asthma", time=None, experiencer="mother"),)
    talk = "Doctor: Anything in the family?\nPatient: My mother has asthma."
    assert dialogue_faults(family, talk, lexicon(), ()) == []
    own = talk.replace("My mother has", "I have")
    assert any("asthma of the mother" in fault for fault in dialogue_faults(family, own, lexicon(), ()))
