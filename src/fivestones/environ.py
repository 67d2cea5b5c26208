"""Switches that keep the machine to itself: no hub look-ups, no telemetry of any dependency.

They are read when the dependencies are imported, so `apply` comes before any such import. And where a user's
own modules are found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

TELEMETRY: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def switches(*, online: bool = False) -> dict[str, str]:
    """Variable -> value. `online` (a recipe with `model.online: true`) opens the hub, never the telemetry."""
    return {**TELEMETRY, **dict.fromkeys(OFFLINE, "0" if online else "1")}


def apply(*, online: bool = False, environ: MutableMapping[str, str] = os.environ) -> None:
    environ.update(switches(online=online))


def unset(*, online: bool = False, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the switches that do not stand as `apply` leaves them."""
    return [name for name, value in switches(online=online).items() if environ.get(name) != value]


def look_in(folders: Iterable[Path]) -> None:
    """Imports find modules in `folders`, then in the working folder: the installed command looks in
    neither, other than `python FILE` in that of FILE."""
    for folder in (Path.cwd(), *reversed([*folders])):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
