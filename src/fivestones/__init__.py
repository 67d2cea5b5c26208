"""Train a small language model to do one structured job better than a giant.

The verbs of the command line, each imported when it is first used, so that this import is instant:

    run = fivestones.run("soap", {"train.steps": 60}, profile="laptop")
    print(run.path, run.summary["contestants"]["trained"]["total"], run.report)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fivestones.api import Run, evaluate, report, run, synth, train
    from fivestones.doctor import examine as doctor
    from fivestones.init import init_job as init

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "doctor", "evaluate", "init", "preview", "report", "run", "synth", "train"]

_API = frozenset(__all__) - {"__version__"}
_ELSEWHERE = {"doctor": ("fivestones.doctor", "examine"), "init": ("fivestones.init", "init_job")}


class _Face(ModuleType):
    """Keeps `fivestones.train` the verb: an import of the package `fivestones/train` does not replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _API and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    if name in _API:
        module, verb = _ELSEWHERE.get(name, ("fivestones.api", name))
        return getattr(importlib.import_module(module), verb)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
