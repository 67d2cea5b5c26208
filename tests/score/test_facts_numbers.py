from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from num2words import num2words

from fivestones.score.facts.numbers import canonical, parse, same


@pytest.mark.parametrize(
    ("text", "value", "second", "unit"),
    [
        ("142/88", 142, 88, None),
        ("one forty two over eighty eight", 142, 88, None),
        ("101.2 F", 101.2, None, "F"),
        ("a hundred and one point two degrees", 101.2, None, "F"),
        ("one oh two point three degrees fahrenheit", 102.3, None, "F"),
        ("38.5 C", 38.5, None, "C"),
        ("3-day", 3, None, "day"),
        ("a couple of days", 2, None, "day"),
        ("a week ago", 1, None, "week"),
        ("twenty five mg", 25, None, "mg"),
        ("two hundred and fifty milligrams", 250, None, "mg"),
        ("1,200 mg", 1200, None, "mg"),
        ("ninety two beats per minute", 92, None, "bpm"),
        ("9.8 g/dL", 9.8, None, "g/dl"),
        ("875/125 mg", 875, 125, None),
        ("26-year-old", 26, None, "age"),
        ("8.2%", 8.2, None, "%"),
    ],
)
def test_quantity(text: str, value: float, second: float | None, unit: str | None) -> None:
    found = parse(text)
    assert [(q.value, q.second, q.unit) for q in found] == [(value, second, unit)]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("twice daily", 2), ("BID", 2), ("b.i.d.", 2), ("two times a day", 2),
        ("every 12 hours", 2), ("q12h", 2),
        ("daily", 1), ("once a day", 1), ("at bedtime", 1), ("every eight hours", 3), ("TID", 3),
        ("four times daily", 4), ("once weekly", 1 / 7), ("every other day", 0.5), ("five times daily", 5),
    ],
)  # fmt: skip
def test_frequency(text: str, rate: float) -> None:
    assert [(q.dimension, pytest.approx(q.value)) for q in parse(text)] == [("rate", rate)]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("14 days", "2 weeks"), ("0.5 g", "500 mg"), ("38.5 C", "101.3 F"), ("24 months", "two years"),
        ("500 mcg", "0.5 mg"), ("154 lb", "70 kg"), ("72 hours", "three days"), ("92", "92 bpm"),
    ],
)  # fmt: skip
def test_same_after_conversion(a: str, b: str) -> None:
    assert same(parse(a)[0], parse(b)[0])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3 days", "4 days"),
        ("5 mg", "50 mg"),
        ("101.2 F", "101.4 F"),
        ("142/88", "142/80"),
        ("3 days", "3 mg"),
    ],
)
def test_different(a: str, b: str) -> None:
    assert not same(parse(a)[0], parse(b)[0])


def test_ranges_give_both_ends_and_corrections_both_numbers() -> None:
    assert [(q.value, q.unit) for q in parse("three to four days")] == [(3, "day"), (4, "day")]
    assert [q.value for q in parse("three, no, four days")] == [3, 4]


def test_words_with_digits_are_not_numbers() -> None:
    assert [q.value for q in parse("HbA1c 8.2%, B12, SpO2 94%")] == [8.2, 94]


def test_canonical_keeps_an_unknown_unit() -> None:
    assert same(canonical("5.1", "mmol/L")[0], canonical("5.1", "mmol/L")[0])
    assert canonical("clear", None) == []


@settings(max_examples=60)
@given(st.integers(min_value=10, max_value=9_999))
def test_spoken_numbers_read_back(n: int) -> None:
    assert [q.value for q in parse(num2words(n).replace(",", "") + " mg")] == [n]


def test_a_raised_digit_is_no_number() -> None:
    assert [q.value for q in parse("10 ml ³ and ①")] == [10.0]
