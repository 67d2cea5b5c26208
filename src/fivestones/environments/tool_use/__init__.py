"""Jobs in which the model calls tools: reads the calls of a turn, runs them, tells errors as text."""

from __future__ import annotations

from fivestones.environments.tool_use.calls import Malformed, Parsed, parse
from fivestones.environments.tool_use.environment import ToolUse
from fivestones.environments.tool_use.mcp import McpTools
from fivestones.environments.tool_use.tools import Tool, ToolError, tool_of

__all__ = ["Malformed", "McpTools", "Parsed", "Tool", "ToolError", "ToolUse", "parse", "tool_of"]
