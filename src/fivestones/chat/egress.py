"""A record of what left the machine: when, where to, how many bytes, their hash; never the text itself."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from pathlib import Path

from fivestones.runlog import disk_errors


class Egress:
    """Appends a line to a JSONL file before a request leaves for a server beyond loopback.

    path: None keeps no record. One write a line, which several processes may do at once.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def record(self, url: str, body: bytes) -> None:
        if self.path is None:
            return
        row = {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "endpoint": url,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        with disk_errors(self.path):
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, (json.dumps(row) + "\n").encode())
            finally:
                os.close(file)
