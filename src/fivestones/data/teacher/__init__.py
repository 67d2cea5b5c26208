"""The teacher: a chat model that writes the texts of rows, each checked before it becomes data."""

from __future__ import annotations

from fivestones.data.teacher.attempts import Attempt, Piece, Tried, cause_of, tally, try_until_good
from fivestones.data.teacher.outputs import Case, Output, lacks_reference, tell_output, with_reference
from fivestones.data.teacher.preview import Forecast, Preview, forecast, line_of, preview
from fivestones.data.teacher.realiser import Drafted, Teacher, Told, account, cost_of
from fivestones.data.teacher.threads import in_order
from fivestones.data.teacher.writer import NoReply, Writer, Written

__all__ = [
    "Attempt",
    "Case",
    "Drafted",
    "Forecast",
    "NoReply",
    "Output",
    "Piece",
    "Preview",
    "Teacher",
    "Told",
    "Tried",
    "Writer",
    "Written",
    "account",
    "cause_of",
    "cost_of",
    "forecast",
    "in_order",
    "lacks_reference",
    "line_of",
    "preview",
    "tally",
    "tell_output",
    "try_until_good",
    "with_reference",
]
