"""Files of a data set from a folder or a tar archive, read one at a time and never extracted."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fivestones.errors import DataError

LARGEST = 512 << 20  # bytes of one file
MOST = 8 << 30  # bytes of all, as the archive declares them: what reading may decompress
MEMBERS = 200_000

Tell = Callable[[str, str], None]
"""(why something is left out, where it is)"""


def files(path: Path, patterns: Sequence[str], tell: Tell) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files that fit one of `patterns` (paths below the data set's root, where `*` is
    part of a name), in the order of their names in a folder, of the archive in an archive. The root is `path`
    itself or the folder `data` in it.

    Raises DataError when there is no such folder or archive, or it is torn or too large.
    """
    if path.is_dir():
        return _of_folder(path, patterns, tell)
    if path.is_file():
        return _of_archive(path, patterns, tell)
    raise DataError(f"{path}: no such folder or archive")


def _of_folder(path: Path, patterns: Sequence[str], tell: Tell) -> Iterator[tuple[str, bytes]]:
    for root in (path, path / "data"):
        for file in sorted(file for pattern in patterns for file in root.glob(pattern) if file.is_file()):
            name = file.relative_to(root).as_posix()
            try:
                if file.stat().st_size > LARGEST:
                    tell(f"larger than {LARGEST >> 20} MiB", name)
                else:
                    yield name, file.read_bytes()
            except OSError as error:
                raise DataError(f"{file} cannot be read: {error.strerror}") from error


def _of_archive(path: Path, patterns: Sequence[str], tell: Tell) -> Iterator[tuple[str, bytes]]:
    wanted = [re.compile(re.escape(pattern).replace(r"\*", "[^/]+")) for pattern in patterns]
    try:
        with tarfile.open(path) as archive:
            size = 0
            for count, member in enumerate(archive):
                size += member.size
                # before the next member is looked for: looking decompresses this one
                if size > MOST or count >= MEMBERS:
                    raise DataError(
                        f"{path}: more than {MOST >> 30} GiB or {MEMBERS} files; it is no such data set"
                    )
                name = member.name.removeprefix("./").removeprefix("data/")
                if not any(pattern.fullmatch(name) for pattern in wanted) and _is_safe(member):
                    continue
                if not _is_safe(member):
                    tell("is no plain file within the archive", member.name)
                elif member.size > LARGEST:
                    tell(f"larger than {LARGEST >> 20} MiB", name)
                else:
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file has content
                    yield name, content.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} is no whole tar archive: {error}") from error


def _is_safe(member: tarfile.TarInfo) -> bool:
    """A regular file or a folder whose path stays below where it would be extracted."""
    try:
        tarfile.data_filter(member, "/nowhere")
    except tarfile.FilterError:
        return False
    return (member.isreg() or member.isdir()) and not member.name.startswith("/")
