"""Golden tables of both ways to grade, and properties that hold for any text."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.finqa.grader import Mode, final_answer, final_answers, grade
from fivestones.environments.finqa.number import read

MONEY = "$ 1,234 million"
CODES = ("CHF", "CAD", "AUD", "INR", "CNY", "KRW", "HKD", "SEK", "NOK", "DKK", "USD", "EUR", "GBP", "JPY")


@pytest.mark.parametrize(
    ("text", "base", "unit", "tolerance"),
    [
        ("$ 1,234", "1234", "$", "0.5"),
        ("1234", "1234", "", "0.5"),
        ("(56)", "-56", "", "0.5"),
        ("$ (56)", "-56", "$", "0.5"),
        ("($56)", "-56", "$", "0.5"),
        ("$ (56) million", "-56000000", "$", "500000"),
        ("($1.2 billion)", "-1200000000", "$", "50000000"),
        ("-$56", "-56", "$", "0.5"),
        ("$ -56", "-56", "$", "0.5"),
        ("−56", "-56", "", "0.5"),
        ("—", "0", "", "0.5"),
        ("$ —", "0", "$", "0.5"),
        ("— %", "0", "%", "0.5"),
        ("12.5 %", "12.5", "%", "0.05"),
        ("12.5%", "12.5", "%", "0.05"),
        ("(5.6) %", "-5.6", "%", "0.05"),
        ("(5.6 %)", "-5.6", "%", "0.05"),
        ("12.5 percent", "12.5", "%", "0.05"),
        ("1.5 percentage points", "1.5", "pp", "0.05"),
        ("150 basis points", "1.50", "pp", "0.005"),
        ("150 bps", "1.50", "pp", "0.005"),
        ("1.2 billion", "1200000000", "", "50000000"),
        ("$1.2B", "1200000000", "$", "50000000"),
        ("3.4M shares", "3400000", "share", "50000"),
        ("1,234 (in thousands)", "1234000", "", "500"),
        ("1,234 thousand", "1234000", "", "500"),
        ("5,200 employees", "5200", "employee", "0.5"),
        ("3.2x", "3.2", "x", "0.05"),
        ("3.2 times", "3.2", "x", "0.05"),
        ("€ 12", "12", "€", "0.5"),
        ("12 dollars", "12", "$", "0.5"),
        ("USD 12", "12", "$", "0.5"),
        ("12 million US dollars", "12000000", "$", "500000"),
        ("$ 1.23 per share", "1.23", "$", "0.005"),
        ("$1.23 per diluted share", "1.23", "$", "0.005"),
        (".5", "0.5", "", "0.05"),
        ("1.5e3", "1500", "", "50"),
        ("1.50", "1.50", "", "0.005"),
    ],
)
def test_a_displayed_number_is_read(text: str, base: str, unit: str, tolerance: str) -> None:
    number = read(text)
    assert number is not None
    assert (number.base, number.unit, number.tolerance) == (Decimal(base), unit, Decimal(tolerance))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "n/a", "not disclosed", "12,34", "1,2345", "1.2.3", "(56", "56)", "((56))", "-(56)"),
        "5 to 6",
        *("about 5", "$", "%", "million", "1 2", "7.25% Senior Notes due 2025", "١٢", "1e999", "--5"),
        "$ € 5",
        *("Revenue was $5", "5 % 5", "1/2", "0x10", "inf", "nan", "\x00", "5" * 500),
    ],
)
def test_what_is_no_displayed_number_is_none(text: str) -> None:
    assert read(text) is None


STRICT_RIGHT = [
    (MONEY, MONEY),
    ("1,234,000,000", MONEY),
    ("$1,234,000,000", MONEY),
    ("$1.234 billion", MONEY),
    ("1234 million", MONEY),
    ("1,234 million dollars", MONEY),
    ("USD 1,234 million", MONEY),
    *((f"5,000,000 {code}", f"{code} 5 million") for code in CODES),
    ("C$5 million", "CAD 5 million"),
    ("5 million Australian dollars", "A$ 5 million"),
    ("5 million", "CHF 5 million"),
    ("$1,234 million.", MONEY),
    ("**$1,234 million**", MONEY),
    ("$ 1,234.4 million", MONEY),
    ("$1,233.6 million", MONEY),
    ("1.2342 billion", MONEY),
    ("$ (56) million", "$ (56) million"),
    ("-$56 million", "$ (56) million"),
    ("-56,000,000", "$ (56) million"),
    ("0", "$ — million"),
    ("$1.23", "$ 1.23 per share"),
    ("$1.23 per share", "$ 1.23"),
    ("1.23", "$ 1.23"),
    ("12.5%", "12.5 %"),
    ("12.5 percent", "12.5 %"),
    ("12.54%", "12.5 %"),
    ("12.45%", "12.5 %"),
    ("1.5 percentage points", "1.5 percentage points"),
    ("1.5 pp", "1.5 percentage points"),
    ("150 basis points", "1.5 percentage points"),
    ("3.2x", "3.2 x"),
    ("5200 employees", "5,200 employees"),
    ("0.0052 million employees", "5,200 employees"),
    ("1.25", "1.25"),
    ("2024", "2024"),
    ("Not  Disclosed.", "not disclosed"),
    ('"not disclosed"', "not disclosed"),
    ("Level 3", "level 3"),
    ("7.25% Senior Notes due 2025", "7.25% senior notes due 2025"),
]
STRICT_WRONG = [
    ("", MONEY),
    ("1,234", MONEY),
    ("$ 1,234", MONEY),
    ("1,234 thousand", MONEY),
    ("$ 1,234 billion", MONEY),
    ("€ 1,234 million", MONEY),
    *((f"{one} 5 million", f"{other} 5 million") for one, other in permutations(CODES, 2)),
    ("1,234 million shares", MONEY),
    ("1,234 million %", MONEY),
    ("1,234,000,000x", MONEY),
    ("-$1,234 million", MONEY),
    ("$1.2 billion", MONEY),
    ("$1,234.6 million", MONEY),
    ("1,235 million", MONEY),
    ("about $1,234 million", MONEY),
    ("$1,234 million or $1,235 million", MONEY),
    ("not disclosed", MONEY),
    ("0.125", "12.5 %"),
    ("12.5", "12.5 %"),
    ("$12.5", "12.5 %"),
    ("12.56%", "12.5 %"),
    ("1250 %", "12.5 %"),
    ("12.5 percentage points", "12.5 %"),
    ("1.5 %", "1.5 percentage points"),
    ("1.5", "1.5 percentage points"),
    ("5,200", "5,200 employees"),
    ("5,200 shares", "5,200 employees"),
    ("3.2", "3.2 x"),
    ("125 %", "1.25"),
    ("$ 2024", "2024"),
    ("0", "not disclosed"),
    ("12.5 %", "not disclosed"),
    ("disclosed", "not disclosed"),
    ("", "not disclosed"),
    ("", ""),
]


@pytest.mark.parametrize(("answer", "truth"), STRICT_RIGHT)
def test_strict_right(answer: str, truth: str) -> None:
    assert grade(answer, truth) == 1.0


@pytest.mark.parametrize(("answer", "truth"), STRICT_WRONG)
def test_strict_wrong(answer: str, truth: str) -> None:
    assert grade(answer, truth) == 0.0


FIELDS = "2023: 5.1 %; 2024: 6.0 %"


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (FIELDS, 1.0),
        ("2024: 6.0 %; 2023: 5.1 %", 1.0),
        ("2024: 6%\n2023: 5.1%.", 1.0),
        ("2023: 5.1 %; 2024: 7.0 %", 0.5),
        ("2023: 5.1 %", 0.5),
        ("2023: 5.1 %; 2023: 5.1 %; 2024: 6.0 %", 0.5),
        ("2023: 5.1 %; 2024: 6.0 %; 2022: 4 %", 1.0),
        ("5.1 %; 6.0 %", 0.0),
        ("2023: 6.0 %; 2024: 5.1 %", 0.0),
        ("", 0.0),
    ],
)
def test_fields_are_scored_one_by_one(answer: str, value: float) -> None:
    assert grade(answer, FIELDS) == value


OPENENV_RIGHT = [
    # relative error of 1% and absolute error of 1
    ("1001", "1000"),
    ("101", "100"),
    ("99.0", "100"),
    ("0.0009", "0"),
    # boxes and wrappers on either side
    (r"\boxed{1000}", "1000"),
    ("1000", r"\boxed{1000}"),
    (r"\boxed{1000} million", r"\boxed{1000}"),
    (r"\( 5 \)", "5"),
    (r"\[5\]", "$5$"),
    ("$$5$$", "5"),
    (r"$\boxed{5}$", "5"),
    (r"\boxed{\$ 5}", "5"),
    (r"\boxed{5 \text{ million}}", "5"),
    ("  007 ", "7"),
    # percent
    ("6.28%", "0.0628"),
    ("0.0628", r"\boxed{6.28\%}"),
    ("4.5%", "4.500"),
    ("50%", r"\boxed{1/2}"),
    ("2023: 5%, 2024: 6%", r"\boxed{2023: 5, 2024: 6}"),
    (r"4.5\%", "4.500"),
    ("6.30%", "6.28%"),
    ("6.28 %", "6.28%"),
    # other numbers
    ("1/2", "50%"),
    ("-1/2", "-0.5"),
    ("(77)", "-77"),
    ("-77", "(77)"),
    ("1,234", "1234"),
    ("$1,234", "1234"),
    ("1.5e3", "1500"),
    # text
    ("Not Disclosed", "not disclosed"),
    ("1/0", "1/0"),
    # several values
    (r"\boxed{2024: 6%, 2023: 5%}", r"\boxed{2023: 5%, 2024: 6%}"),
    (r"2022 to 2023: 5; 2023 to 2024: 7", r"\boxed{2023 -> 2024: 7; 2022-2023: 5}"),
    (r"\boxed{5, 7}", r"\boxed{2023: 5, 2024: 7}"),
    ("0.933, 0.931, 0.930", r"\boxed{2022: 0.933, 2023: 0.931, 2024: 0.930}"),
    (r"\boxed{2023:\ 5,\;2024:\ 7}", r"\boxed{2023: 5, 2024: 7}"),
    (r"\boxed{1,234; 5,678}", r"\boxed{1,234, 5,678}"),
    (r"\boxed{5} and \boxed{7}", r"\boxed{5}, \boxed{7}"),
    ("5, 7", r"\boxed{5} \boxed{7}"),
]
OPENENV_WRONG = [
    ("1,005,000", "1e6"),
    ("102", "100"),
    ("1001.5", "1000"),
    ("0.001", "0"),
    ("6.28", "6.28%"),
    ("0.0628%", "6.28%"),
    ("0.5%", "50%"),
    (r"0.0628\%", r"\boxed{6.28\%}"),
    ("2023: 0.05%, 2024: 0.06%", r"\boxed{2023: 5%, 2024: 6%}"),
    (r"\boxed{0.5%} \boxed{7%}", r"\boxed{50%} \boxed{7%}"),
    ("7.00%", "6.28%"),
    ("1/0", "0"),
    ("1/2/3", "0.1667"),
    ("77", "(77)"),
    ("", "5"),
    (r"\boxed{}", "5"),
    ("5", ""),
    ("", ""),
    ("5", "five"),
    ("five", "5"),
    ("nan", "5"),
    ("inf", "1e300"),
    (r"\boxed{2024: 5%, 2023: 6%}", r"\boxed{2023: 5%, 2024: 6%}"),
    (r"\boxed{2022: 5%, 2024: 6%}", r"\boxed{2023: 5%, 2024: 6%}"),
    (r"\boxed{7, 5}", r"\boxed{2023: 5, 2024: 7}"),
    ("2022->2023: 5", r"\boxed{2022 to 2023: 5}"),  # of one value no key is read: it is a text
    (";", ","),
    (r"\boxed{5}", r"\boxed{5, 7}"),
    (r"\boxed{5, 7, 9}", r"\boxed{5, 7}"),
    (r"\boxed{7} \boxed{5}", r"\boxed{5} \boxed{7}"),
    (r"\boxed{5} \boxed{5}", "5"),
]


@pytest.mark.parametrize(("answer", "truth"), OPENENV_RIGHT)
def test_openenv_right(answer: str, truth: str) -> None:
    assert grade(answer, truth, "openenv") == 1.0


@pytest.mark.parametrize(("answer", "truth"), OPENENV_WRONG)
def test_openenv_wrong(answer: str, truth: str) -> None:
    assert grade(answer, truth, "openenv") == 0.0


def test_the_tolerances_of_openenv_can_be_set() -> None:
    assert grade("1,005,000", "1e6", "openenv", absolute=10_000) == 1.0
    assert grade("1001", "1000", "openenv", relative=0.0001) == 0.0


WRAPPERS = [
    *(r"\boxed{%s}", r"\(%s\)", r"\[%s\]", "$%s$", "$$%s$$", "  %s\n", r"$\boxed{%s}$ million"),
    r"\boxed{ %s \; }",
]
SHOWN = st.builds(
    lambda value, mask: mask % format(value, ",.2f"),
    st.decimals(0, 10**9, places=2),
    st.sampled_from(["%s", "(%s)", "-%s", "%s%%"]),
)


@settings(max_examples=200)
@given(SHOWN, SHOWN, st.sampled_from(WRAPPERS), st.sampled_from(WRAPPERS))
def test_wrappers_change_nothing_on_either_side(answer: str, truth: str, one: str, other: str) -> None:
    assert grade(truth, truth, "openenv") == 1.0
    bare = grade(answer, truth, "openenv")
    assert grade(one.replace("%s", answer), other.replace("%s", truth), "openenv") == bare


HOSTILE = st.text(max_size=60) | st.text(r"\boxed{}()[]$%;:,.-/ 0129e—" + "\n", max_size=60)


@settings(max_examples=400)
@given(HOSTILE, HOSTILE, st.sampled_from(["strict", "openenv"]))
def test_any_text_has_a_grade(answer: str, truth: str, mode: Mode) -> None:
    assert 0.0 <= grade(answer, truth, mode) <= 1.0
    final_answers(answer)


@settings(max_examples=100)
@given(st.integers(-(10**9), 10**9), st.sampled_from(["", " thousand", " million", " billion"]))
def test_money_is_right_in_any_form_and_wrong_by_a_factor(value: int, scale: str) -> None:
    truth = f"$ {value:,}{scale}" if value >= 0 else f"$ ({-value:,}){scale}"
    base = value * {"": 1, " thousand": 10**3, " million": 10**6, " billion": 10**9}[scale]
    assert grade(truth, truth) == grade(str(base), truth) == grade(f"{base:,} dollars", truth) == 1.0
    if value:
        assert grade(str(base * 100), truth) == grade(str(-base), truth) == grade(f"{base} %", truth) == 0.0


@pytest.mark.parametrize("mode", ["strict", "openenv"])
@pytest.mark.parametrize(
    "unit",
    [
        *("\\boxed{", "\\boxed{1}", "\\text{", "\\ ", "{", "}", "(", " ", "\n", "1", "1,", "1e", "1:1;"),
        *("a:", ";"),
        *("$", "%", "-", "/", "—", ".", "'", "*", "to ", "FINAL ANSWER:\n"),
    ],
)
def test_hostile_text_takes_linear_time(unit: str, mode: Mode) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        quickest = 9.0
        for _ in range(3):
            begin = time.perf_counter()
            grade(text, "5.1 %", mode)
            grade(text, "not disclosed", mode)
            grade("5", text, mode)
            final_answers(text)
            quickest = min(quickest, time.perf_counter() - begin)
        return quickest

    assert seconds(64_000) < max(0.05, 10 * seconds(16_000))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", ()),
        ("The answer is 5.", ()),
        ("I will write FINAL ANSWER: later", ()),
        ("FINAL ANSWER: 5", ("5",)),
        ("So.\nfinal answer:  $ 1,234 million \n", ("$ 1,234 million",)),
        ("**FINAL ANSWER:** 12.5 %", ("12.5 %",)),
        ("**FINAL ANSWER: 12.5 %**", ("12.5 %",)),
        ("### Final Answer: 5\nThanks", ("5",)),
        ("FINAL ANSWER: 5\nno:\nFINAL ANSWER: 6", ("5", "6")),
        ("FINAL ANSWER:\n2023: 5.1 %\n2024: 6.0 %\n\nDone", ("2023: 5.1 %\n2024: 6.0 %",)),
        ("FINAL ANSWER:", ()),
        ("FINAL ANSWER:\nFINAL ANSWER: 6", ("6",)),
    ],
)
def test_final_answers(text: str, answers: tuple[str, ...]) -> None:
    assert final_answers(text) == answers
    assert final_answer(text) == (answers[-1] if answers else None)
