"""Run by a Python that has the package `openenv` (see test_openenv_package): its server, or its client.

openenv_peer.py serve PORT            a server of their classes: n<seed> + 1, with tools of an MCP server
openenv_peer.py play URL TASK ANSWER  their client plays one episode of our test job; prints JSON
"""

from __future__ import annotations

import json
import sys
from typing import Any


def serve(port: int) -> None:
    import uvicorn
    from fastmcp import FastMCP
    from openenv.core.env_server.http_server import create_fastapi_app
    from openenv.core.env_server.mcp_environment import MCPEnvironment
    from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
    from openenv.core.env_server.types import Observation, State

    class Theirs(MCPEnvironment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            tools: Any = FastMCP("sums")

            @tools.tool
            def look(name: str) -> str:
                """What a name stands for."""
                if name == "nothing":
                    raise ValueError("there are n0 to n9")
                return str(7 * int(name[1:]))

            @tools.tool
            def submit_answer(answer: str) -> str:
                """Ends the episode."""
                return answer

            super().__init__(tools)
            self._number = 0
            self._state = State(episode_id="e", step_count=0)

        def reset(self, seed: int | None = None, episode_id: str | None = None, **rest: Any) -> Any:
            self._number = seed or 0
            question = f"What is n{self._number} plus 1?"
            return Observation(metadata={"question": question, "company": f"c{self._number}"})

        def _step_impl(self, action: Any, timeout_s: float | None = None, **rest: Any) -> Any:
            return Observation(metadata={"error": "only tools"})

        async def step_async(self, action: Any, timeout_s: float | None = None, **rest: Any) -> Any:
            observation = await super().step_async(action, timeout_s=timeout_s, **rest)
            if isinstance(action, CallToolAction) and action.tool_name == "submit_answer":
                right = action.arguments.get("answer") == str(7 * self._number + 1)
                return Observation(done=True, reward=float(right))
            return observation

        @property
        def state(self) -> Any:
            return self._state

    app = create_fastapi_app(Theirs, CallToolAction, CallToolObservation, max_concurrent_envs=64)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def play(url: str, task: str, answer: str) -> None:
    from openenv.core.generic_client import GenericEnvClient

    said: dict[str, Any] = {}
    with GenericEnvClient(base_url=url).sync() as client:
        first = client.reset(task_id=task)
        said["first"] = [first.observation, first.reward, first.done]
        said["tools"] = client.step({"type": "list_tools"}).observation["tools"]
        look = client.step({"type": "call_tool", "tool_name": "look", "arguments": {"name": "n3"}})
        said["look"] = look.observation
        said["state"] = client.state()
        last = client.step(
            {"type": "call_tool", "tool_name": "submit_answer", "arguments": {"answer": answer}}
        )
        said["last"] = [last.reward, last.done]
    from openenv.core.env_server.mcp_types import CallToolObservation, ListToolsObservation

    ListToolsObservation(tools=said["tools"])  # their own types take our observations
    CallToolObservation(**said["look"])
    print(json.dumps(said))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        play(*sys.argv[2:])
