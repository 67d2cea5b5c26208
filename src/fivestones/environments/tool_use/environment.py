"""An environment whose turns are answered by tools."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fivestones.environments.tool_use.arguments import check_of
from fivestones.environments.tool_use.calls import Malformed, Parsed, parse
from fivestones.environments.tool_use.tools import Tool, ToolError, tool_of
from fivestones.errors import EnvironmentFault, FivestonesError, UsageError, nearest
from fivestones.types import Call, Message, Task

ERROR = "error: "  # begins the text of every call that failed
SHORTEST = 200  # characters of output that leave room to say what was cut
SURROGATE = re.compile("[\ud800-\udfff]")


class ToolUse:
    """Answers every call of a turn, in the order of the calls; a turn without calls ends the episode.

    What the model can mend is text that begins with `error: `: a call that cannot be read, an unknown tool,
    arguments that do not fit, what a tool refuses, any exception of a tool. EnvironmentFault passes through:
    the rollout is unscored. So does FivestonesError: the job is wrong. What a tool says itself should not
    begin with `error: `.

    A job of one's own adds `tasks`, `scorer`, `lenient` and `reference_text` (protocols.ScoredEnvironment),
    and, where there is something to imitate, `demonstration(task)`, the turns after the prompt. It is asked
    of tasks with `output` in their reference, and of no others: they alone count as warm-up references.

    tools: Tools, or plain typed functions. submit: the tool whose call ends the episode; it is never run.
    longest: characters of a tool's output, beyond which its middle is cut. repeats: so many equal turns in a
    row with calls end the episode, for tools that say the same each time; None: they never do.
    """

    def __init__(
        self,
        tools: Sequence[Tool | Callable[..., Any]],
        *,
        submit: str | None = None,
        longest: int = 4000,
        repeats: int | None = None,
    ) -> None:
        made = [tool if isinstance(tool, Tool) else tool_of(tool) for tool in tools]
        self._tools = {tool.name: tool for tool in made}
        if len(self._tools) < len(made):
            names = [tool.name for tool in made]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"tools: two have the name `{twice}`; names must differ")
        if submit is not None and submit not in self._tools:
            raise UsageError(
                f"submit: no tool `{submit}`.{nearest(submit, self._tools)} Allowed: {', '.join(self._tools)}"
            )
        if longest < SHORTEST:
            raise UsageError(f"longest: got {longest}; allowed: at least {SHORTEST} characters")
        if repeats is not None and repeats < 2:
            raise UsageError(f"repeats: got {repeats}; allowed: at least 2, or None")
        self.submit, self.longest, self.repeats = submit, longest, repeats
        self._schemas = {tool.name: tool.parameters for tool in made}
        self._checks = {tool.name: check_of(tool.name, tool.parameters) for tool in made}

    @property
    def tools(self) -> tuple[Mapping[str, Any], ...]:
        """Their schemas, in OpenAI's form."""
        return tuple(tool.schema for tool in self._tools.values())

    def reply(self, task: Task, messages: Sequence[Message]) -> list[Message]:
        """One tool message a call; none when the episode has ended: no call, one that submits, or the
        `repeats`-th equal turn in a row."""
        calls = self.parsed(messages[-1]).calls
        if any(self.submits(call) for call in calls) or self._goes_round(messages):
            return []
        return [Message("tool", self.result(task, messages, call)) for call in calls]

    def result(self, task: Task, messages: Sequence[Message], call: Call | Malformed) -> str:
        """What the model is told of one call."""
        fault = self._fault(call)
        if fault is None and isinstance(call, Call):
            try:
                return self._cut(self.run(task, messages, call))
            except ToolError as error:
                fault = str(error)
            except (EnvironmentFault, FivestonesError):
                raise
            except Exception as error:  # of the user's tool: seen in the transcripts
                fault = f"{type(error).__name__}: {error}"
        return self._cut(f"{ERROR}{fault}")

    def run(self, task: Task, messages: Sequence[Message], call: Call) -> str:
        """Runs a call whose arguments fit its tool. Override it for tools that need the task or the chat."""
        return self._tools[call.name].call(json.loads(call.arguments))

    def final_text(self, messages: Sequence[Message]) -> str:
        """The text of the last assistant turn outside of calls and thoughts; '' before there is one."""
        last = next((message for message in reversed(messages) if message.role == "assistant"), None)
        return "" if last is None else self.parsed(last).text

    def parsed(self, message: Message) -> Parsed:
        """What an assistant turn says and calls: sampled text, or a turn of a demonstration."""
        if message.role != "assistant":
            raise ValueError(f"only an assistant's turn has calls, got role {message.role!r}")
        read = parse(message.content, self._schemas)
        return Parsed((*read.calls, *message.calls), read.text) if message.calls else read

    def _goes_round(self, messages: Sequence[Message]) -> bool:
        if self.repeats is None:
            return False
        last = [m for m in messages if m.role == "assistant"][-self.repeats :]
        return len(last) == self.repeats and all(m == last[0] for m in last)

    def submits(self, call: Call | Malformed) -> bool:
        """Whether a call ends the episode with an answer: one that is refused does not."""
        return isinstance(call, Call) and call.name == self.submit and self._fault(call) is None

    def _fault(self, call: Call | Malformed) -> str | None:
        """Why a call cannot be run."""
        if isinstance(call, Malformed):
            return f"the tool call cannot be read: {call.reason}"
        check = self._checks.get(call.name)
        if check is None:
            known = ", ".join(self._checks) or "none"
            return f"no tool `{call.name[:60]}`.{nearest(call.name[:60], self._checks)} Available: {known}"
        wrong = check(json.loads(call.arguments))
        return None if wrong is None else f"{call.name}: {wrong}"

    def _cut(self, text: str) -> str:
        if len(text) > self.longest:
            told = f"\n... [{{}} of {len(text)} characters cut; ask for less] ...\n"
            kept = self.longest - len(told) - len(str(len(text)))
            told = told.format(len(text) - kept)
            text = text[: kept - kept // 2] + told + text[len(text) - kept // 2 :]
        return text if text.isascii() else SURROGATE.sub("\ufffd", text)
