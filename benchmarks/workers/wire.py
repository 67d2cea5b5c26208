"""How a benchmark talks with the process that does the work: one JSON object a line on stdin and stdout.

Only the standard library: the workers of peers run in environments that do not have fivestones.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any


class Line:
    """The worker's end."""

    def __init__(self) -> None:
        # libraries print to stdout: what was stdout carries the answers alone
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def send(self, **answer: Any) -> None:
        self._out.write(json.dumps(answer) + "\n")

    def next(self) -> dict[str, Any]:
        """The next request. Ends the process when the benchmark has closed the line."""
        text = sys.stdin.readline()
        if not text:
            raise SystemExit(0)
        request: dict[str, Any] = json.loads(text)
        return request


def settings() -> dict[str, Any]:
    """What the benchmark started this worker with."""
    value: dict[str, Any] = json.loads(sys.argv[1])
    return value


def peak_memory() -> int:
    """Bytes: the most that this process has held at once (its maximum resident size)."""
    # getrusage's figure begins with that of the parent process
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
