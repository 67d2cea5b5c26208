"""The tool-call syntax that most open models know, for those whose template has none of its own.

Source: the function-calling format of Nous Research's Hermes models, taken up by Qwen and SmolLM2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from fivestones.types import Call


def write(calls: Iterable[Call]) -> str:
    """One block a call."""
    return "\n".join(f"<tool_call>\n{_object(call)}\n</tool_call>" for call in calls)


def _object(call: Call) -> str:
    name = json.dumps(call.name, ensure_ascii=False)
    text = f'{{"name": {name}, "arguments": {call.arguments}}}'
    # within JSON `<` is only in strings; a mark of thought there would hide what is before it
    return text.replace("<", "\\u003c") if "think>" in text else text
