"""A typed reading of a transcript: turns, their calls, what the tools replied, and the final answers.

Every behaviour is a question to one `Reading`; each turn is parsed once. Nothing here raises, whatever the
text: what cannot be read is kept as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from fivestones.environments.finqa.diagnose.figures import Figure, figures_of_answer, figures_of_output
from fivestones.environments.finqa.grader import final_answers, grade
from fivestones.environments.finqa.tools import SUBMIT
from fivestones.environments.tool_use.calls import parse
from fivestones.environments.tool_use.environment import ERROR
from fivestones.types import Call, Message, Task

LIST, INSPECT, QUERY, CALCULATE = "get_table_names", "get_table_info", "sql_query", "calculator"
_TEXT = {"type": "string"}
_SCHEMAS = {  # all arguments are text, which one syntax of calls does not say
    tool: {"properties": dict.fromkeys(arguments, _TEXT)}
    for tool, arguments in {
        LIST: ("company",),
        INSPECT: ("company", "table"),
        QUERY: ("company", "table", "query"),
        CALCULATE: ("expression",),
        SUBMIT: ("answer",),
    }.items()
}

Grading = Literal["strict", "openenv"]


@dataclass(frozen=True)
class Asked:
    """One call of the model, or its attempt at one, with what came back."""

    place: int  # among all calls of the episode
    turn: int  # number of the assistant's turn
    name: str  # "" when the attempt could not be read
    arguments: Mapping[str, Any]  # empty when they could not be read
    key: str  # equal for equal calls
    output: str | None  # None: the episode ended without a reply to it

    @property
    def malformed(self) -> bool:
        return not self.name

    @property
    def failed(self) -> bool:
        return self.output is not None and self.output.startswith(ERROR)

    @property
    def answered(self) -> bool:
        """A reply came that is no error."""
        return self.output is not None and not self.failed

    @property
    def error(self) -> str:
        """What the tool says of the failure; "" when it did not fail."""
        return self.output[len(ERROR) :] if self.output is not None and self.failed else ""

    @cached_property
    def company(self) -> str:
        return self.text("company")

    @cached_property
    def table(self) -> str:
        return self.text("table")

    def text(self, argument: str) -> str:
        """An argument as `fold` makes it comparable; "" when it is no text."""
        value = self.arguments.get(argument)
        return fold(value) if isinstance(value, str) else ""

    @cached_property
    def figures(self) -> tuple[float, ...]:
        """Sizes of the numbers that the reply shows, ascending; none of an error."""
        return figures_of_output(self.output) if self.output is not None and self.answered else ()

    @cached_property
    def decoded(self) -> Any:
        """The reply as JSON; None when it is none, or was cut."""
        try:
            return json.loads(self.output) if self.output is not None and self.answered else None
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the assistant."""

    number: int
    calls: tuple[Asked, ...]  # submitting is not among them
    written: tuple[str, ...]  # final answers in its text
    submitted: tuple[str, ...]  # by a call

    @property
    def answers(self) -> tuple[str, ...]:
        return (*self.written, *self.submitted)


@dataclass(frozen=True)
class Reading:
    """An episode. `calls` are those of tools that tell something: a submitted answer is among `answers`."""

    task: Task
    question: str
    turns: tuple[Turn, ...]
    finish: str
    grading: Grading = "strict"
    submit: bool | None = None  # answers are submitted by a call, not written in a line; None: either
    calls: tuple[Asked, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", tuple(call for turn in self.turns for call in turn.calls))

    def of(self, *names: str) -> Iterator[Asked]:
        """The calls of some tools, in order."""
        return (call for call in self.calls if call.name in names)

    @cached_property
    def errors(self) -> tuple[Asked, ...]:
        return tuple(call for call in self.calls if call.failed)

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """All that was given as a final answer, in any turn."""
        return tuple(answer for turn in self.turns for answer in turn.answers)

    @cached_property
    def answer(self) -> str | None:
        """The final answer: the last one of the last turn. None when that turn gives none, calls a tool
        beside a line, or was not the model's own end."""
        if not self.turns or self.finish in ("length", "turns"):
            return None
        last = self.turns[-1]
        written = last.written if self.submit is not True and not last.calls else ()
        given = (*written, *(last.submitted if self.submit is not False else ()))
        return given[-1] if given else None

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The numbers that the final answer gives."""
        return () if self.answer is None else figures_of_answer(self.answer)

    @cached_property
    def right(self) -> bool:
        """There is a final answer and the grader gives it all points."""
        return self.answer is not None and grade(self.answer, self.truth, self.grading) >= 1.0

    @property
    def truth(self) -> str:
        return str(self.task.reference.get("answer", ""))

    @cached_property
    def company(self) -> str:
        return fold(str(self.task.reference.get("company", "")))

    @cached_property
    def needed(self) -> frozenset[str]:
        """The tables that the answer is made from; empty when the task does not tell."""
        return frozenset(fold(str(name)) for name in self.task.reference.get("tables") or ())

    @cached_property
    def operates(self) -> bool:
        """The reference answer takes an operation, not only a look."""
        return any(step.get("name") == CALCULATE for step in self.task.reference.get("plan") or ())


def read(
    task: Task,
    messages: Sequence[Message],
    finish: str,
    grading: Grading = "strict",
    submit: bool | None = None,
) -> Reading:
    """messages: the whole chat, prompt included. Replies belong to the calls before them, in their order."""
    prompt = len(task.prompt)
    question = "\n".join(m.content for m in messages[:prompt] if m.role == "user")
    turns: list[Turn] = []
    place = 0
    rest = list(messages[prompt:])
    for i, message in enumerate(rest):
        if message.role != "assistant":
            continue
        replies = []
        for reply in rest[i + 1 :]:
            if reply.role == "assistant":
                break
            if reply.role == "tool":
                replies.append(reply.content)
        turn = _turn(message, len(turns), place, replies)
        turns.append(turn)
        place += len(turn.calls)
    return Reading(task, question, tuple(turns), finish, grading, submit)


def fold(name: str) -> str:
    """A name as far as its letters matter."""
    return name.strip().casefold()


def _turn(message: Message, number: int, place: int, replies: Sequence[str]) -> Turn:
    parsed = parse(message.content, _SCHEMAS)
    calls: list[Asked] = []
    submitted: list[str] = []
    for i, call in enumerate((*parsed.calls, *message.calls)):  # the latter: of a demonstration
        output = replies[i] if i < len(replies) else None
        if not isinstance(call, Call):
            calls.append(Asked(place + len(calls), number, "", {}, call.text, output))
            continue
        arguments = _arguments(call.arguments)
        answer = arguments.get("answer")
        fits = isinstance(answer, str) and len(arguments) == 1
        if call.name == SUBMIT and fits and output is None:  # a reply would be an error
            submitted.append(str(answer))
            continue
        key = f"{call.name} {_canonical(arguments)}" if arguments else f"{call.name} {call.arguments}"
        calls.append(Asked(place + len(calls), number, call.name, arguments, key, output))
    return Turn(number, tuple(calls), final_answers(parsed.text), tuple(submitted))


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _canonical(arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps(arguments, sort_keys=True)
    except RecursionError:
        return ""
