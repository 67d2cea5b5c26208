"""A local model behind an OpenAI-compatible server, in a process of its own: vLLM or llama.cpp."""

from __future__ import annotations

from fivestones.serve.engines import Launch, launch
from fivestones.serve.judge import ServedJudge
from fivestones.serve.llama import KEY
from fivestones.serve.server import Server

__all__ = ["KEY", "Launch", "ServedJudge", "Server", "launch"]
