"""Form and budget: always apply, but for the calls beyond the fewest."""

from __future__ import annotations

from fivestones.environments.finqa.diagnose.reading import Reading
from fivestones.environments.finqa.diagnose.wordings import bad_argument
from fivestones.environments.finqa.diagnose.wordings import unknown_tool as no_such_tool


def no_final_answer(reading: Reading) -> float:
    """The last turn gives no final answer, calls a tool beside it, or was cut off by a limit."""
    return float(reading.answer is None)


def several_final_answers(reading: Reading) -> float:
    """More than one final answer in the episode, in one turn or in several."""
    return float(len(reading.answers) > 1)


def unparsed_call(reading: Reading) -> float:
    """An attempt at a call that could not be read."""
    return float(any(call.malformed for call in reading.calls))


def unknown_tool(reading: Reading) -> float:
    """A call of a tool that does not exist."""
    return float(any(map(no_such_tool, reading.calls)))


def bad_arguments(reading: Reading) -> float:
    """A call whose arguments do not fit the tool's schema."""
    return float(any(map(bad_argument, reading.calls)))


def out_of_turns(reading: Reading) -> float:
    """The episode ended by its limit of turns."""
    return float(reading.finish == "turns")


def out_of_length(reading: Reading) -> float:
    """The episode ended by its limit of tokens."""
    return float(reading.finish == "length")


def went_round(reading: Reading) -> float:
    """The episode was ended at a turn whose calls were never answered: one that it had repeated too often."""
    last = reading.turns[-1] if reading.turns else None
    unanswered = last is not None and any(call.output is None for call in last.calls)
    return float(reading.finish == "stop" and unanswered and not (last and last.submitted))


def turns(reading: Reading) -> float:
    """Turns of the model."""
    return float(len(reading.turns))


def calls(reading: Reading) -> float:
    """Calls of tools, readable or not; the submission of the answer is none."""
    return float(len(reading.calls))


def errors(reading: Reading) -> float:
    """Calls that failed."""
    return float(len(reading.errors))


def calls_over_fewest(reading: Reading) -> float | None:
    """Calls beyond those of the reference plan (below 0: a shorter way). None unless the answer is right."""
    fewest = reading.task.reference.get("fewest")
    if fewest is None or not reading.right:
        return None
    return float(len(reading.calls) - int(fewest))
