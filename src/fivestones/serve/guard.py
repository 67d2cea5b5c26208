"""Runs a command until its own standard input closes: `python guard.py COMMAND ...`.

Whoever starts it, as the leader of a new session, holds the other end of the pipe. When that process ends,
even by SIGKILL, the pipe closes, and the command goes with all that it started. Needs nothing but the
standard library, and any interpreter runs it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE = 8.0  # seconds from SIGTERM to SIGKILL


def main(command: list[str]) -> int:
    # a handler, not SIG_IGN, which the command would inherit: this process outlives the group's SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    threading.Thread(target=_end_with_stdin, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code  # as shells tell a signal


def _end_with_stdin(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    os.killpg(0, signal.SIGKILL)  # what does not go, and this process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
