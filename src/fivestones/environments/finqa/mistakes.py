"""Mistakes of an agent that it can mend: a plan alone never shows what to do after an error."""

from __future__ import annotations

import json
import random
import re

from fivestones.types import Call

NAMES = {"get_table_info": "table", "sql_query": "query"}  # tool -> its argument in which a name is misspelt


def misspelt(call: Call, names: list[str], draw: random.Random) -> Call | None:
    """The call with one of `names`, of tables or columns, misspelt wherever it stands in what the tool is
    asked; None where none of them stands."""
    argument = NAMES.get(call.name)
    arguments = json.loads(call.arguments)
    there = [name for name in names if argument and re.search(_whole(name), arguments[argument])]
    if argument is None or not there:
        return None
    name = draw.choice(there)
    slip = draw.choice(_slips(name))
    arguments[argument] = re.sub(_whole(name), lambda _: slip, arguments[argument])
    return Call(call.name, json.dumps(arguments, ensure_ascii=False))


def _whole(name: str) -> str:
    return rf"(?<!\w){re.escape(name)}(?!\w)"


def _slips(name: str) -> list[str]:
    """A letter twice, a letter less, two exchanged, the last part lost."""
    doubled = [name[: n + 1] + name[n:] for n in range(len(name))]
    dropped = [name[:n] + name[n + 1 :] for n in range(len(name)) if len(name) > 1]
    exchanged = [name[:n] + name[n + 1] + name[n] + name[n + 2 :] for n in range(len(name) - 1)]
    shortened = [name[: name.rindex("_")]] * len(name) if name.rfind("_") > 0 else []
    return [slip for slip in (*doubled, *dropped, *exchanged, *shortened) if slip != name]
