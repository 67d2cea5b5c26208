"""The messages of the OpenEnv protocol, read and written; knows no sockets.

A client asks over the WebSocket `/ws`, one message of JSON text at a time, and gets one answer to each but
`close`:

    {"type": "reset", "data": {...}}                    -> observation: the question
    {"type": "step", "data": {"type": "list_tools"}}    -> observation: {"tools": [...]}
    {"type": "step", "data": {"type": "call_tool", "tool_name", "arguments"}}
                                                        -> observation: {"result", "error"}
    {"type": "state"}                                   -> state
    {"type": "close"}

    {"type": "observation", "data": {"observation": {...}, "reward": number or null, "done": bool}}
    {"type": "state", "data": {...}}
    {"type": "error", "data": {"message", "code"}}

Source: the package `openenv` 0.10.0 (core/env_server/types.py, mcp_types.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

PATH = "/ws"
HEALTH = "/health"

Code = Literal[
    "INVALID_JSON",  # not a JSON object
    "UNKNOWN_TYPE",  # of a message or of a step
    "VALIDATION_ERROR",  # a field of the wrong type, or a value that does not exist
    "EXECUTION_ERROR",  # the environment failed
    "CAPACITY_REACHED",  # too many sessions; the connection is closed
    "SESSION_ERROR",  # no episode, an idle or a broken session
]


class ProtocolError(Exception):
    """What is wrong with a message, as the other side is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reset:
    data: Mapping[str, Any] = field(default_factory=dict)  # seed, task_id, split, episode_id


@dataclass(frozen=True)
class CallTool:
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class ListTools:
    pass


@dataclass(frozen=True)
class AskState:
    pass


@dataclass(frozen=True)
class Close:
    pass


Request = Reset | CallTool | ListTools | AskState | Close


@dataclass(frozen=True)
class Observation:
    observation: Mapping[str, Any]
    reward: float | None = None
    done: bool = False


@dataclass(frozen=True)
class State:
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    message: str
    code: str


Answer = Observation | State | Failure


def read_request(text: str | bytes) -> Request:
    """A client's message. Raises ProtocolError with the code that the client is told."""
    message = _object(text)
    kind = message.get("type")
    if kind == "state":
        return AskState()
    if kind == "close":
        return Close()
    if kind not in ("reset", "step"):
        raise ProtocolError(
            "UNKNOWN_TYPE", f"there is no message type {_shown(kind)}; there are: reset, step, state, close"
        )
    data = message.get("data", {} if kind == "reset" else None)
    if not isinstance(data, dict):
        raise ProtocolError("VALIDATION_ERROR", f"data of `{kind}` must be an object, got {_shown(data)}")
    return Reset(data) if kind == "reset" else _read_step(data)


def write_request(request: Request) -> str:
    """A client's message as JSON text."""
    data: dict[str, Any] | None = None
    match request:
        case Reset():
            kind, data = "reset", dict(request.data)
        case ListTools():
            kind, data = "step", {"type": "list_tools"}
        case CallTool():
            kind = "step"
            data = {"type": "call_tool", "tool_name": request.name, "arguments": dict(request.arguments)}
        case AskState():
            kind = "state"
        case Close():
            kind = "close"
    # servers refuse a `data` where there is nothing to say
    return json.dumps({"type": kind} if data is None else {"type": kind, "data": data})


def read_answer(text: str | bytes) -> Answer:
    """A server's message. Raises ProtocolError when it is none."""
    message = _object(text)
    kind, data = message.get("type"), message.get("data")
    if not isinstance(data, dict):
        raise ProtocolError(
            "VALIDATION_ERROR", f"data of `{_shown(kind)}` must be an object, got {_shown(data)}"
        )
    if kind == "observation":
        return _read_observation(data)
    if kind == "state":
        return State(data)
    if kind == "error":
        return Failure(str(data.get("message", "no message")), str(data.get("code", "UNKNOWN")))
    raise ProtocolError(
        "UNKNOWN_TYPE", f"there is no answer type {_shown(kind)}; there are: observation, state, error"
    )


def write_answer(answer: Answer) -> str:
    """A server's message as JSON text."""
    data: Mapping[str, Any]
    match answer:
        case Observation():
            kind = "observation"
            data = {"observation": answer.observation, "reward": answer.reward, "done": answer.done}
        case State():
            kind, data = "state", answer.data
        case Failure():
            kind, data = "error", {"message": answer.message, "code": answer.code}
    return json.dumps({"type": kind, "data": data}, allow_nan=False)


def write_tools(schemas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tools in the OpenAI form as the protocol lists them."""
    functions = [schema["function"] for schema in schemas]
    return [
        {
            "name": function["name"],
            "description": function.get("description", ""),
            "input_schema": function["parameters"],
        }
        for function in functions
    ]


def result_text(observation: Mapping[str, Any]) -> str:
    """What a tool said, as text for the model. A result is plain, or MCP's ({"content", "data", ...}); an
    error is text that begins with `error: `.

    Raises ProtocolError when not the tool but what it runs on failed (`transport_error`, `timeout`)."""
    error = observation.get("error")
    if error:
        kind = error.get("error_type") if isinstance(error, dict) else None
        said = error.get("message", error) if isinstance(error, dict) else error
        if kind in ("transport_error", "timeout"):
            raise ProtocolError("EXECUTION_ERROR", f"{kind}: {said}")
        return f"error: {said}"
    if "result" not in observation:
        metadata = observation.get("metadata")
        shown = {k: v for k, v in observation.items() if k not in ("metadata", "tool_name", "error")}
        return _text(shown or metadata or {})
    return _mcp_text(observation["result"])


def _mcp_text(result: Any) -> str:
    if not isinstance(result, dict) or not isinstance(result.get("content"), list):
        return _text(result)
    parts = [part["text"] for part in result["content"] if isinstance(part, dict) and "text" in part]
    text = "\n".join(map(str, parts)) if parts else _text(result.get("data"))
    failed = result.get("is_error") or result.get("isError")
    return f"error: {text}" if failed else text


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _read_step(data: Mapping[str, Any]) -> CallTool | ListTools:
    kind = data.get("type")
    if kind == "list_tools":
        return ListTools()
    if kind != "call_tool":
        raise ProtocolError(
            "UNKNOWN_TYPE", f"there is no step type {_shown(kind)}; there are: call_tool, list_tools"
        )
    name, arguments = data.get("tool_name"), data.get("arguments", {})
    if not isinstance(name, str):
        raise ProtocolError("VALIDATION_ERROR", f"tool_name must be text, got {_shown(name)}")
    if not isinstance(arguments, dict):
        raise ProtocolError("VALIDATION_ERROR", f"arguments must be an object, got {_shown(arguments)}")
    return CallTool(name, arguments)


def _read_observation(data: Mapping[str, Any]) -> Observation:
    observation, reward, done = data.get("observation"), data.get("reward"), data.get("done", False)
    if not isinstance(observation, dict):
        raise ProtocolError("VALIDATION_ERROR", f"observation must be an object, got {_shown(observation)}")
    if reward is not None and not _finite(reward):
        raise ProtocolError("VALIDATION_ERROR", f"reward must be a number or null, got {_shown(reward)}")
    if not isinstance(done, bool):
        raise ProtocolError("VALIDATION_ERROR", f"done must be true or false, got {_shown(done)}")
    metadata = data.get("metadata")
    if isinstance(metadata, dict) and "metadata" not in observation:
        observation = {**observation, "metadata": metadata}  # some servers put it beside the observation
    return Observation(observation, None if reward is None else float(reward), done)


def _finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer beyond what a float holds
        return False


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("INVALID_JSON", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("INVALID_JSON", f"a message is an object, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
