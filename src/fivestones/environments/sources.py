"""The identity of a generator: a digest of the code and the data that it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from importlib.resources.abc import Traversable


def digest_of(folder: Traversable, leave_out: Container[str] = ()) -> str:
    """16 hex digits of all .py and .yaml files below, but for some paths. The same on any machine:
    of sorted paths and of text whose line endings are those of Unix."""
    digest = hashlib.sha256()
    for path, file in sorted(_sources(folder), key=lambda s: s[0]):
        if path not in leave_out:
            text = file.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{path}\n{len(text)}\n".encode() + text)
    return digest.hexdigest()[:16]


def _sources(folder: Traversable, at: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        path = f"{at}{entry.name}"
        if entry.is_dir():
            yield from _sources(entry, f"{path}/")
        elif path.endswith((".py", ".yaml")):
            yield path, entry
