"""Which error a tool's reply is, by the words the tools use; the tests feed the tools' real errors."""

from __future__ import annotations

import re

from fivestones.environments.finqa.diagnose.reading import QUERY, Asked

_BAD_ARGUMENT = re.compile(
    r"[\w.-]+: (?:missing argument|unknown argument|argument `|the arguments |nested too deeply)"
)
_UNKNOWN_TABLE = re.compile(r"no table `.*` of company `", re.DOTALL)
_REFUSED = re.compile(
    # what may not be asked
    r"only SELECT is allowed|SELECT \* is refused|a filter or an aggregate is required|one statement a call"
    r"|(?:no table `.*` to read; )?this call reads the table `"
    # limits of size and time
    r"|the query has [\d,]+ characters|nested too deeply|too many (?:SELECTs|tables|names)"
    r"|the query (?:is too large|takes more than|gives more than)|the result has [\d,]+ characters"
)


def unknown_tool(call: Asked) -> bool:
    return call.error.startswith("no tool `")


def bad_argument(call: Asked) -> bool:
    return not call.malformed and bool(_BAD_ARGUMENT.match(call.error))


def unknown_table(call: Asked) -> bool:
    return bool(_UNKNOWN_TABLE.match(call.error))


def unknown_column(call: Asked) -> bool:
    return call.name == QUERY and call.error.startswith("no column `")


def refused_query(call: Asked) -> bool:
    """A rule or a limit refuses it; other errors are of SQL itself."""
    return call.name == QUERY and bool(_REFUSED.match(call.error))
