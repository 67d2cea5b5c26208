"""What this machine has: processor, Python, versions, memory, disk. Each check takes what it judges."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

CORE = ("duckdb", "jinja2", "jsonschema", "numpy", "pydantic", "pyyaml", "referencing", "rich", "typer")
TRAIN = ("gguf", "llguidance", "peft", "rouge-score", "safetensors", "torch", "transformers")
PYTHONS = ((3, 11), (3, 12))
BF16_FLAGS = ("amx_bf16", "avx512_bf16")  # of /proc/cpuinfo
LOW_DISK = 1 << 30  # bytes that stay free beside the run
MOST = 7 << 30  # bytes: a larger process gives free pages back, so that the laptop profile keeps under 8 GB
LESS_MEMORY = (
    "model.gradient_checkpointing=true, lower train.token_budget or rollout.slots, or model.lora.rank=16"
)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""

    @property
    def failed(self) -> bool:
        return self.state == "fail"


def check_hardware() -> Check:
    flags = _cpuinfo("flags").split()
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    found = f"{platform.system()} {platform.machine()}, {name}, {cores()} cores"
    if native := [flag for flag in BF16_FLAGS if flag in flags]:
        return Check("machine", "ok", f"{found}, bf16 by {native[0]}")
    return Check("machine", "ok", f"{found}, no bf16 in hardware (float32 is used)")


def check_python(info: tuple[int, int] = sys.version_info[:2]) -> Check:
    state: Literal["ok", "fail"] = "ok" if info in PYTHONS else "fail"
    return Check("python", state, f"{platform.python_version()}", "use Python 3.11 or 3.12")


def check_versions(have: Mapping[str, str], pins: Mapping[str, str], only: Collection[str] = ()) -> Check:
    """A missing package fails, another version than the pinned one warns (local parts such as +cpu aside)."""
    names = tuple(only) or CORE + TRAIN
    missing = [name for name in names if name not in have]
    if missing:
        advice = "pip install 'fivestones[train]'" if set(missing) <= set(TRAIN) else "pip install fivestones"
        return Check("versions", "fail", f"not installed: {', '.join(missing)}", advice)
    other = [
        f"{name} {have[name]} (tested: {pins[name]})"
        for name in names
        if name in pins and have[name].partition("+")[0] != pins[name]
    ]
    if other:
        return Check(
            "versions", "warn", ", ".join(other), "pip install -c constraints.txt gives the tested set"
        )
    return Check("versions", "ok", f"{len(names)} packages as tested" if pins else f"{len(names)} packages")


def installed() -> dict[str, str]:
    """Package -> version, of those that matter here."""
    found: dict[str, str] = {}
    for name in CORE + TRAIN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def pinned() -> dict[str, str]:
    """Package -> version from constraints.txt: in the installed package, or at the root of a source tree."""
    here = Path(__file__).parent
    for path in (here / "constraints.txt", here.parents[1] / "constraints.txt"):
        if path.is_file():
            lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
            return {n.lower(): v for n, equals, v in (line.partition("==") for line in lines) if equals}
    return {}


def check_threads(wanted: int, environment: Mapping[str, str] = os.environ) -> Check:
    have = cores()
    if wanted > have:
        found = f"threads is {wanted}, there are {have} cores"
        return Check("threads", "warn", found, "more threads than cores are slower, often by a factor")
    limit = environment.get("OMP_NUM_THREADS", "")
    if not wanted and limit.isdigit() and int(limit) < have:
        return Check("threads", "warn", f"OMP_NUM_THREADS={limit}, there are {have} cores", "unset it")
    return Check("threads", "ok", f"{wanted or have} of {have} cores")


def check_load(load: float) -> Check:
    """load: processes that ran or waited, of the last minute."""
    found = f"load {load:.1f} on {cores()} cores"
    if load > cores() / 2:
        advice = "other work runs here: all times below are too long; ask again when it has ended"
        return Check("load", "warn", found, advice)
    return Check("load", "ok", found)


def check_memory(needed: int, free: int | None) -> Check:
    if free is None:
        return Check("memory (estimate)", "ok", f"about {gib(needed)}; what is free is not known here")
    found = f"about {gib(needed)} of {gib(free)} free"
    # the estimate is rough: only a clear lack fails
    state: Literal["ok", "warn", "fail"] = (
        "fail" if needed > 1.5 * free else "warn" if needed > 0.9 * free else "ok"
    )
    return Check("memory (estimate)", state, found, LESS_MEMORY)


def check_peak(step: int, run: int, free: int | None) -> Check:
    """step: measured, so that the bound is closer than that of an estimate; run: what a whole run should come
    to hold."""
    found = f"{gib(step)} for one step, about {gib(run)} in a whole run"
    if free is None:
        return Check("memory (measured)", "ok", f"{found}; what is free is not known here")
    state: Literal["ok", "warn", "fail"] = "fail" if step > free else "warn" if run > 0.9 * free else "ok"
    return Check("memory (measured)", state, f"{found}, of {gib(free)} free", LESS_MEMORY)


def check_disk(needed: int, folder: Path, free: int | None = None) -> Check:
    free = shutil.disk_usage(folder).free if free is None else free
    state: Literal["ok", "warn", "fail"] = (
        "fail" if needed > free else "warn" if needed + LOW_DISK > free else "ok"
    )
    found = f"about {gib(needed)} of {gib(free)} free"
    return Check("disk (estimate)", state, found, "free some space, or write elsewhere with --out")


def cores() -> int:
    """Of this process: what an affinity mask or container leaves it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that can be had without swapping, within the limit of a container. None where it is not told."""
    free = _meminfo("MemAvailable")
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        within = max(limit - used, 0)
        return within if free is None else min(free, within)
    return free


def memory_limit() -> int | None:
    """Bytes of the machine, or of its container when that has fewer. None where it is not told."""
    known = (_meminfo("MemTotal"), _number(Path("/sys/fs/cgroup/memory.max")))
    return min((n for n in known if n is not None), default=None)


def process_memory() -> int:
    """Bytes that this process holds now; 0 where it is not told."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.is_file() else 0


def gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def _meminfo(name: str) -> int | None:
    path = Path("/proc/meminfo")
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(found[1]) * 1024 if found else None


def _number(path: Path) -> int | None:
    """The number in a file of the kernel; `max` and a missing file are None."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cpuinfo(name: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    found = re.search(rf"^{name}\s*: (.*)$", path.read_text(), re.MULTILINE)
    return found[1] if found else ""
