"""Mistakes of an agent that it can mend: a plan alone never shows what to do after an error, or after a query
that finds nothing."""

from __future__ import annotations

import json
import random
import re
from functools import partial

from fivestones.types import Call

NAMES = {"get_table_info": "table", "sql_query": "query"}  # tool -> its argument in which a name is misspelt
_TEXT = re.compile(r"(?<=')[^']+(?=')")


def misspelt(call: Call, names: list[str], draw: random.Random) -> Call | None:
    """The call with one of `names`, of tables or columns, or the texts of its SQL, misspelt wherever they
    stand in what the tool is asked; None where there is none."""
    argument = NAMES.get(call.name)
    arguments = json.loads(call.arguments)
    if argument is None:
        return None
    asked: str = arguments[argument]
    there = [name for name in names if re.search(_whole(name), asked)]
    wrong = [draw.choice(there)] if there else []
    if call.name == "sql_query" and draw.random() < 0.5:
        wrong = _TEXT.findall(asked)[::2] or wrong  # every second lies between two texts
    if not wrong:
        return None
    for name in wrong:
        asked = re.sub(_whole(name), partial(_put, draw.choice(_slips(name))), asked)
    return Call(call.name, json.dumps({**arguments, argument: asked}, ensure_ascii=False))


def _put(slip: str, _: re.Match[str]) -> str:
    return slip


def _whole(name: str) -> str:
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def _slips(name: str) -> list[str]:
    """A letter twice, a letter less, two exchanged, the last part lost, the space around it or a mark."""
    doubled = [name[: n + 1] + name[n:] for n in range(len(name))]
    dropped = [name[:n] + name[n + 1 :] for n in range(len(name)) if len(name) > 1]
    exchanged = [name[:n] + name[n + 1] + name[n] + name[n + 2 :] for n in range(len(name) - 1)]
    cut = [name.rpartition("_")[0], name.strip(), name.rstrip(" *()abc")] * len(name)
    return [slip for slip in (*doubled, *dropped, *exchanged, *cut) if slip not in (name, "")]
