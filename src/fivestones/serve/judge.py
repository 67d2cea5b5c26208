"""A judge whose model is served for it: missed when it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.protocols import Judge
from fivestones.serve.server import Server
from fivestones.types import Task, Verdict


class ServedJudge:
    """Implements protocols.Judge. The judge's client starts the server, before its first request.

    An endpoint elsewhere may come back, and until then its questions stay unscored. A server of our own that
    has ended does not: that is said at once. Raises what `Server.check` raises.
    """

    def __init__(self, judge: Judge, server: Server) -> None:
        self._judge = judge
        self._server = server

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        verdicts = self._judge(task, outputs)
        if any(verdict.unscored for verdict in verdicts):
            self._server.check()
        return verdicts
