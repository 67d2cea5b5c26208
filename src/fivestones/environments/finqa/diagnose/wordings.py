"""Which error a tool's reply is, by the words the tools use; the tests feed the tools' real errors."""

from __future__ import annotations

import re

from fivestones.environments.finqa.diagnose.reading import Asked

_BAD_ARGUMENT = re.compile(
    r"[\w.-]+: (?:missing argument|unknown argument|argument `|the arguments |nested too)"
)


def unknown_tool(call: Asked) -> bool:
    return call.error.startswith("no tool `")


def bad_argument(call: Asked) -> bool:
    return not call.malformed and bool(_BAD_ARGUMENT.match(call.error))


def unknown_table(call: Asked) -> bool:
    return False


def unknown_column(call: Asked) -> bool:
    return "no such column" in call.error


def refused_query(call: Asked) -> bool:
    return False
