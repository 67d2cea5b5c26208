"""Switches that keep the machine to itself: no hub look-ups, no telemetry of any dependency.

They are read when the dependencies are imported, so `apply` comes before any such import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

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
