"""What a recipe names as `module:attribute`: the user's own code."""

from __future__ import annotations

import importlib
import inspect
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fivestones import environ
from fivestones.errors import UsageError

_PACKAGE = Path(__file__).parent


def resolve(key: str, path: str, options: Mapping[str, Any], folders: Iterable[Path] = ()) -> Any:
    """`module:attribute`, the value of the recipe's `key`, called with the recipe's options. folders: where a
    user's own modules are."""
    module, _, attribute = path.partition(":")
    environ.look_in(folders)
    try:
        made = getattr(importlib.import_module(module), attribute)
    except Exception as e:  # whatever a user's module raises is theirs to mend
        raise UsageError(f"{key}: `{path}` could not be imported: {_told(e)}") from e
    if not callable(made):
        raise UsageError(f"{key}: `{path}` is {made!r}; allowed: a class or a function")
    signature = inspect.signature(made)
    try:
        signature.bind(**options)
    except TypeError as e:
        raise UsageError(
            f"{key}: `{path}` cannot be called with the options {', '.join(options)}: {e}; "
            f"it takes {signature}"
        ) from e
    return made(**options)


def fault_of(error: Exception) -> str | None:
    """What went wrong in the user's own code, and in which line of it; None where no such code ran, or it
    called fivestones and that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    last = max((n for n, frame in enumerate(frames) if not _foreign(frame.filename)), default=None)
    if last is None or any(Path(f.filename).is_relative_to(_PACKAGE) for f in frames[last:]):
        return None
    what = "".join(traceback.format_exception_only(error)).strip()
    return f"{frames[last].filename}, line {frames[last].lineno}, in {frames[last].name}: {what}"


def _foreign(file: str) -> bool:
    """Whether a file of code is Python's, a package's, or a command's."""
    path, paths = Path(file), sysconfig.get_paths()
    folders = [_PACKAGE, *(Path(paths[name]) for name in ("stdlib", "platstdlib", "scripts"))]
    return (
        not path.is_absolute()  # compiled: numpy/random/_generator.pyx
        or bool({"site-packages", "dist-packages"} & {*path.parts})
        or any(path.is_relative_to(folder) for folder in folders)
    )


def _told(error: Exception) -> str:
    """What went wrong in a user's module, and in which line of it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    inside = "importlib" not in last.filename and last.filename != __file__
    where = f"{last.filename}, line {last.lineno}: " if inside else ""
    return f"{where}{error}" if isinstance(error, ImportError | AttributeError) else f"{where}{error!r}"
