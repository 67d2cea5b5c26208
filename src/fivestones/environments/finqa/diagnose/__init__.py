"""What a model did in an episode, from its transcript alone: logged and reported, not rewarded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fivestones.environments.finqa.diagnose import (
    answering,
    computing,
    discovery,
    form,
    querying,
    recovery,
)
from fivestones.environments.finqa.diagnose.reading import Grading, Reading, read
from fivestones.types import Message, Task

__all__ = ["BEHAVIOURS", "diagnose"]

_READERS: tuple[tuple[Callable[[Reading], float | None], str], ...] = (
    (discovery.no_tool_answer, "answered without calling a tool"),
    (discovery.undiscovered_table, "used a table before listing the company's tables"),
    (discovery.hallucinated_table, "used a table that does not exist"),
    (discovery.same_turn_guess, "acted on something it could not have seen yet in the same turn"),
    (querying.uninspected_query, "queried a table before looking at its columns"),
    (querying.wrong_column, "queried a column that does not exist"),
    (querying.guard_violation, "wrote a query that the tool refuses (SELECT *, no filter, a write)"),
    (querying.text_aggregate, "summed or ordered displayed text as if it were numbers"),
    (querying.empty_ignored, "got no rows, did not ask that table again and answered with a number"),
    (recovery.error_abandoned, "gave up right after an error"),
    (recovery.error_unrecovered, "made an error and never got that tool to work again"),
    (recovery.blind_repeat, "repeated a failed call unchanged"),
    (recovery.recovered, "share of errors after which the tool worked"),
    (computing.mental_arithmetic, "computed without the calculator"),
    (computing.ungrounded_operand, "computed with a number that it was never shown"),
    (computing.ungrounded_final, "answered with a number that no tool showed"),
    (computing.ignored_output, "computed a result and answered with something else"),
    (answering.wrong_entity, "wrong, having asked about another company"),
    (answering.wrong_table, "wrong, not having queried a table that it needed"),
    (answering.wrong_cell, "wrong, having read other cells of the right table"),
    (answering.near_miss, "wrong by a scale, a sign, or a neighbouring row, year or table"),
    (form.no_final_answer, "gave no final answer"),
    (form.several_final_answers, "gave more than one final answer"),
    (form.unparsed_call, "wrote a tool call that cannot be read"),
    (form.unknown_tool, "called a tool that does not exist"),
    (form.bad_arguments, "called a tool with arguments that do not fit"),
    (form.out_of_turns, "ran out of turns"),
    (form.went_round, "made the same calls again until the episode was ended"),
    (form.out_of_length, "ran out of tokens"),
    (form.turns, "turns"),
    (form.calls, "tool calls"),
    (form.errors, "tool calls that failed"),
    (form.calls_over_fewest, "tool calls beyond the fewest possible, of right answers"),
)

BEHAVIOURS: Mapping[str, str] = {reader.__name__: says for reader, says in _READERS}
"""Name -> what it means, in the order of a report; the docstring of the function of that name defines it."""


def diagnose(
    task: Task,
    messages: Sequence[Message],
    finish: str,
    grading: Grading = "strict",
    submit: bool | None = None,
) -> dict[str, float | None]:
    """Every behaviour: 1.0 it happened, 0.0 it did not, None it does not apply; the counts as numbers.

    messages: the whole chat, prompt included. grading: what "right" means. submit: answers are submitted by a
    call (True), or written in a line (False); None: both count. Raises nothing, whatever the text.
    """
    reading = read(task, messages, finish, grading, submit)
    return {reader.__name__: reader(reading) for reader, _ in _READERS}
