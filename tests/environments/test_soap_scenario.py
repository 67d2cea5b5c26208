"""Scenarios honour every constraint of the knowledge base."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.soap import knowledge
from fivestones.environments.soap.facts import facts_of, signature, to_dict
from fivestones.environments.soap.scenario import CAREGIVEN_BELOW, FACTS, SECTIONS, cells, count, draw
from fivestones.types import Fact

KB = knowledge.load()
CONDITIONS = st.sampled_from(KB.conditions)
SEEDS = st.integers(0, 10**6)
LENGTHS = st.sampled_from(("short", "long"))


@settings(max_examples=300)
@given(CONDITIONS, SEEDS, LENGTHS)
def test_a_scenario_fits_its_patient(condition, seed, length):
    s = draw(KB, condition, Random(seed), length)
    assert condition.sex in (None, s.sex)
    assert condition.age[0] <= s.age <= max(condition.age[1], condition.age[0] + 1)
    assert s.pregnant == condition.pregnant
    assert not (s.pregnant and s.sex == "male")
    assert s.severity in condition.severities
    assert (s.caregiver is not None) or s.age >= CAREGIVEN_BELOW
    for item in s.items:
        if item.role in ("vital", "family", "assessment", "followup"):
            continue
        assert item.entry.fits(age=s.age, sex=s.sex, pregnant=s.pregnant), item
    for item in s.of("family"):
        woman = item.relative in ("mother", "sister", "grandmother", "aunt")
        assert item.entry.sex in (None, "female" if woman else "male")
        assert item.relative != s.caregiver


@settings(max_examples=300)
@given(CONDITIONS, SEEDS, LENGTHS)
def test_size_sections_and_uniqueness(condition, seed, length):
    s = draw(KB, condition, Random(seed), length)
    facts = facts_of(s)
    low, high = FACTS[length]
    assert low <= len(facts) == count(s.items) <= high
    assert {f.section for f in facts} == set("SOAP")
    assert len({f.id for f in facts}) == len(facts)
    keys = [i.entry.key for i in s.items]
    assert len(keys) == len(set(keys)), "a concept is used once"
    assert not set(keys) & {i.entry.key for i in s.distractors}
    assert all(i.role in SECTIONS for i in s.items)


@settings(max_examples=200)
@given(CONDITIONS, SEEDS, LENGTHS)
def test_numbers_are_plausible(condition, seed, length):
    s = draw(KB, condition, Random(seed), length)
    for item in s.of("vital"):
        low, high, *rest = condition.vitals.get(item.entry.key) or item.entry.normal_at(s.age)
        if rest:
            systolic, diastolic = map(int, item.value.split("/"))
            assert low <= systolic <= high
            assert systolic - diastolic >= 20
        else:
            assert low - 0.06 <= float(item.value) <= high + 0.06
    allowed = {d.key: d.doses or KB.vocabulary[d.key].doses for d in condition.drugs}
    for item in s.of("drug"):
        assert f"{item.value} {item.unit}" in allowed[item.entry.key]
        assert item.time in item.entry.frequency


def test_a_draw_is_a_function_of_its_generator():
    condition = KB.conditions[0]
    assert draw(KB, condition, Random(5), "long") == draw(KB, condition, Random(5), "long")
    assert draw(KB, condition, Random(5), "long") != draw(KB, condition, Random(6), "long")


@pytest.mark.parametrize("condition", KB.conditions, ids=lambda c: c.key)
def test_every_condition_has_groups_for_both_splits(condition):
    groups = cells(condition)
    assert len({c.group for c in groups}) == len(groups) >= 2
    for cell in groups:
        s = draw(KB, condition, Random(1), "short", cell)
        assert cell.age[0] <= s.age <= cell.age[1]
        assert (s.sex, s.severity) == (cell.sex, cell.severity)


def test_a_fact_survives_its_dict():
    for fact in facts_of(draw(KB, KB.conditions[0], Random(0), "long")):
        raw = to_dict(fact)
        assert Fact(**{**raw, "forms": tuple(raw.get("forms", ()))}) == fact


def test_the_signature_sees_attributes_and_not_order():
    facts = facts_of(draw(KB, KB.conditions[0], Random(0), "short"))
    same = signature(reversed(facts), "x")
    assert signature(facts, "x") == same
    assert signature(facts[1:], "x") != same
    assert signature(facts, "y") != same
