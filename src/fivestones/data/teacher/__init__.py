"""The teacher: a chat model that writes the texts of rows, each checked before it becomes data."""

from __future__ import annotations

from fivestones.data.teacher.account import account
from fivestones.data.teacher.attempts import Attempt, Piece
from fivestones.data.teacher.preview import Forecast, Preview, line_of, preview
from fivestones.data.teacher.realiser import Teacher, Told

__all__ = ["Attempt", "Forecast", "Piece", "Preview", "Teacher", "Told", "account", "line_of", "preview"]
