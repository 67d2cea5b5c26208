"""A server process: started, waited for, watched, stopped. Nothing of it outlives the process that asked."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO

from fivestones.errors import JudgePausedError, ResourceError
from fivestones.runlog import disk_errors
from fivestones.serve import guard
from fivestones.serve.engines import Launch

logger = logging.getLogger(__name__)
TAIL = 20  # lines of the log in a message
_POLL = 0.1  # seconds between two looks, growing to ten times as much
_SLACK = 4.0  # seconds that stopping may take beyond the guard's grace


class Server:
    """`with Server(launch(part), log) as server: ... server.url, server.model`.

    log: the file that the server's own words are added to; ready: seconds until it must answer. `start` may
    be called by several threads, and more than once.
    """

    def __init__(self, launch: Launch, log: Path, *, ready: float = 600.0) -> None:
        self.launch = launch
        self.log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0  # bytes of the log that are older
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        # loopback is asked without the proxies of the environment
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def url(self) -> str:
        return self.launch.url

    @property
    def model(self) -> str:
        return self.launch.model

    @property
    def key(self) -> str:
        return self.launch.key

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers. Raises ResourceError, with the end of the log, when it ends before that or
        is not ready in time, and when it was stopped: it does not start again."""
        with self._lock:
            self._refuse_stopped()
            if self._process is None:
                logger.info("starting %s; its log: %s", self.model, self.log)
                self._spawn()
                try:
                    self._wait()
                except BaseException:
                    self._end()
                    raise

    def check(self) -> None:
        """Raises JudgePausedError, with the end of the log, when the server has ended: what it was asked for
        can be asked again when it is started anew."""
        process = self._process
        if process is not None and process.poll() is not None:
            raise JudgePausedError(self._told(f"ended during the run ({_how(process.returncode)})"))

    def stop(self) -> None:
        """Ends the server and all that it started, a start under way too."""
        self._stopped.set()
        with self._lock:
            self._end()

    # inside the lock

    def _refuse_stopped(self) -> None:
        if self._stopped.is_set():
            raise ResourceError(f"the server of {self.model} was stopped")

    def _spawn(self) -> None:
        with disk_errors(self.log):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._begin = log.tell()
                self._process = self._popen(log)

    def _popen(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(guard.__file__), *self.launch.command],
            stdin=subprocess.PIPE,  # the guard ends the server when this end closes
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(self.launch.environ),
            start_new_session=True,  # Ctrl-C reaches the run alone, which still needs its judge
        )

    def _wait(self) -> None:
        assert self._process is not None
        end, pause = time.monotonic() + self._ready, _POLL
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise ResourceError(self._told(f"ended before it answered ({_how(code)})"))
            if time.monotonic() > end:
                raise ResourceError(self._told(f"did not answer in {self._ready:g} s (serve.ready)"))
            self._stopped.wait(pause)
            self._refuse_stopped()
            pause = min(pause * 1.2, 10 * _POLL)

    def _answers(self) -> bool:
        """Whether the model of that name is there: another program on the port does not count."""
        request = urllib.request.Request(f"{self.url}/models")
        request.add_header("Authorization", f"Bearer {self.key}")
        try:
            with self._opener.open(request, timeout=2.0) as response:
                listed = json.load(response)
            return self.model in {model["id"] for model in listed["data"]}
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False  # not yet: urllib's errors are OSErrors

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(guard.GRACE + _SLACK)
        with suppress(ProcessLookupError, PermissionError):  # what a server that crashed has left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _told(self, what: str) -> str:
        with self.log.open("rb") as log:
            log.seek(self._begin)
            words = log.read().decode("utf-8", "replace").splitlines()
        last = "\n".join(f"  {line[:300]}" for line in words[-TAIL:]) or "  (nothing)"
        return f"the server of {self.model} {what}; the end of {self.log}:\n{last}"


def _how(code: int) -> str:
    """The guard tells a signal as shells do."""
    number = -code if code < 0 else code - 128
    try:
        return f"by {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {code}"
