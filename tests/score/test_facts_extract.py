from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.score.facts import Lexicon, extract
from fivestones.score.facts.extract import read, read_dialogue, turns
from fivestones.types import Concept


def concept(name: str, kind: str, *forms: str) -> Concept:
    return Concept(name=name, kind=kind, forms=forms or (name.replace("_", " "),))


LEXICON = Lexicon(
    [
        concept("cough", "symptom", "cough", "coughing"),
        concept("fever", "symptom", "fever", "running a temperature"),
        concept("chills", "symptom"),
        concept("chest_pain", "symptom", "chest pain", "pain in my chest"),
        concept("pain", "symptom"),
        concept("knee", "body_site"),
        concept("knee_pain", "symptom", "knee pain", "pain in the knee"),
        concept("metformin", "drug", "metformin", "glucophage"),
        concept("lisinopril", "drug"),
        concept("blood_pressure", "vital", "blood pressure", "bp"),
        concept("heart_rate", "vital", "heart rate", "pulse"),
        concept("diabetes", "condition", "diabetes", "type 2 diabetes"),
        concept("stroke", "condition"),
        concept("diarrhea", "symptom"),
        concept("wound", "symptom", "sore that will not heal"),
    ]
)


def test_a_number_that_begins_a_text_is_no_value_of_its_end() -> None:
    for end in ".:":
        assert read(f"12. Cough. Fever{end}", LEXICON).quantities == ()


def polarities(text: str) -> dict[str, str]:
    return {m.concepts[0]: m.polarity for m in read(text, LEXICON).mentions if m.longest}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No fever, chills or cough, but some chest pain.", "fever- chills- cough- chest_pain+"),
        ("Denies fever, chills. Reports cough.", "fever- chills- cough+"),
        ("Denies fever, chills, cough.", "fever- chills- cough-"),
        ("No fever, cough for 3 days.", "fever- cough+"),
        ("No fever, no chills, reports cough.", "fever- chills- cough+"),
        ("Fever absent, cough present.", "fever- cough+"),
        ("Fever: no; cough: yes", "fever- cough+"),
        ("He hasn't had any fever or chills, just a cough.", "fever- chills- cough+"),
        ("Chest pain ruled out.", "chest_pain-"),
        ("Cough without fever.", "cough+ fever-"),
        ("No change in cough.", "cough+"),
        ("Denies sore that will not heal or chills.", "wound- chills-"),
        ("Negative for fever and chills.", "fever- chills-"),
    ],
)
def test_negation(text: str, expected: str) -> None:
    wanted = {w[:-1]: "present" if w[-1] == "+" else "absent" for w in expected.split()}
    assert polarities(text) == wanted


def test_values_go_to_their_own_drug() -> None:
    for text in (
        "Metformin 500 mg BID, lisinopril 10 mg daily.",
        "500 mg metformin BID and 10 mg lisinopril daily",
    ):
        facts = {f.concept: (f.value, f.unit) for f in extract(text, LEXICON)}
        assert facts == {"metformin": ("500", "mg"), "lisinopril": ("10", "mg")}


def test_vitals_in_a_row() -> None:
    facts = {f.concept: f.value for f in extract("BP 142/88, pulse 92.", LEXICON)}
    assert facts == {"blood_pressure": "142/88", "heart_rate": "92"}


def test_side_reaches_through_the_phrase_and_stays_in_its_item() -> None:
    facts = extract("Pain in my left knee, no right knee pain.", LEXICON)
    assert [(f.concept, f.side, f.polarity) for f in facts] == [
        ("knee_pain", "left", "present"),
        ("knee_pain", "right", "absent"),
    ]


@pytest.mark.parametrize("text", ["Right, so the cough.", "The cough is bad right now."])
def test_right_is_not_always_a_side(text: str) -> None:
    assert extract(text, LEXICON)[0].side is None


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Mother had a stroke.", "mother"),
        ("Family history of stroke in his father.", "father"),
        ("My dad's stroke", "father"),
        ("She lives with her mother. Stroke.", "patient"),
        ("Mother reports stroke.", "patient"),
        ("Brought in by his wife after a stroke.", "patient"),
    ],
)
def test_experiencer(text: str, who: str) -> None:
    assert [f.experiencer for f in extract(text, LEXICON) if f.concept == "stroke"] == [who]


def test_conditional_is_no_statement() -> None:
    assert extract("Return if fever or chest pain.", LEXICON) == []


def test_light_normalisation() -> None:
    assert [f.concept for f in extract("Diarrhoea, coughs", LEXICON)] == ["diarrhea", "cough"]


def test_longest_phrase_wins_and_nested_ones_stay_visible() -> None:
    mentions = read("chest pain", LEXICON).mentions
    assert [(m.concepts[0], m.longest) for m in mentions] == [("chest_pain", True), ("pain", False)]


PLAIN = (
    "Doctor: Any fever or chills?\nPatient: No.\nDoctor: Coughing?\nPatient: Yeah, a lot.\n"
    "Doctor: Chest pain?\nPatient: Let me think."
)
BRACKETED = (  # as in ACI-Bench
    "[doctor] any fever or chills ?\n[patient] no .\n[doctor] coughing ?\n[patient_guest] yeah , a lot .\n"
    "[doctor] chest pain ?\n[patient] let me think ."
)


@pytest.mark.parametrize("text", [PLAIN, BRACKETED])
def test_answers_settle_questions(text: str) -> None:
    found = {m.concepts[0]: m.polarity for m in read_dialogue(text, LEXICON) if m.longest}
    assert found == {"fever": "absent", "chills": "absent", "cough": "present", "chest_pain": "asked"}


def test_bracketed_turns_name_their_speaker() -> None:
    text = (
        "[doctor] how are you ?\n[patient] [laughs] fine .\n[clears throat] so .\n[patient_guest] he coughs ."
    )
    assert turns(text) == [
        ("doctor", "how are you ?"),
        ("patient", "[laughs] fine .\n[clears throat] so ."),
        ("patient_guest", "he coughs ."),
    ]


def test_list_numbers_are_not_quantities() -> None:
    assert read("1. Diabetes\n2. Stroke", LEXICON).quantities == ()


def test_an_overlay_knows_more_and_leaves_its_base_alone() -> None:
    overlaid = LEXICON.overlay({"hiccups": ("hiccups",)})
    assert [f.concept for f in extract("cough and hiccups", overlaid)] == ["cough", "hiccups"]
    assert [f.concept for f in extract("cough and hiccups", LEXICON)] == ["cough"]


PIECES = st.one_of(
    st.sampled_from("0123456789.,/-:%°³²½①٣७\n'\"()"),
    st.sampled_from(
        [" ", "half", "a couple of", "hundred", "point", "mg", "twice daily", "per", "over", "years old"]
    ),
    st.sampled_from(
        [" cough", " no fever", " blood pressure", " left knee", " denies", " since", " metformin"]
    ),
    st.text(max_size=3),
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_text_makes_it_fail(text: str) -> None:
    """A model under training writes anything: reading it never raises."""
    read(text, LEXICON)
    read_dialogue(f"Doctor: {text}\nPatient: {text}", LEXICON)
