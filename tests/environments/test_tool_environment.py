from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

import attempts
from fivestones.environments.tool_use import Tool, ToolError, ToolUse
from fivestones.environments.tool_use.arguments import check_of
from fivestones.errors import DataError, EnvironmentFault, UsageError
from fivestones.hermes import write
from fivestones.protocols import ScoredEnvironment
from fivestones.types import Call, Message, Task

TASK = Task(id="1", prompt=(Message("user", "How warm?"),), reference={}, cluster="1")


def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
    """The weather."""
    if city == "Atlantis":
        raise ToolError("no city `Atlantis`; there are Oslo, Rome")
    if city == "Gone":
        raise EnvironmentFault("the service is gone")
    return f"{city} {days} {unit}" if city != "Long" else "".join(f"{i:06d}" for i in range(1000))


def submit_answer(answer: str) -> str:
    """Ends the episode."""
    raise AssertionError("never run")


PLACE = {
    "type": "object",
    "properties": {"lat": {"type": "number"}},
    "required": ["lat"],
    "additionalProperties": False,
}
NEAR = {
    "type": "object",
    "properties": {"place": PLACE, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2}},
    "required": ["place"],
}
near = Tool("near", "Cities near a place.", NEAR, lambda arguments: json.dumps(arguments))
ENVIRONMENT = ToolUse([weather, near, submit_answer], submit="submit_answer", longest=400)


def turn(text: str) -> list[Message]:
    return [*TASK.prompt, Message("assistant", text)]


def asked(name: str, **arguments: Any) -> str:
    return write([Call(name, json.dumps(arguments))])


def told(text: str) -> list[str]:
    replies = ENVIRONMENT.reply(TASK, turn(text))
    assert all(message.role == "tool" for message in replies)
    return [message.content for message in replies]


def test_every_call_is_answered_in_order() -> None:
    text = f"Let me see.\n{asked('weather', city='Oslo')}{asked('near', place={'lat': 1})}"
    assert told(text + "<tool_call>x</tool_call>" + asked("weather", city="Rome", days=2, unit="F")) == [
        "Oslo 1 C",
        '{"place": {"lat": 1}}',
        'error: the tool call cannot be read: no JSON but `x`: write {"name": ..., "arguments": {...}}',
        "Rome 2 F",
    ]


def test_a_turn_without_a_call_ends_the_episode() -> None:
    assert told("It is cold.") == []
    assert ENVIRONMENT.final_text(turn("<think>hm</think> It is cold. ")) == "It is cold."
    assert ENVIRONMENT.final_text(turn(f"So: {asked('weather', city='Oslo')}")) == "So:"
    assert ENVIRONMENT.final_text(TASK.prompt) == ""


def test_submitting_ends_it_too_unless_the_call_is_wrong() -> None:
    assert told(asked("weather", city="Oslo") + asked("submit_answer", answer="7")) == []
    assert told(asked("submit_answer", answer=7)) == [
        "error: submit_answer: argument `answer` must be string; got 7"
    ]


def test_the_same_turn_again_and_again_ends_it_where_that_is_asked_for() -> None:
    environment = ToolUse([weather], repeats=3)
    oslo, rome = (Message("assistant", asked("weather", city=city)) for city in ("Oslo", "Rome"))
    heard = Message("tool", "Oslo 1 C")
    twice = [*TASK.prompt, oslo, heard, oslo]
    assert environment.reply(TASK, twice) == [heard]
    assert environment.reply(TASK, [*twice, heard, oslo]) == []
    assert environment.reply(TASK, [*twice, heard, rome, heard, oslo]) == [heard]  # not in a row
    assert environment.reply(TASK, [*TASK.prompt, rome, heard, *twice[-3:]]) == [heard]
    assert ToolUse([weather]).reply(TASK, [*twice, heard, oslo, heard, oslo]) == [heard]
    with pytest.raises(UsageError, match="repeats: got 1; allowed: at least 2"):
        ToolUse([weather], repeats=1)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("wether", {}, "no tool `wether`. Did you mean `weather`? Available: weather, near, submit_answer"),
        (
            "weather",
            {},
            "weather: missing argument `city`. Arguments: city (string), days (integer, optional), "
            'unit ("C" | "F", optional)',
        ),
        ("weather", {"city": 5}, "weather: argument `city` must be string; got 5"),
        ("weather", {"city": "Oslo", "days": "2"}, 'weather: argument `days` must be integer; got "2"'),
        ("weather", {"city": "Oslo", "days": True}, "weather: argument `days` must be integer; got true"),
        (
            "weather",
            {"city": "Oslo", "unit": "K"},
            'weather: argument `unit` must be one of "C", "F"; got "K".',
        ),
        (
            "weather",
            {"citty": "Oslo"},
            "weather: unknown argument `citty`. Did you mean `city`? Arguments: city",
        ),
        ("near", {"place": {}}, "near: missing argument `place.lat`"),
        ("near", {"place": {"lat": "1"}}, 'near: argument `place.lat` must be number; got "1"'),
        ("near", {"place": {"lat": 1, "lon": 2}}, "near: unknown argument `lon` in `place`. Allowed: lat"),
        ("near", {"place": {"lat": 1}, "tags": [1]}, "near: argument `tags[0]` must be string; got 1"),
        ("near", {"place": {"lat": 1}, "tags": ["a"] * 3}, "near: argument `tags` breaks `maxItems: 2`"),
        ("weather", {"city": "Atlantis"}, "no city `Atlantis`; there are Oslo, Rome"),
    ],
)
def test_errors_are_text_that_says_what_to_mend(name: str, arguments: dict[str, Any], text: str) -> None:
    (reply,) = told(asked(name, **arguments))
    assert reply.startswith(f"error: {text}")


def test_whole_numbers_written_with_a_point_are_integers() -> None:
    assert told('<tool_call>{"name": "weather", "arguments": {"city": "Oslo", "days": 2.0}}') == ["Oslo 2 C"]


def test_a_fault_of_the_infrastructure_passes_through() -> None:
    with pytest.raises(EnvironmentFault, match="the service is gone"):
        told(asked("weather", city="Gone"))


def test_whatever_a_tool_of_ones_own_raises_is_told() -> None:
    def fails(arguments: Any) -> str:
        raise arguments["kind"]

    class Own(ToolUse):
        def run(self, task: Task, messages: Sequence[Message], call: Call) -> str:
            return fails({"kind": raised})

    def replies(environment: ToolUse) -> list[str]:
        return [reply.content for reply in environment.reply(TASK, turn(asked("odd")))]

    raised: Exception = KeyError("Rome")
    odd = Tool("odd", "", {"type": "object"}, lambda arguments: fails({"kind": raised}))
    none = Tool("odd", "", {"type": "object"}, lambda arguments: None)  # type: ignore[arg-type, return-value]
    assert replies(ToolUse([odd])) == replies(Own([odd])) == ["error: KeyError: 'Rome'"]
    assert replies(ToolUse([none]))[0].startswith("error: TypeError: ")
    for raised in (EnvironmentFault("gone"), UsageError("wrong"), DataError("bad")):
        for environment in (ToolUse([odd]), Own([odd])):
            with pytest.raises(type(raised)):
                replies(environment)


def test_long_output_is_cut_in_the_middle_and_says_so() -> None:
    (text,) = told(asked("weather", city="Long"))
    assert 380 < len(text) <= 400
    head, said, tail = text.partition("\n... [")
    assert head.startswith("000000000001") and tail.endswith("000998000999") and said
    cut = int(tail.split(" ")[0])
    assert cut == 6000 - len(head) - len(tail.rpartition("...\n")[2])
    assert "of 6000 characters cut; ask for less]" in tail


def test_output_that_is_no_text_is_made_one() -> None:
    odd = Tool("odd", "", {"type": "object"}, lambda arguments: "a\ud800ü")
    assert ToolUse([odd]).reply(TASK, turn(asked("odd")))[0].content == "a\ufffdü"


def test_a_demonstration_is_answered_as_a_sampled_turn() -> None:
    messages = [*TASK.prompt, Message("assistant", "", (Call("weather", '{"city": "Oslo"}'),))]
    assert ENVIRONMENT.reply(TASK, messages) == [Message("tool", "Oslo 1 C")]


def test_a_subclass_runs_calls_its_own_way() -> None:
    class Own(ToolUse):
        def run(self, task: Task, messages: Sequence[Message], call: Call) -> str:
            return f"{task.id} {len(messages)} {super().run(task, messages, call)}"

    assert Own([weather]).reply(TASK, turn(asked("weather", city="Oslo")))[0].content == "1 2 Oslo 1 C"
    assert Own([weather]).reply(TASK, turn(asked("x")))[0].content.startswith("error: no tool `x`")


def test_schemas_are_for_the_template() -> None:
    assert [schema["function"]["name"] for schema in ENVIRONMENT.tools] == [
        "weather",
        "near",
        "submit_answer",
    ]


@pytest.mark.parametrize(
    ("tools", "options", "message"),
    [
        ([weather, weather], {}, "two have the name `weather`"),
        ([weather], {"submit": "wether"}, "submit: no tool `wether`. Did you mean `weather`"),
        ([weather], {"longest": 10}, "longest: got 10; allowed: at least 200"),
        (
            [Tool("f", "", {"type": "strin"}, str)],
            {},
            r"tool `f`: parameters\['type'\] is not valid JSON Schema",
        ),
        ([Tool("f", "", {"type": "string"}, str)], {}, "parameters has type 'string'; allowed: 'object'"),
    ],
)
def test_bad_tools_are_a_usage_error(tools: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ToolUse(tools, **options)


def test_an_argument_that_may_be_a_list_may_have_choices_too() -> None:
    schema = {
        "type": "object",
        "properties": {"by": {"type": ["string", "array"], "enum": ["a", ["b"], "c"]}},
    }
    few = {"type": "object", "properties": {"by": {"type": ["string", "array"], "enum": ["a"]}}}
    for allowed, fitting in ((schema, (["b"], "a")), (few, ("a",))):
        check = check_of("tool", allowed)
        assert [check({"by": value}) for value in fitting] == [None] * len(fitting)
        assert "by" in (check({"by": ["x"]}) or "") and "by" in (check({"by": {}}) or "")


def test_a_reference_of_a_schema_is_never_fetched() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "http://192.0.2.1/schema.json"}}}
    with pytest.raises(UsageError, match="a \\$ref of its parameters leads nowhere"):
        ToolUse([Tool("f", "", schema, str)]).reply(TASK, turn(asked("f", a=1)))


def test_only_an_assistant_calls() -> None:
    with pytest.raises(ValueError, match="role 'user'"):
        ENVIRONMENT.reply(TASK, TASK.prompt)


def test_a_turn_costs_microseconds() -> None:
    messages = turn("I look it up.\n" + asked("weather", city="Oslo", days=3))

    def mean(turns: int) -> float:
        began = time.perf_counter()
        for _ in range(turns):
            ENVIRONMENT.reply(TASK, messages)
        return (time.perf_counter() - began) / turns

    assert min(mean(100) for _ in range(10)) < 100e-6


@pytest.fixture
def shop() -> Iterator[Any]:
    """The environment of examples/tools_job.py."""
    folder = str(Path(__file__).parents[2] / "examples")
    sys.path.insert(0, folder)
    try:
        import tools_job  # type: ignore[import-not-found]

        rows = [{"id": 1, "item": "desk", "count": 3, "answer": "630"}]
        yield tools_job.Shop({"train": rows})
    finally:
        sys.path.remove(folder)


def test_the_example_passes_its_gold_answer_and_fails_a_wrong_one(shop: ScoredEnvironment) -> None:
    (task,) = shop.tasks("train")
    gold, wrong = attempts.rollout(task, shop.reference_text(task)), attempts.rollout(task, "631")
    assert [score.reward for score in shop.scorer(task, [gold, wrong])] == [1.0, 0.0]
    assert list(shop.tasks("test")) == []


def test_the_demonstration_of_the_example_is_what_its_tools_say(shop: Any) -> None:
    (task,) = shop.tasks("train")
    messages = list(task.prompt)
    for said in shop.demonstration(task):
        if said.role == "tool":
            assert shop.reply(task, messages) == [said]
            assert not said.content.startswith("error")
        messages.append(said)
    assert shop.reply(task, messages) == []
    assert shop.lenient(shop.final_text(messages)) == {"answer": "630"}
    assert shop.reply(task, turn(asked("price", item="sofa")))[0].content.startswith(
        "error: no item 'sofa'; there"
    )
