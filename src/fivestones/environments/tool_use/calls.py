"""Tool calls in the raw text of an assistant, in the syntaxes of the model families.

    Hermes, Qwen, SmolLM2  <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>, or a list inside
    Qwen3-coder            <tool_call><function=f><parameter=a>1</parameter></function></tool_call>
    Llama 3                {"name": "f", "parameters": {"a": 1}}; {...}, as the whole text or after
                           <|python_tag|>
    Mistral                [TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}], or [TOOL_CALLS]f[ARGS]{"a": 1}
    FunctionGemma          <start_function_call>call:f{a:<escape>text<escape>,b:1}<end_function_call>

As strict as the parsers of inference servers: what is learned here works there. The last block of a turn may
lack its end mark. Nothing raises on any text a model can write, and the time is linear in its length.

Sources: the chat templates of Qwen2.5, Qwen3-Coder, SmolLM2, Llama 3.1, Mistral 7B v0.3 and FunctionGemma.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from fivestones.types import Call

MAX_CALLS = 64  # of one turn; also bounds the cost of hostile text
MAX_DEPTH = 32  # deeper values would make later recursive readers fail
FORM = 'write {"name": ..., "arguments": {...}}'

Schemas = Mapping[str, Mapping[str, Any]]
"""Tool -> JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A call that cannot be read."""

    reason: str  # for the model to mend it
    text: str  # of the block, its first characters


@dataclass(frozen=True, slots=True)
class Parsed:
    """A turn, read."""

    calls: tuple[Call | Malformed, ...]  # in the order of the text
    text: str  # outside of calls and thoughts, stripped


def parse(text: str, schemas: Schemas | None = None) -> Parsed:
    """What a turn says and what it calls. Arguments are rendered anew, as JSON text of an object.

    Thoughts (`<think>...</think>`, also without its begin or its end) are not read. schemas: tell which
    values are text in the one syntax that writes them without quotes (Qwen3-coder).
    """
    calls: list[Call | Malformed] = []
    outside: list[str] = []
    at = _after_first_thought(text)
    while found := MARK.search(text, at):
        outside.append(text[at : found.start()])
        if len(calls) >= MAX_CALLS:
            calls.append(Malformed(f"more than {MAX_CALLS} calls in one turn; the rest was not read", ""))
            at = len(text)
            break
        at = READERS[found[0]](text, found.end(), calls, schemas or {})
    outside.append(text[at:])
    rest = "".join(outside).strip()
    if not calls and rest.startswith("{"):
        calls, rest = _bare(rest)
    return Parsed(tuple(calls), rest)


def _after_first_thought(text: str) -> int:
    """Where reading begins: behind a thought that the prompt opened."""
    end = text.find("</think>")
    return end + len("</think>") if end >= 0 and "<think>" not in text[:end] else 0


# Readers: (text, where the mark ends, calls to add to, schemas) -> where reading goes on
Reader = Callable[[str, int, list[Call | Malformed], Schemas], int]


def _thought(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    end = text.find("</think>", at)
    return end + len("</think>") if end >= 0 else len(text)


def _block(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    """After <tool_call>: JSON, or what the reader of <function= shall read."""
    start = _skip(text, at)
    if text.startswith("<function=", start):
        return start
    try:
        value, end = _decode(text, start)
        end = _skip(text, end)
        if text.startswith("</tool_call>", end):
            end += len("</tool_call>")
        elif end < len(text) and not text.startswith("<tool_call>", end):
            raise _Refused(f"text after the JSON: {_near(text, end)}; end the call with </tool_call>")
    except _Refused as refused:
        close = BLOCK.search(text, start)
        end = len(text) if close is None else close.end() if close[0][1] == "/" else close.start()
        calls.append(Malformed(str(refused), _first(text, at, end)))
        return end
    calls.extend(_calls(value, text[start:end]))
    return end


def _function(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    """After <function=."""
    close = FUNCTION_END.search(text, at)
    body = text[at : close.start() if close else len(text)]
    name, mark, rest = body.partition(">")
    name = name.strip()
    try:
        if not mark or not name:
            raise _Refused("no name: write <function=NAME>")
        calls.append(_call(name, _parameters(rest, schemas.get(name, {}).get("properties", {}))))
    except _Refused as refused:
        calls.append(Malformed(str(refused), _first(body, 0, len(body))))
    return close.end() if close else len(text)


def _parameters(text: str, of: Mapping[str, Any]) -> dict[str, Any]:
    head, *parts = text.split("<parameter=")
    if head.strip():
        raise _Refused(f"write <parameter=NAME>value</parameter>, not {_near(head.strip(), 0)}")
    arguments: dict[str, Any] = {}
    for part in parts:
        key, mark, value = part.partition(">")
        key = key.strip()
        if not mark or not key:
            raise _Refused("no name: write <parameter=NAME>value</parameter>")
        if key in arguments:
            raise _Refused(f"parameter `{_short(key)}` is given twice")
        value = value.rpartition("</parameter>")[0] if "</parameter>" in value else value
        arguments[key] = _typed(value.removeprefix("\n").removesuffix("\n"), of.get(key, {}))
    return arguments


def _typed(value: str, schema: Any) -> Any:
    kinds = schema.get("type", ()) if isinstance(schema, Mapping) else ()
    if "string" in ([kinds] if isinstance(kinds, str) else kinds):
        return value
    try:
        read, end = _decode(value, _skip(value, 0))
    except _Refused:
        return value
    return read if _skip(value, end) == len(value) else value


def _listed(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    """After [TOOL_CALLS]."""
    start = _skip(text, at)
    named = NAMED.match(text, start)
    try:
        if named:
            value, end = _decode(text, named.end())
            calls.append(_call(named[1], value))
        else:
            value, end = _decode(text, start)
            calls.extend(_calls(value, text[start:end]))
    except _Refused as refused:
        end = text.find("[TOOL_CALLS]", at)
        end = end if end >= 0 else len(text)
        calls.append(Malformed(str(refused), _first(text, at, end)))
    return end


def _gemma(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    """After <start_function_call>."""
    close = text.find("<end_function_call>", at)
    end = close if close >= 0 else len(text)
    head = GEMMA.match(text, at, end)
    try:
        if head is None:
            raise _Refused("write call:NAME{argument:value}")
        # between marks is text; the rest is JSON but for its keys
        parts = text[head.end() - 1 : end].split("<escape>")
        parts[::2] = [KEY.sub(r'\1"\2":', part) for part in parts[::2]]
        parts[1::2] = [ENCODE(part) for part in parts[1::2]]
        body = "".join(parts)
        value, stop = _decode(body, 0)
        if _skip(body, stop) < len(body):
            raise _Refused(f"text after the arguments: {_near(body, stop)}")
        calls.append(_call(head[1], value))
    except _Refused as refused:
        calls.append(Malformed(str(refused), _first(text, at, end)))
    return end + len("<end_function_call>") if close >= 0 else end


def _tagged(text: str, at: int, calls: list[Call | Malformed], schemas: Schemas) -> int:
    """After <|python_tag|>: all that follows is calls."""
    try:
        calls.extend(_parted(text, at))
    except _Refused as refused:
        calls.append(Malformed(str(refused), _first(text, at, len(text))))
    return len(text)


def _bare(text: str) -> tuple[list[Call | Malformed], str]:
    """The calls and the text of one that begins like Llama's call. JSON of another kind is an answer."""
    try:
        return _parted(text, 0), ""
    except _Refused as refused:
        if not BARE.match(text) or not ('"parameters"' in text or '"arguments"' in text):
            return [], text
        return [Malformed(str(refused), _first(text, 0, len(text)))], ""


def _parted(text: str, at: int) -> list[Call | Malformed]:
    """Objects parted by `;`. Raises _Refused where one is no call."""
    calls: list[Call | Malformed] = []
    at = _skip(text, at)
    while at < len(text) or not calls:
        value, at = _decode(text, at)
        if (
            not isinstance(value, dict)
            or "name" not in value
            or not {"parameters", "arguments"} & value.keys()
        ):
            raise _Refused(f"no call: {FORM}")
        calls += _calls(value, text)
        at = _skip(text, at)
        if at < len(text) and text[at] != ";":
            raise _Refused(f"text after the JSON: {_near(text, at)}")
        at = _skip(text, at + 1)
        if len(calls) > MAX_CALLS:
            raise _Refused(f"more than {MAX_CALLS} calls in one turn")
    return calls


READERS: Mapping[str, Reader] = {
    "<think>": _thought,
    "<tool_call>": _block,
    "<function=": _function,
    "[TOOL_CALLS]": _listed,
    "<start_function_call>": _gemma,
    "<|python_tag|>": _tagged,
}
MARK = re.compile("|".join(map(re.escape, READERS)))
BLOCK = re.compile(r"</?tool_call>")
FUNCTION_END = re.compile(r"</function>(?:\s*+</tool_call>)?|</tool_call>|(?=<tool_call>|<function=)")
NAMED = re.compile(r"([\w./-]++)(?:\[CALL_ID\]\w++)?(?:\[ARGS\])?\s*+(?=\{)")
GEMMA = re.compile(r"\s*+call:([\w./-]++)\{")
KEY = re.compile(r"([{,]\s*+)([A-Za-z_][\w.-]*+)\s*+:")
BARE = re.compile(r'\{\s*+"name"\s*+:')
SPACE = re.compile(r"[ \t\n\r]*+")
SURROGATE = re.compile("[\ud800-\udfff]")
BESIDE = frozenset({"name", "arguments", "parameters", "id", "type"})  # keys of a call


def _calls(value: Any, text: str) -> list[Call | Malformed]:
    """Of an object, or of a list of them; one Malformed for each that is no call."""
    items = value if isinstance(value, list) else [value]
    if not items:
        return [Malformed(f"an empty list calls nothing: {FORM}", _first(text, 0, len(text)))]
    read: list[Call | Malformed] = []
    for item in items[:MAX_CALLS]:
        try:
            read.append(_of_object(item))
        except _Refused as refused:
            read.append(Malformed(str(refused), _first(text, 0, len(text))))
    if len(items) > MAX_CALLS:
        read.append(Malformed(f"more than {MAX_CALLS} calls in one turn; the rest was not read", ""))
    return read


def _of_object(value: Any) -> Call:
    if not isinstance(value, dict):
        raise _Refused(f"a call is an object: {FORM}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise _Refused(f'no "name" of a tool: {FORM}')
    if not value.keys() <= BESIDE:
        key = next(k for k in value if k not in BESIDE)
        raise _Refused(f'unknown key `{_short(key)}` beside "name"; put it into "arguments": {{...}}')
    if "arguments" in value and "parameters" in value:
        raise _Refused('both "arguments" and "parameters"; write one of them')
    return _call(name, value.get("arguments", value.get("parameters", {})))


def _call(name: str, arguments: Any) -> Call:
    if not isinstance(arguments, dict):
        raise _Refused('"arguments" must be an object such as {"key": "value"}, without quotes around it')
    if any(isinstance(v, dict | list) for v in arguments.values()):
        _check_depth(arguments)
    text = ENCODE(arguments)
    if SURROGATE.search(text) or SURROGATE.search(name):
        raise _Refused("a lone surrogate (\\ud800 to \\udfff) is not text")
    return Call(name, text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            below
            for part in level
            for below in (part.values() if isinstance(part, dict) else part)
            if isinstance(below, dict | list)
        ]
        if not level:
            return
    raise _Refused("nested too deeply")


def _decode(text: str, at: int) -> tuple[Any, int]:
    """The JSON value at a place, and where it ends. Raises _Refused with what to mend."""
    try:
        return DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        if error.pos >= len(text) or error.msg.startswith("Unterminated"):
            raise _Refused(f"the JSON is cut off: close every quote and bracket; {FORM}") from None
        if error.msg.startswith("Invalid control"):
            before = text[max(at, error.pos - 20) : error.pos]
            raise _Refused(f"line break or tab in a string, after `{before}`: write \\n or \\t") from None
        if error.msg == "Expecting value" and error.pos == at:
            raise _Refused(f"no JSON but {_near(text, at)}: {FORM}") from None
        raise _Refused(f"not valid JSON: {error.msg} at {_near(text, error.pos)}") from None
    except RecursionError:
        raise _Refused("nested too deeply") from None
    except ValueError as error:
        if isinstance(error, _Refused):
            raise
        raise _Refused("a number is out of range") from None  # Python's limit on digits


class _Refused(ValueError):
    """The message is the reason."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _Refused(f"key `{_short(twice)}` is given twice")
    return read


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON: write a number or null")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refused("a number is out of range")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def _skip(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return at if found is None else found.end()  # None only beyond the end


def _near(text: str, at: int) -> str:
    """What stands there: up to the end of its block and in one line."""
    words = " ".join(BLOCK.split(text[at : at + 60], maxsplit=1)[0].split())
    return f"`{_short(words)}`" if words else "the end"


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:30]}..."


def _first(text: str, at: int, end: int) -> str:
    return text[at : min(end, at + 400)].strip()
