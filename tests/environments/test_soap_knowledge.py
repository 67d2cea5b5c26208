"""The knowledge base is whole (counts, references), unambiguous, and clinically sane; bad data is refused."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fivestones.environments.soap.knowledge import (
    Condition,
    Entry,
    Knowledge,
    Sex,
    ambiguous,
    concepts,
    load,
    slug,
)
from fivestones.errors import DataError

FEMALE_ONLY = ("obstetrics", "gynecology")


@pytest.fixture(scope="module")
def kb() -> Knowledge:
    return load()


def patients(condition: Condition) -> list[tuple[int, Sex]]:
    """The youngest, middle and oldest patient of each sex that the condition allows."""
    low, high = condition.age
    sexes: tuple[Sex, ...] = (condition.sex,) if condition.sex else ("female", "male")
    return [(age, sex) for age in sorted({low, (low + high) // 2, high}) for sex in sexes]


def test_there_is_enough(kb: Knowledge) -> None:
    assert len(kb.specialties) >= 30
    assert len(kb.conditions) >= 400
    assert min(len(s.conditions) for s in kb.specialties) >= 12
    assert len({c.key for c in kb.conditions}) == len(kb.conditions)
    kinds = Counter(e.kind for e in kb.vocabulary.values())
    least = {"symptom": 180, "finding": 100, "test": 90, "drug": 130, "plan": 60, "history": 40, "social": 40}
    assert {k: kinds[k] for k, n in least.items() if kinds[k] < n} == {}


def test_loading_is_fast() -> None:
    start = time.process_time()
    load()
    assert time.process_time() - start < 2.0  # measured 0.25 s; the margin is for a busy machine


def test_no_form_belongs_to_two_concepts(kb: Knowledge) -> None:
    assert ambiguous(kb) == {}


def test_every_symptom_can_be_said_in_three_ways(kb: Knowledge) -> None:
    assert [e.key for e in kb.of_kind("symptom") if len({*e.forms, *e.say}) < 3] == []


def test_the_lexicon_covers_everything_in_lower_case(kb: Knowledge) -> None:
    lexicon = {c.name: c for c in concepts(kb)}
    assert set(lexicon) == set(kb.vocabulary)
    assert all(f == f.lower().strip() and f for c in lexicon.values() for f in c.forms)
    assert all(c.name.lower() in lexicon[c.key].forms for c in kb.conditions)
    assert lexicon["shortness_of_breath"].section == "S" and lexicon["aspirin"].section is None
    assert "get winded" in lexicon["shortness_of_breath"].forms


def test_a_condition_takes_over_the_forms_of_its_vocabulary_entry(kb: Knowledge) -> None:
    assert "high blood pressure" in kb.vocabulary["hypertension"].forms
    assert any(c.key == "hypertension" for c in kb.conditions)


def test_every_patient_of_every_condition_leaves_enough_to_draw_from(kb: Knowledge) -> None:
    thin: list[str] = []
    for c in kb.conditions:
        pools = {
            "core": (c.core, 1),
            "symptoms": ((*c.core, *c.extra), 3),
            "denied": (c.denied, 2),
            "exam": (c.exam, 2),
            "tests": ([t.key for t in c.tests], 1),
            "plan": (c.plan, 3),
        }
        if c.drugs:
            pools["drugs"] = ([d.key for d in c.drugs], 1)
        for age, sex in patients(c):
            for name, (keys, least) in pools.items():
                left = [k for k in keys if kb.vocabulary[k].fits(age=age, sex=sex, pregnant=c.pregnant)]
                if len(left) < least:
                    thin.append(f"{c.name}, {age} {sex}: {name} {left}")
    assert thin == []


def test_womens_specialties_are_female_and_only_obstetrics_is_pregnant(kb: Knowledge) -> None:
    for c in kb.conditions:
        if c.specialty in FEMALE_ONLY:
            assert c.sex == "female", c.name
        if c.pregnant:
            assert c.specialty == "obstetrics" and 14 <= c.age[0] <= c.age[1] <= 50, c.name
    assert any(c.pregnant for c in kb.conditions)


@pytest.mark.parametrize(
    ("key", "age", "sex", "pregnant", "allowed"),
    [
        ("retired", 40, "male", False, False),
        ("retired", 70, "male", False, True),
        ("knee_replacement", 12, "female", False, False),
        ("caesarean", 40, "male", False, False),
        ("caesarean", 30, "female", True, True),
        ("enlarged_prostate", 60, "female", False, False),
        ("contractions", 28, "male", False, False),
        ("lisinopril", 30, "female", True, False),
        ("lisinopril", 30, "female", False, True),
        ("isotretinoin", 25, "female", True, False),
        ("aspirin", 8, "male", False, False),
        ("heavy_alcohol", 12, "male", False, False),
        ("hysterectomy", 40, "female", True, False),
        ("alzheimers_disease", 30, "female", False, False),
    ],
)
def test_who_a_concept_can_apply_to(
    kb: Knowledge, key: str, age: int, sex: Sex, pregnant: bool, allowed: bool
) -> None:
    assert kb.vocabulary[key].fits(age=age, sex=sex, pregnant=pregnant) is allowed


def test_no_pregnant_patient_is_given_a_drug_that_is_barred(kb: Knowledge) -> None:
    barred = [
        (c.name, d.key)
        for c in kb.conditions
        if c.pregnant
        for d in c.drugs
        if not kb.vocabulary[d.key].fits(age=30, sex="female", pregnant=True)
    ]
    assert barred == []


def test_results_fit_the_sex_and_are_abnormal(kb: Knowledge) -> None:
    wrong: list[tuple[str, str]] = []
    for c in kb.conditions:
        for key in (k for t in c.tests for k in t.findings):
            finding = kb.vocabulary[key]
            if finding.reassuring or (finding.sex and finding.sex != c.sex):
                wrong.append((c.name, key))
    assert wrong == []


def test_vitals_are_within_what_a_living_patient_shows(kb: Knowledge) -> None:
    bounds = {"hr": (30, 220), "rr": (6, 70), "temp": (90, 107), "spo2": (60, 100), "bmi": (11, 60)}
    for c in kb.conditions:
        for key, numbers in c.vitals.items():
            assert len(numbers) == (4 if key == "bp" else 2), c.name
            low, high = bounds.get(key, (0, 400))
            assert all(low <= x <= high for x in numbers), (c.name, key)
            if key == "bp":
                assert numbers[1] > numbers[3] and numbers[0] > numbers[2], c.name


def test_children_have_their_own_normal_vitals(kb: Knowledge) -> None:
    hr = kb.vocabulary["hr"]
    assert hr.normal_at(1)[0] > hr.normal_at(40)[1]
    assert hr.normal_at(40) == hr.normal


def test_slug() -> None:
    assert slug("Crohn's disease") == "crohns_disease"
    assert slug("ST-elevation  MI") == "st_elevation_mi"


def test_entry_default_fits_anyone() -> None:
    assert Entry(key="x", kind="other", forms=("x",)).fits(age=0, sex="male")


# ---- refusals

VOCABULARY = """
cough: {kind: symptom, forms: [cough]}
fever: {kind: symptom, forms: [fever]}
rash: {kind: symptom, forms: [rash]}
itch: {kind: symptom, forms: [itch]}
pain: {kind: symptom, forms: [pain]}
swelling: {kind: symptom, forms: [swelling]}
limp: {kind: symptom, forms: [limp]}
wheeze: {kind: finding, forms: [wheeze on exam]}
rub: {kind: finding, forms: [rub]}
ecg: {kind: test, type: procedure, forms: [ecg]}
crp: {kind: test, type: lab, forms: [crp], unit: mg/L, normal: [1, 4]}
aspirin: {kind: drug, forms: [aspirin], doses: [81 mg], frequency: [once daily]}
heparin: {kind: drug, forms: [heparin], doses: [5000 units], frequency: [every 8 hours]}
rest: {kind: plan, type: advice, forms: [rest]}
fluids: {kind: plan, type: advice, forms: [fluids]}
ice: {kind: plan, type: advice, forms: [ice]}
"""
CONDITION = {
    "name": "mild cold",
    "age": [5, 80],
    "symptoms": {"core": ["cough", "fever"], "extra": ["rash", "itch"]},
    "denied": ["pain", "swelling", "limp"],
    "exam": ["wheeze", "rub"],
    "tests": ["ecg", {"crp": [5, 50]}],
    "drugs": ["aspirin", "heparin"],
    "plan": ["rest", "fluids", "ice"],
    "followup": ["2 weeks"],
}


def write(
    root: Path,
    vocabulary: str = VOCABULARY,
    extra: str | None = None,
    changes: dict[str, object] | None = None,
) -> Path:
    (root / "vocabulary").mkdir()
    (root / "specialties").mkdir()
    (root / "vocabulary" / "a.yaml").write_text(vocabulary, encoding="utf-8")
    if extra is not None:
        (root / "vocabulary" / "b.yaml").write_text(extra, encoding="utf-8")
    body = {"specialty": "general", "conditions": [{**CONDITION, **(changes or {})}]}
    (root / "specialties" / "general.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    return root


def test_a_small_base_loads(tmp_path: Path) -> None:
    small = load(write(tmp_path))
    (condition,) = small.conditions
    assert condition.key == "mild_cold" and condition.tests[1].range == (5.0, 50.0)
    assert condition.drugs[0].doses == ("81 mg",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"symptoms": {"core": ["couhg", "fever", "rash", "itch"]}},
            ["general.yaml", "mild cold", "couhg", "`cough`"],
        ),
        ({"exam": ["cough", "rub"]}, ["exam", "is a symptom", "finding"]),
        ({"exam": ["rub"]}, ["exam has 1 items", "at least 2"]),
        ({"denied": ["cough", "pain", "limp"]}, ["two symptom lists", "cough"]),
        ({"drugs": ["aspirin"]}, ["drugs has 1 items"]),
        ({"drugs": [{"aspirin": ["81 stones"]}, "heparin"]}, ["81 stones", "mg"]),
        ({"tests": [{"ecg": [1, 2]}, "crp"]}, ["ecg", "numeric"]),
        ({"tests": [{"crp": [9, 2]}, "ecg"]}, ["[9, 2]"]),
        ({"followup": ["soon"]}, ["followup", "soon", "2 weeks"]),
        ({"severity": ["mild"]}, ["unknown field `severity`", "`severities`"]),
        ({"severities": ["awful"]}, ["awful", "moderate"]),
        ({"sex": "male", "pregnant": True}, ["pregnant", "female"]),
        ({"age": [50, 20]}, ["age", "50"]),
    ],
)
def test_a_bad_condition_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(DataError) as refusal:
        load(write(tmp_path, changes=changes))
    assert [w for w in words if w not in str(refusal.value)] == []


def test_a_key_in_two_files_names_both(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b\.yaml.*`cough`.*a\.yaml"):
        load(write(tmp_path, extra="cough: {kind: symptom, forms: [tussis]}"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cough: {kind: symptom, forms: [tussis]}", "defined twice in this file: cough"),
        ("chill: {kind: symptom, forms: []}", "forms is empty"),
        ("chill: {kind: symptom, forms: [chill], dose: 3}", "unknown field `dose`"),
        ("chill: {kind: feeling, forms: [chill]}", "feeling"),
        ("chill: {kind: symptom, forms: [no]}", "list of strings"),  # YAML reads a bare no as false
        ("chill: {kind: symptom, forms: [chill], site: [tail]}", "`tail` is not defined"),
        ("pill: {kind: drug, forms: [pill], doses: [1 mg]}", "doses and frequency"),
        ("pill: {kind: drug, forms: [pill], doses: [1 mg], frequency: [hourly]}", "hourly"),
        ("Chill: {kind: symptom, forms: [chill]}", "lower case"),
    ],
)
def test_a_bad_entry_is_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(DataError) as refusal:
        load(write(tmp_path, vocabulary=VOCABULARY + line + "\n"))
    assert words in str(refusal.value)


def test_unreadable_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not readable as YAML"):
        load(write(tmp_path, extra="a: [1"))
