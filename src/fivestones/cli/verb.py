"""What all commands share: the API they call, the progress they draw, the way they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fivestones.cli.guard import guarded
from fivestones.protocols import Progress

if TYPE_CHECKING:
    from rich.console import Console


def stdout() -> Console:
    from rich.console import Console

    return Console(highlight=False)


@contextmanager
def follow(context: typer.Context, go_on: Sequence[str] = ()) -> Iterator[tuple[Any, Progress]]:
    """The API (`fivestones.api`, or the context's own object: a test's) and where it tells its progress."""
    with guarded(go_on):
        from rich.console import Console

        from fivestones.cli.progress import Bars

        with Bars(Console(stderr=True)) as bars:
            yield _Api(context.obj), bars


class _Api:
    """Imports the real API at the first verb that is called: `init` and `doctor` never need it."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._given or import_module("fivestones.api"), verb)


def command_line(
    *words: str, profile: str | None = None, out: Path | None = None, resume: bool = False
) -> list[str]:
    """The command that does the same again."""
    options = [f"--profile={profile}"] * (profile is not None) + [f"--out={out}"] * (out is not None)
    return ["fivestones", *words, *options, *(["--resume"] if resume else [])]
