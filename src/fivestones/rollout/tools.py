"""What a chat template can say of tools, found by trying it; what it cannot is said in words around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from fivestones.hermes import write
from fivestones.types import Call, Message

Apply = Callable[..., str]
"""(chat, **arguments of the template) -> text."""
Turns = list[dict[str, Any]]

PROBE = "probe_of_a_tool"
INTRODUCTION = """\
Tools:
{tools}
Call a tool like this:
<tool_call>
{{"name": "NAME", "arguments": {{...}}}}
</tool_call>"""
RESULT = "<tool_response>\n{}\n</tool_response>"
WORDS = INTRODUCTION + RESULT


@dataclass(frozen=True, slots=True)
class Syntax:
    """How tools, calls and results are put to one template."""

    tools: tuple[Mapping[str, Any], ...]  # schemas in OpenAI's form
    lists: bool  # the template writes the schemas of `tools`
    calls: bool  # it writes the calls of an assistant turn
    results: bool  # it knows the role `tool`
    system: bool  # it knows the role `system`

    @classmethod
    def of(cls, apply: Apply, tools: Sequence[Mapping[str, Any]]) -> Syntax:
        asked, said = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
        probe = {"type": "function", "function": {"name": PROBE, "description": "", "parameters": {}}}
        call = as_turn(Message("assistant", "", (Call(PROBE, "{}"),)), calls=True)
        result = {"role": "tool", "content": PROBE}
        return cls(
            tools=tuple(tools),
            lists=_shows(apply, [asked], tools=[probe]),
            calls=_shows(apply, [asked, call]),
            results=_shows(apply, [asked, said, result]),
            system=_shows(apply, [{"role": "system", "content": PROBE}, asked]),
        )

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Of the template."""
        return {"tools": list(self.tools)} if self.lists else {}

    def prepared(self, messages: Sequence[Message]) -> Turns:
        """The chat as the template can take it."""
        chat: Turns = []
        for message in messages:
            if message.role == "tool" and not self.results:
                text = RESULT.format(message.content)
                if chat and chat[-1].get("results"):
                    chat[-1]["content"] += f"\n{text}"
                else:
                    chat.append({"role": "user", "content": text, "results": True})
            else:
                chat.append(as_turn(message, calls=self.calls))
        if not self.lists:
            self._introduce(chat)
        return [{k: v for k, v in turn.items() if k != "results"} for turn in chat]

    def _introduce(self, chat: Turns) -> None:
        """Adds the tools in words to the first system or user turn."""
        told = INTRODUCTION.format(tools="\n".join(map(described, self.tools)))
        first = chat[0]
        if first["role"] == "system" or not self.system:
            first["content"] = f"{first['content']}\n\n{told}" if first["content"] else told
        else:
            chat.insert(0, {"role": "system", "content": told})


def described(schema: Mapping[str, Any]) -> str:
    """A tool in one line: - name(argument: type, ...): what it does."""
    function = schema["function"]
    parameters = function.get("parameters", {})
    required = parameters.get("required", ())
    arguments = ", ".join(
        f"{name}{'' if name in required else '?'}" + (f": {t}" if (t := _type(part)) != "string" else "")
        for name, part in parameters.get("properties", {}).items()
    )
    return f"- {function['name']}({arguments}): {function.get('description', '')}"


def _type(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " | ".join(json.dumps(v, ensure_ascii=False) for v in part["enum"])
    kind = part.get("type", "any")
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def as_turn(message: Message, *, calls: bool) -> dict[str, Any]:
    """calls: the template writes them; else they are said in words."""
    if not message.calls:
        return {"role": message.role, "content": message.content}
    if calls:
        asked = [
            {
                "type": "function",
                "id": f"call{i:05d}",  # nine characters, as Mistral's template wants
                "function": {"name": c.name, "arguments": json.loads(c.arguments)},
            }
            for i, c in enumerate(message.calls)
        ]
        return {"role": message.role, "content": message.content, "tool_calls": asked}
    return {"role": message.role, "content": written(message)}


def written(message: Message) -> str:
    """A turn's text with its calls as `INTRODUCTION` asks for them."""
    return "\n".join(filter(None, [message.content, write(message.calls)]))


def _shows(apply: Apply, chat: Turns, **arguments: Any) -> bool:
    """The template writes what is in the last turn (or the arguments), and nothing is wrong with the chat."""
    try:
        return PROBE in apply(chat, add_generation_prompt=chat[-1]["role"] != "assistant", **arguments)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
        return False
