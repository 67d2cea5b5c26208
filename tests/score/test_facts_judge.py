from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fivestones.score.facts import FactsJudge, Lexicon
from fivestones.types import Concept, Fact, Message, Task

LEXICON = Lexicon(
    [
        Concept(name="cough", kind="symptom", forms=("cough", "hacking")),
        Concept(name="fever", kind="symptom", forms=("fever",)),
        Concept(name="nausea", kind="symptom", forms=("nausea",)),
        Concept(name="knee_pain", kind="symptom", forms=("knee pain",)),
        Concept(name="vertigo", kind="symptom", forms=("vertigo",)),
        Concept(name="metformin", kind="drug", forms=("metformin",)),
        Concept(name="warfarin", kind="drug", forms=("warfarin",)),
        Concept(name="asthma", kind="condition", forms=("asthma",)),
        Concept(name="no_distress", kind="finding", forms=("no acute distress",)),
    ]
)
COUGH = Fact(id="1", section="S", concept="cough", time="3 day")
NO_FEVER = Fact(id="2", section="S", concept="fever", polarity="absent")
KNEE = Fact(id="3", section="S", concept="knee_pain", side="left", critical=True)
DRUG = Fact(
    id="4", section="P", concept="metformin", value="500", unit="mg", time="twice daily", critical=True
)


def task(**reference: Any) -> Task:
    return Task(id="t", prompt=(Message("user", "x"),), reference=reference, cluster="c")


def score(facts: list[Fact], output: dict[str, Any], **more: Any) -> dict[str, float]:
    judge = FactsJudge(LEXICON, ("S", "P"))
    return dict(judge(task(facts=facts, **more), [output])[0].criteria)


FACTS = [COUGH, NO_FEVER, KNEE, DRUG]
GOOD = {"S": "Cough for 3 days and left knee pain. Denies fever.", "P": "Metformin 500 mg BID."}


def test_a_good_note_is_perfect_and_criteria_are_the_fields() -> None:
    assert score(FACTS, GOOD) == {"S": 1.0, "P": 1.0}


@pytest.mark.parametrize(
    "text",
    [
        "Metformin 0.5 g twice a day.",
        "Continue metformin, 500 mg, every 12 hours.",
        "500 mg of metformin b.i.d.",
    ],
)
def test_units_and_wording_do_not_matter(text: str) -> None:
    assert score(FACTS, {**GOOD, "P": text})["P"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("P", "Metformin 5000 mg BID."),
        ("P", "No metformin."),
        ("S", "Cough for 3 days and right knee pain. Denies fever."),
        ("S", "Cough for 3 days. Denies fever or knee pain."),
    ],
)
def test_a_critical_contradiction_zeroes_its_section_only(field: str, text: str) -> None:
    scores = score(FACTS, {**GOOD, field: text})
    assert scores.pop(field) == 0.0
    assert set(scores.values()) == {1.0}


def test_credit_is_graded() -> None:
    full = score(FACTS, GOOD)["S"]
    without_time = score(FACTS, {**GOOD, "S": "Cough and left knee pain. Denies fever."})["S"]
    wrong_time = score(FACTS, {**GOOD, "S": "Cough for 9 days and left knee pain. Denies fever."})["S"]
    without = score(FACTS, {**GOOD, "S": "Left knee pain. Denies fever."})["S"]
    assert full > without_time > without > wrong_time > 0


def test_a_value_of_another_clause_does_not_count() -> None:
    scores = score(FACTS, {**GOOD, "S": "Cough. Left knee pain for 3 days. Denies fever."})
    assert scores["S"] < 1.0


def test_both_ways_is_worse_than_silence() -> None:
    silent = score(FACTS, {**GOOD, "S": "Left knee pain. Denies fever."})["S"]
    both = score(FACTS, {**GOOD, "S": "Cough for 3 days. No cough. Left knee pain. Denies fever."})["S"]
    assert both < silent


def test_experiencer() -> None:
    facts = [COUGH, Fact(id="5", section="S", concept="asthma", experiencer="mother")]
    assert score(facts, {"S": "Cough for 3 days. Mother has asthma.", "P": "-"})["S"] == 1.0
    assert score(facts, {"S": "Cough for 3 days. Has asthma.", "P": "-"})["S"] < 0.7


def test_inventions_cost_and_drugs_cost_most() -> None:
    symptom = score(FACTS, {**GOOD, "S": GOOD["S"] + " Vertigo."})["S"]
    drug = score(FACTS, {**GOOD, "S": GOOD["S"] + " Warfarin."})["S"]
    number = score(FACTS, {**GOOD, "P": GOOD["P"] + " 37 mg."})["P"]
    assert drug < symptom < 1.0
    assert number < 0.9


def test_the_dialogue_licenses_a_statement_but_never_the_opposite_of_a_fact() -> None:
    source = "Doctor: Any nausea?\nPatient: Yes. And my fever is awful."
    extra = {**GOOD, "S": GOOD["S"] + " Nausea."}
    assert score(FACTS, extra, source=source)["S"] == pytest.approx(1.0)
    assert score(FACTS, extra)["S"] < 0.95
    assert score(FACTS, {**GOOD, "S": GOOD["S"].replace("Denies", "Reports")}, source=source)["S"] < 0.8


@pytest.mark.parametrize("tag", ["Patient: ", "[patient] "])
def test_a_copied_turn_costs(tag: str) -> None:
    assert score(FACTS, {**GOOD, "S": tag + GOOD["S"]})["S"] <= 0.5


def test_a_misplaced_fact_earns_half_and_costs() -> None:
    scores = score(
        [COUGH, NO_FEVER, DRUG], {"S": "Cough for 3 days. Denies fever. Metformin 500 mg BID.", "P": "Rest."}
    )
    assert 0 < scores["P"] < 0.7
    assert score([COUGH, NO_FEVER, DRUG], {"S": "Cough for 3 days. Denies fever.", "P": "Rest."})["P"] == 0.0


def test_a_field_without_facts_only_loses_by_inventing() -> None:
    assert score([COUGH], {"S": "Cough for 3 days.", "P": "None."})["P"] == 1.0
    assert score([COUGH], {"S": "Cough for 3 days.", "P": "Warfarin 5 mg."})["P"] < 0.3
    assert score([COUGH], {"S": "Cough for 3 days.", "P": ""})["P"] == 0.0


def test_a_phrase_with_no_in_its_name_denies_nothing() -> None:
    facts = [Fact(id="1", section="S", concept="no_distress"), COUGH]
    assert score(facts, {"S": "No acute distress, cough for 3 days.", "P": "-"})["S"] == 1.0


def test_extra_forms_of_a_fact_count_in_its_case_only() -> None:
    fact = replace(COUGH, forms=("a tickle in the throat",), time=None)
    assert score([fact], {"S": "A tickle in the throat.", "P": "-"})["S"] == 1.0
    assert score([replace(fact, forms=())], {"S": "A tickle in the throat.", "P": "-"})["S"] == 0.0


def test_two_facts_of_one_concept_explain_their_own_mentions() -> None:
    facts = [KNEE, Fact(id="6", section="S", concept="knee_pain", side="right", polarity="absent")]
    assert score(facts, {"S": "Left knee pain. No right knee pain.", "P": "-"})["S"] == 1.0


def test_without_facts_the_reference_output_is_the_truth() -> None:
    judge = FactsJudge(LEXICON, ("note",))
    given = task(output={"note": "Cough for 3 days. Slipped on the stairs. Metformin 500 mg BID."})
    texts = [
        "Cough for 3 days. Slipped on the stairs. Metformin 500 mg twice daily.",
        "Cough for 3 days. Metformin 500 mg twice daily.",
        "Cough for 3 days. Slipped on the stairs. Metformin 50 mg twice daily.",
        "Vertigo after skiing.",
    ]
    same, fewer, wrong, other = (v.criteria["note"] for v in judge(given, [{"note": t} for t in texts]))
    assert same == 1.0
    assert same > fewer > wrong == 0.0
    assert other == 0.0


@pytest.mark.parametrize(
    "source",
    [
        "Doctor: How long have you had the cough?\nPatient: Three days.\nDoctor: Fever?\nPatient: No.",
        "[doctor] how long have you had the cough ?\n[patient] 3 days .\n[doctor] fever ?\n[patient] no .",
    ],
)
def test_with_a_dialogue_only_its_facts_are_the_truth(source: str) -> None:
    judge = FactsJudge(LEXICON, ("S", "O", "A", "P"))
    given = task(source=source)
    good, flipped = judge(
        given,
        [
            {"S": "Cough. Denies fever.", "O": "-", "A": "-", "P": "-"},
            {"S": "Fever.", "O": "-", "A": "-", "P": "-"},
        ],
    )
    assert good.criteria["S"] > 0.6
    assert flipped.criteria["S"] < 0.2


def test_nothing_to_judge_by_is_unscored_not_zero() -> None:
    verdict = FactsJudge(LEXICON, ("S",))(task(), [{"S": "Cough."}])[0]
    assert verdict.criteria == {}
    assert set(verdict.unscored) == {"S"}


def test_values_that_are_not_text_are_read_as_text() -> None:
    assert score([COUGH], {"S": ["Cough", "for 3 days"], "P": None})["P"] == 0.0
    assert score([COUGH], {"S": ["Cough for 3 days", "otherwise well"], "P": "-"})["S"] == 1.0


def test_explain_names_each_fact_and_statement() -> None:
    judge = FactsJudge(LEXICON, ("S", "P"))
    findings = judge.explain(task(facts=FACTS), {**GOOD, "S": "Cough. Vertigo. Right knee pain."})
    facts = {f.fact_id: f.status for f in findings if f.kind == "fact"}
    assert facts == {"1": "partial:time", "2": "missing", "3": "contradicts:side", "4": "matched"}
    assert ("vertigo", "invented") in {(f.name, f.status) for f in findings if f.kind == "statement"}


def test_equal_tasks_judge_alike_whatever_came_before() -> None:
    judge = FactsJudge(LEXICON, ("S", "P"))
    first = judge(task(facts=FACTS), [GOOD])[0]
    judge(task(facts=[COUGH]), [GOOD])
    assert judge(task(facts=FACTS), [GOOD])[0] == first


def test_each_further_fact_pays_and_each_further_invention_costs() -> None:
    facts = [COUGH, NO_FEVER, KNEE, Fact(id="7", section="S", concept="nausea")]
    clauses = ["Cough for 3 days.", "Denies fever.", "Left knee pain.", "Nausea."]
    rising = [score(facts, {"S": " ".join(clauses[:n]), "P": "-"})["S"] for n in range(1, 5)]
    assert rising == sorted(rising)
    assert rising[-1] == 1.0
    inventions = ["Vertigo.", "Warfarin.", "Asthma.", "Potassium 6.8 mmol/L."]
    falling = [score(facts, {"S": " ".join(clauses + inventions[:n]), "P": "-"})["S"] for n in range(5)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == 5
