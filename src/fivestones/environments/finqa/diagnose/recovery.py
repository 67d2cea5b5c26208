"""What followed an error of a tool. None of these applies without errors."""

from __future__ import annotations

from fivestones.environments.finqa.diagnose.reading import Asked, Reading
from fivestones.environments.finqa.diagnose.wordings import unknown_tool
from fivestones.environments.finqa.tools import SUBMIT


def error_abandoned(reading: Reading) -> float | None:
    """The last reply to a call is an error, and the model took a further turn in which it called nothing (or
    submitted its answer)."""
    if not reading.errors:
        return None
    last = reading.calls[-1]
    return float(last.failed and last.turn < len(reading.turns) - 1)


def error_unrecovered(reading: Reading) -> float | None:
    """An error after which no call of the same tool succeeded; of any tool where the error was of an attempt
    that could not be read or of a tool that does not exist."""
    return float(not all(_recovered(reading, error) for error in reading.errors)) if reading.errors else None


def recovered(reading: Reading) -> float | None:
    """Share of the errors after which a call succeeded, in the sense of `error_unrecovered`."""
    if not reading.errors:
        return None
    return sum(_recovered(reading, error) for error in reading.errors) / len(reading.errors)


def blind_repeat(reading: Reading) -> float | None:
    """A call that had failed was made again, in a later turn, with equal arguments."""
    if not reading.errors:
        return None
    first = {error.key: error.turn for error in reversed(reading.errors)}
    return float(any(call.turn > first.get(call.key, call.turn) for call in reading.calls))


def _recovered(reading: Reading, error: Asked) -> bool:
    later = [call for call in reading.calls if call.place > error.place and call.answered]
    if error.malformed or unknown_tool(error):
        return bool(later) or _submitted(reading, error)
    if error.name == SUBMIT:
        return _submitted(reading, error)
    return any(call.name == error.name for call in later)


def _submitted(reading: Reading, error: Asked) -> bool:
    return any(turn.answers for turn in reading.turns[error.turn + 1 :])
