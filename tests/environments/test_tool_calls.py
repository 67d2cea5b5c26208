from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestones.environments.tool_use import Malformed, parse
from fivestones.environments.tool_use.calls import MAX_CALLS
from fivestones.hermes import write
from fivestones.types import Call

NAMES = st.from_regex(r"[A-Za-z_][\w.-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["</think>", "<think>", "</tool_call>", "<tool_call>", '{"name": "g"}', "\\", '"', "[TOOL_CALLS]"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3)


def call(name: str, **arguments: Any) -> Call:
    return Call(name, json.dumps(arguments, ensure_ascii=False))


ONE = call("look", city="Oslo", days=3)
TWO = call("add", a=1.5, b=[1, {"c": None}])
J1 = '"name": "look", "arguments": {"city": "Oslo", "days": 3}'
J2 = '"name": "add", "arguments": {"a": 1.5, "b": [1, {"c": null}]}'
P1, P2 = (f"{{{text.replace('arguments', 'parameters')}}}" for text in (J1, J2))


@pytest.mark.parametrize(
    ("text", "calls", "rest"),
    [
        (f"<tool_call>\n{{{J1}}}\n</tool_call>", [ONE], ""),
        (f"I look.\n<tool_call>{{{J1}}}</tool_call>\n<tool_call>{{{J2}}}</tool_call>", [ONE, TWO], "I look."),
        (f"<tool_call>[{{{J1}}}, {{{J2}}}]</tool_call>", [ONE, TWO], ""),
        (f"<tool_call>{{{J1}}}", [ONE], ""),
        (f"<tool_call>{{{J1}}}\n<tool_call>{{{J2}}}", [ONE, TWO], ""),
        (P1, [ONE], ""),
        (f"<|python_tag|>{P1}; {P2}", [ONE, TWO], ""),
        (f" {P1};{P2} ", [ONE, TWO], ""),
        (f"[TOOL_CALLS][{{{J1}}}, {{{J2}}}]", [ONE, TWO], ""),
        (f"[TOOL_CALLS] [{{{J1}}}]", [ONE], ""),
        ('[TOOL_CALLS]look[ARGS]{"city": "Oslo", "days": 3}', [ONE], ""),
        ('[TOOL_CALLS]look{"city": "Oslo", "days": 3}[TOOL_CALLS]f{}', [ONE, call("f")], ""),
        (
            "<start_function_call>call:look{city:<escape>Oslo<escape>,days:3}<end_function_call>",
            [ONE],
            "",
        ),
        ("<start_function_call>call:add{a:1.5,b:[1,{c:null}]}<end_function_call>ok", [TWO], "ok"),
        ('<start_function_call>call:f{a:<escape>{b:1}, "x"\n<escape>}', [call("f", a='{b:1}, "x"\n')], ""),
        (
            "<tool_call>\n<function=look>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n"
            "</parameter>\n</function>\n</tool_call>\n",
            [ONE],
            "",
        ),
        ("<tool_call><function=f></function></tool_call>", [call("f")], ""),
        ("<function=f><parameter=a>x\n\ny</parameter></function>", [call("f", a="x\n\ny")], ""),
        (
            "<tool_call><function=f></function>\n<function=g></function></tool_call>",
            [call("f"), call("g")],
            "",
        ),
        ('<tool_call>{"name": "f"}</tool_call>', [call("f")], ""),
        (
            '<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>',
            [call("f", a="</tool_call>")],
            "",
        ),
    ],
)
def test_every_family_is_read(text: str, calls: list[Call], rest: str) -> None:
    found = parse(text)
    assert (list(found.calls), found.text) == (calls, rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "The answer is 42.",
        '{"city": "Oslo"}',
        '{"name": "Oslo", "people": 7}',
        "{",
        '["name"]',
        "null",
        '{"parameters": {}}',
        "FINAL ANSWER: {12 %}",
        '{"name": "f"} {"name": "g"}',
        "tool_call f(1)",
    ],
)
def test_what_is_no_call_is_text(text: str) -> None:
    found = parse(text)
    assert (found.calls, found.text) == ((), text)


def test_thoughts_are_not_read() -> None:
    block = f"<tool_call>{{{J1}}}</tool_call>"
    assert parse(f"<think>{block}</think>Done.").text == "Done."
    assert parse(f"<think>{block}</think>{block}").calls == (ONE,)
    assert parse(f"I might {block}</think>Done.") == parse("Done.")  # the prompt opened the thought
    assert parse(f"Hm <think>{block}").calls == ()  # it never ended
    assert parse(f"<think>no</think>{P1}").calls == (ONE,)


def test_values_of_the_syntax_without_quotes_follow_the_schema() -> None:
    text = "<tool_call><function=f><parameter=year>2024</parameter><parameter=n>2024</parameter></function>"
    kinds = {"year": {"type": ["string", "null"]}, "n": {"type": "integer"}}
    assert parse(text, {"f": {"properties": kinds}}).calls == (call("f", year="2024", n=2024),)
    assert parse(text).calls == (call("f", year=2024, n=2024),)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"name": "f", "arguments": {"a": 1, "a": 2}}', "key `a` is given twice"),
        ('{"name": "f", "name": "g"}', "key `name` is given twice"),
        ('{"name": "f", "arguments": {"a": NaN}}', "NaN is not JSON"),
        ('{"name": "f", "arguments": {"a": -Infinity}}', "-Infinity is not JSON"),
        ('{"name": "f", "arguments": {"a": 1e999}}', "out of range"),
        ('{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}", "out of range"),
        ('{"name": "f", "arguments": {"a": ' + "[" * 40 + "]" * 40 + "}}", "nested too deeply"),
        ('{"name": "f", "arguments": {"a": ' + "[" * 5000 + "]" * 5000 + "}}", "nested too deeply"),
        ('{"name": "f", "arguments": {"a": "\\ud800"}}', "surrogate"),
        ('{"name": "f", "arguments": "{}"}', "must be an object"),
        ('{"name": "f", "arguments": null}', "must be an object"),
        ('{"name": "f", "city": "Oslo"}', "unknown key `city`.*put it into"),
        ('{"name": "f", "arguments": {}, "parameters": {}}', "write one of them"),
        ('{"arguments": {}}', 'no "name"'),
        ('{"name": ["f"]}', 'no "name"'),
        ("7", "a call is an object"),
        ("[]", "empty list"),
        ("look(Oslo)", r"no JSON but `look\(Oslo\)`: write"),
        ("", "no JSON but"),
        ('{"name": "f", "arguments": {}}}', "text after the JSON: `}`; end the call"),
        ('{"name": "f", "arguments": {"a": 1 "b": 2}}', """',' delimiter at `"b": 2}}`"""),
        ('{"name": "f", "arguments": {"a": "1\n2"}}', r"line break .*after `.*1`: write \\n"),
        ("{'name': 'f'}", "double quotes at `'name'"),
        ("<function=f>x</function>", "not `x`"),
        ("<function=f><parameter=a</function>", "no name"),
        ("<function=f><parameter=a>1</parameter><parameter=a>2</parameter></function>", "`a` is given twice"),
        ("<function=></function>", "no name"),
    ],
)
def test_a_call_that_cannot_be_read_says_what_to_mend(body: str, reason: str) -> None:
    found = parse(f"Before <tool_call>{body}</tool_call> after <tool_call>{{{J1}}}</tool_call>")
    bad, good = found.calls
    assert isinstance(bad, Malformed)
    assert len(bad.reason) < 200 and len(bad.text) <= 400
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(bad.reason)
    assert good == ONE
    assert found.text == "Before  after"


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"a": "b',
        '<|python_tag|>brave_search.call(query="x")',
        '{"name": "f", "parameters": {"a": 1}',
        '{"name": "f", "parameters": {}} and so on',
        "[TOOL_CALLS]f(1)",
        '[TOOL_CALLS][{"name": "f", "arguments": {}}',
        "[TOOL_CALLS]",
        "<start_function_call>f(1)<end_function_call>",
        "<start_function_call>call:f{a:Oslo}<end_function_call>",
        "<start_function_call>call:f{a:1}}<end_function_call>",
        "<start_function_call>call:f{a:1,a:2}",
    ],
)
def test_other_syntaxes_gone_wrong_are_one_malformed_call(text: str) -> None:
    (bad,) = parse(text).calls
    assert isinstance(bad, Malformed) and bad.reason


@settings(max_examples=200)
@given(st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=4))
def test_what_is_written_is_read_back(made: list[tuple[str, dict[str, Any]]]) -> None:
    calls = tuple(Call(name, json.dumps(arguments, ensure_ascii=False)) for name, arguments in made)
    found = parse(write(calls))
    assert (found.calls, found.text) == (calls, "")


PIECES = [
    "<tool_call>",
    "</tool_call>",
    "<function=",
    "<parameter=",
    "</function>",
    "<think>",
    "</think>",
    "{",
    "}",
]
PIECES += [
    "[",
    "]",
    '"',
    ":",
    ",",
    "\\",
    "name",
    '{"name": "f", "parameters": {',
    "NaN",
    "<escape>",
    "1e",
    "\ud800",
]
PIECES += [
    "[TOOL_CALLS]",
    "[ARGS]",
    "<start_function_call>",
    "call:f{",
    "<end_function_call>",
    "<|python_tag|>",
    ";",
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=14).map("".join))
def test_nothing_raises_and_every_call_is_an_object(text: str) -> None:
    for read in parse(text).calls:
        if isinstance(read, Call):
            assert read.name and isinstance(json.loads(read.arguments), dict)
        else:
            assert read.reason


@pytest.mark.parametrize(
    "piece", [*PIECES, " ", "<tool_call>[", '<tool_call>{"a":', '{"a":', "<tool_call>[]</tool_call>"]
)
@pytest.mark.parametrize(
    "before", ["", "<tool_call>", '{"name": "f", "parameters": {"a": ', "<start_function_call>call:f{"]
)
def test_hostile_text_takes_linear_time(piece: str, before: str) -> None:
    text = before + piece * (100_000 // len(piece))
    began = time.perf_counter()
    found = parse(text)
    assert time.perf_counter() - began < 0.5
    assert len(found.calls) <= 2 * MAX_CALLS + 1


def test_a_key_given_twice_among_many_is_found_in_time() -> None:
    keys = [*map(str, range(20_000)), "19999"]
    body = ",".join(f'"{key}":1' for key in keys)
    began = time.perf_counter()
    (bad,) = parse(f'<tool_call>{{"name": "f", "arguments": {{{body}}}}}').calls
    assert isinstance(bad, Malformed) and bad.reason == "key `19999` is given twice"
    assert time.perf_counter() - began < 0.5


def test_calls_beyond_the_most_of_a_turn_are_told_once() -> None:
    found = parse(write([ONE] * (MAX_CALLS + 5)))
    assert found.calls[:MAX_CALLS] == (ONE,) * MAX_CALLS
    (last,) = found.calls[MAX_CALLS:]
    assert isinstance(last, Malformed) and f"more than {MAX_CALLS} calls" in last.reason
