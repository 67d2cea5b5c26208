"""The adversarial table on a hand-made case and on generated rows."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from statistics import mean

import pytest

from fivestones.environments.soap.facts import extra_concepts
from fivestones.environments.soap.generate import generate, plan
from fivestones.environments.soap.knowledge import Knowledge, concepts, load
from fivestones.score.adversarial import (
    BOUNDS,
    MODES,
    REFERENCE_LEAST,
    REFERENCE_MEAN,
    UNSEEN,
    WORST,
    Attack,
    Mode,
    attacks,
)
from fivestones.score.facts import FactsJudge, Lexicon
from fivestones.score.facts.case import as_fact
from fivestones.types import Concept, Fact, Message, Task

FIELDS = ("S", "O", "A", "P")


def concept(name: str, kind: str, *forms: str) -> Concept:
    return Concept(name=name, kind=kind, forms=forms or (name.replace("_", " "),))


CONCEPTS = (
    concept("cough", "symptom", "cough", "coughing", "hacking"),
    concept("fever", "symptom", "fever", "feverish"),
    concept("chills", "symptom"),
    concept("chest_pain", "symptom", "chest pain", "pain in my chest"),
    concept("shortness_of_breath", "symptom", "shortness of breath", "dyspnea", "winded"),
    concept("hemoptysis", "symptom", "hemoptysis", "coughing up blood"),
    concept("vertigo", "symptom"),
    concept("seizure", "condition"),
    concept("fracture", "condition"),
    concept("knee_pain", "symptom", "knee pain", "pain in the knee"),
    concept("locking", "symptom", "locking", "locks up"),
    concept("knee_effusion", "finding", "knee effusion", "fluid in the knee"),
    concept("crackles", "finding", "crackles", "crackling sounds"),
    concept("wheeze", "finding", "wheezing"),
    concept("temperature", "vital", "temperature", "temp"),
    concept("blood_pressure", "vital", "blood pressure", "bp"),
    concept("heart_rate", "vital", "heart rate", "pulse"),
    concept("pneumonia", "condition", "pneumonia", "lung infection"),
    concept("asthma", "condition"),
    concept("diabetes", "condition", "diabetes", "type 2 diabetes"),
    concept("meniscal_tear", "condition", "meniscal tear", "torn meniscus"),
    concept("amoxicillin", "drug"),
    concept("warfarin", "drug"),
    concept("metformin", "drug"),
    concept("naproxen", "drug"),
    concept("chest_xray", "test", "chest x-ray", "x-ray of the chest"),
    concept("knee_mri", "test", "knee mri", "mri of the knee"),
    concept("follow_up", "plan", "follow up", "see you again"),
    concept("rest", "plan", "rest"),
    concept("smoker", "social", "smoker", "smokes"),
    concept("craniotomy", "plan"),
    concept("potassium", "test"),
    concept("knee", "body_site"),
    concept("lung_base", "body_site", "lung base"),
)
LEXICON = Lexicon(CONCEPTS)
FORMS = {c.name: c.forms for c in CONCEPTS}

FACTS = (
    Fact(id="S0", section="S", concept="cough", time="3 day", critical=True),
    Fact(id="S1", section="S", concept="fever"),
    Fact(id="S2", section="S", concept="chills", polarity="absent"),
    Fact(id="S3", section="S", concept="chest_pain", polarity="absent"),
    Fact(
        id="S4", section="S", concept="metformin", value="500", unit="mg", time="twice daily", critical=True
    ),
    Fact(id="S5", section="S", concept="asthma", experiencer="mother"),
    Fact(id="O0", section="O", concept="temperature", value="101.2", unit="F"),
    Fact(id="O1", section="O", concept="blood_pressure", value="142/88", unit="mmHg"),
    Fact(id="O2", section="O", concept="crackles", side="left", critical=True),
    Fact(id="O3", section="O", concept="wheeze", polarity="absent"),
    Fact(id="A0", section="A", concept="pneumonia", side="left", critical=True),
    Fact(id="A1", section="A", concept="diabetes"),
    Fact(
        id="P0", section="P", concept="amoxicillin", value="875", unit="mg", time="twice daily", critical=True
    ),
    Fact(id="P1", section="P", concept="chest_xray"),
    Fact(id="P2", section="P", concept="follow_up", time="2 week"),
)
NOTE = {
    "S": "Cough for 3 days with fever. Denies chills or chest pain. Takes metformin 500 mg twice daily. "
    "Mother has asthma.",
    "O": "Temp 101.2 F, BP 142/88 mmHg. Crackles at the left lung base, no wheezing.",
    "A": "Left-sided pneumonia. Type 2 diabetes.",
    "P": "Start amoxicillin 875 mg twice daily. Chest x-ray. Follow up in 2 weeks.",
}
DIALOGUE = """Doctor: What brings you in today?
Patient: I've been coughing for three days now, and I feel feverish.
Doctor: Any chills or pain in your chest?
Patient: No, none of that. I take metformin, five hundred, twice a day. My mom has asthma, is that it?
Doctor: Your temperature is one oh one point two and the blood pressure is one forty two over eighty eight.
Doctor: I hear crackling sounds at the left lung base, no wheezing. I think you have a pneumonia on the left.
Doctor: With your diabetes we should treat it. Amoxicillin, eight hundred seventy five milligrams twice a day.
Doctor: We'll get a chest x-ray, and I'd like to see you again in two weeks."""

OTHER_NOTE = {
    "S": "Right knee pain for 6 weeks with locking. Denies fever. Smoker.",
    "O": "Right knee effusion. Heart rate 72.",
    "A": "Meniscal tear of the right knee.",
    "P": "Naproxen 250 mg twice daily. MRI of the knee. Rest.",
}


def task(**reference: object) -> Task:
    return Task(
        id=str(sorted(reference)),
        prompt=(Message("user", DIALOGUE),),
        reference=reference,
        cluster="pneumonia",
    )


ATTACKS = attacks(NOTE, facts=FACTS, source=DIALOGUE, other=OTHER_NOTE, forms=FORMS)


def test_the_case_allows_every_attack() -> None:
    assert set(ATTACKS) == set(BOUNDS)


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_hand_made_case(name: str) -> None:
    attack = ATTACKS[name]
    judge = FactsJudge(LEXICON, FIELDS)
    criteria = judge(task(facts=list(FACTS), source=DIALOGUE), [attack.output])[0].criteria
    assert mean(criteria[f] for f in attack.fields) < BOUNDS[name]


def test_hand_made_reference() -> None:
    judge = FactsJudge(LEXICON, FIELDS)
    criteria = judge(task(facts=list(FACTS), source=DIALOGUE), [NOTE])[0].criteria
    assert min(criteria.values()) >= REFERENCE_MEAN["facts"]


def test_an_attack_leaves_the_other_fields_alone() -> None:
    attack = ATTACKS["swapped_side"]
    assert attack.fields == ("O", "A")
    assert attack.output["P"] == NOTE["P"]


@dataclass(frozen=True)
class Row:
    """A generated row: what a judge may know of it, its note, and the attacks on that."""

    known: dict[Mode, dict[str, object]]
    note: dict[str, str]
    attacks: dict[str, Attack]


@pytest.fixture(scope="module")
def kb() -> Knowledge:
    return load()


@pytest.fixture(scope="module")
def rows(kb: Knowledge) -> list[Row]:
    """64 rows, each with its neighbour's note as another case's."""
    forms = {c.name: c.forms for c in (*concepts(kb), *extra_concepts())}
    made = [generate(kb, item, 7, "short") for item in plan(kb, 48, 16, 7)]
    out = []
    for row, before in zip(made, [made[-1], *made[:-1]], strict=True):
        raw, note, source = json.loads(row["facts"]), json.loads(row["note"]), row["dialogue"]
        table = attacks(
            note,
            facts=[as_fact(f) for f in raw],
            source=source,
            other=json.loads(before["note"]),
            forms=forms,
        )
        known: dict[Mode, dict[str, object]] = {
            "facts": {"facts": raw, "source": source},
            "reference": {"output": note, "source": source},
            "dialogue": {"source": source},
        }
        out.append(Row(known, note, table))
    return out


@pytest.mark.parametrize("mode", MODES)
def test_generated_rows(kb: Knowledge, rows: list[Row], mode: Mode) -> None:
    """The reference near 1, each attack under its bounds, in the mean and in the worst section."""
    judge = FactsJudge(Lexicon([*concepts(kb), *extra_concepts()]), FIELDS)
    scores: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        outputs = [row.note, *(a.output for a in row.attacks.values())]
        reference, *verdicts = judge(task(**row.known[mode]), outputs)
        scores["reference"] += reference.criteria.values()
        for attack, verdict in zip(row.attacks.values(), verdicts, strict=True):
            scores[attack.name] += [verdict.criteria[f] for f in attack.fields]
    references = scores.pop("reference")
    assert mean(references) >= REFERENCE_MEAN[mode]
    assert min(references) >= REFERENCE_LEAST[mode]
    assert {name: round(mean(v), 3) for name, v in scores.items() if mean(v) >= BOUNDS[name]} == {}
    worst = {name: round(max(v), 3) for name, v in scores.items()}
    assert {n: w for n, w in worst.items() if w > UNSEEN.get((mode, n), WORST[n])} == {}
    assert set(scores) == set(BOUNDS) == set(WORST)


def test_what_a_mode_cannot_see_is_told_truly(kb: Knowledge, rows: list[Row]) -> None:
    """Each exception of `UNSEEN` is needed: without it the bound would break."""
    judge = FactsJudge(Lexicon([*concepts(kb), *extra_concepts()]), FIELDS)
    for (mode, name), told in UNSEEN.items():
        found = [
            judge(task(**row.known[mode]), [attack.output])[0].criteria[field]
            for row in rows
            if (attack := row.attacks.get(name))
            for field in attack.fields
        ]
        assert WORST[name] < max(found) <= told
