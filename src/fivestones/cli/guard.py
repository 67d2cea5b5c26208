"""How a command ends: a mistake of a user or of the user's own code, or a full disk, in one message and exit
code, a bug in a traceback."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from fivestones.errors import FivestonesError, JudgePausedError, ResourceError
from fivestones.own import fault_of

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_DISK = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# duckdb, safetensors and torch raise their own types for these; only the text tells
_DISK_TEXT = ("No space left on device", "Disk quota exceeded")
_MEMORY_TEXT = ("can't allocate memory", "out of memory", "Out of Memory")


@contextmanager
def guarded(go_on: Sequence[str] = ()) -> Iterator[None]:
    """`go_on`: the command that continues this one, for the message after Ctrl-C or a pause."""
    again = f"go on with: {shlex.join(go_on)}" if go_on else ""
    try:
        yield
    except KeyboardInterrupt:
        _end(f"interrupted{'; ' * bool(again)}{again}", INTERRUPTED)
    except FivestonesError as error:
        more = f"\n{again}" if again and isinstance(error, JudgePausedError | ResourceError) else ""
        _end(f"error: {error}{more}", error.exit_code)
    except Exception as error:
        told: FivestonesError | None = resource_error(error)
        if told is None and (fault := fault_of(error)):
            told = FivestonesError(f"a fault in code of your own: {fault}")
        if told is None:
            raise
        _end(f"error: {told}" + (f"\nthen {again}" if again else ""), told.exit_code)


def resource_error(error: Exception) -> ResourceError | None:
    """What a full disk, too little memory or a forbidden folder says; None for any other error."""
    code = error.errno if isinstance(error, OSError) else None
    name = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    text = str(error)
    if code in _DISK or any(phrase in text for phrase in _DISK_TEXT):
        return ResourceError(f"the disk is full{name}; what was finished is kept: free some space")
    if code in _FORBIDDEN:
        return ResourceError(
            f"cannot read or write{name}: {error.strerror if isinstance(error, OSError) else ''}"
        )
    if isinstance(error, MemoryError) or any(phrase in text for phrase in _MEMORY_TEXT):
        return ResourceError(
            "out of memory; what was finished is kept: try a lower train.token_budget or rollout.slots, "
            "model.gradient_checkpointing=true, or model.lora.rank=16"
        )
    return None


def _end(message: str, code: int) -> None:
    print(message, file=sys.stderr, flush=True)
    raise typer.Exit(code)
