"""The error tree. A `FivestonesError` is the user's to mend: the CLI prints it as one message and exits with
its code.

    FivestonesError (1)
    ├── UsageError (2)          unknown key, impossible value, wrong argument
    ├── DataError (3)           missing, corrupt or unfit data file or row
    ├── ModelError (4)          missing or unfit model folder, contract mismatch
    ├── ResourceError (5)       disk, memory, device
    ├── RunExistsError (6)      a run directory that is not empty, or not resumable
    └── JudgePausedError (7)    too much is unscored; resumable

Anything else that is raised is a bug and shows its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FivestonesError(Exception):
    """Says what, where, got, allowed."""

    exit_code = 1


class UsageError(FivestonesError):
    exit_code = 2


class DataError(FivestonesError):
    exit_code = 3


class ModelError(FivestonesError):
    exit_code = 4


class ResourceError(FivestonesError):
    exit_code = 5


class RunExistsError(FivestonesError):
    exit_code = 6


class JudgePausedError(FivestonesError):
    exit_code = 7


class EnvironmentFault(Exception):
    """What an environment runs on failed (a server is gone): the rollout is unscored, never scored 0.
    `collect` turns it into data."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """' Did you mean `x`?' for the closest allowed name, or '' when none is close."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean `{close[0]}`?" if close else ""
