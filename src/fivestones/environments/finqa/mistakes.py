"""Mistakes of an agent that it can mend: a plan alone never shows what to do after an error, or after a query
that finds nothing."""

from __future__ import annotations

import json
import random
import re

from fivestones.types import Call

NAMES = {"get_table_info": "table", "sql_query": "query"}  # tool -> its argument in which a name is misspelt
_TEXT = re.compile(r"(?<=')[^']+(?=')")


def misspelt(call: Call, names: list[str], draw: random.Random) -> Call | None:
    """The call with one of `names`, of tables or columns, or a text of its SQL, misspelt wherever it stands
    in what the tool is asked; None where there is none."""
    argument = NAMES.get(call.name)
    arguments = json.loads(call.arguments)
    there = [name for name in names if argument and re.search(_whole(name), arguments[argument])]
    if call.name == "sql_query" and draw.random() < 0.5:
        there = _TEXT.findall(arguments["query"])[:1] or there
    if argument is None or not there:
        return None
    name = draw.choice(there)
    slip = draw.choice(_slips(name))
    arguments[argument] = re.sub(_whole(name), lambda _: slip, arguments[argument])
    return Call(call.name, json.dumps(arguments, ensure_ascii=False))


def _whole(name: str) -> str:
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def _slips(name: str) -> list[str]:
    """A letter twice, a letter less, two exchanged, the last part lost, the space around it or a mark."""
    doubled = [name[: n + 1] + name[n:] for n in range(len(name))]
    dropped = [name[:n] + name[n + 1 :] for n in range(len(name)) if len(name) > 1]
    exchanged = [name[:n] + name[n + 1] + name[n] + name[n + 2 :] for n in range(len(name) - 1)]
    cut = [name.rpartition("_")[0], name.strip(), name.rstrip(" *()abc")] * len(name)
    return [slip for slip in (*doubled, *dropped, *exchanged, *cut) if slip not in (name, "")]
