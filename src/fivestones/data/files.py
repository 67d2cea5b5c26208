"""A user's own data: files to rows by split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from fivestones.data.store import Row, read_rows
from fivestones.errors import DataError
from fivestones.recipe import FilesPart
from fivestones.types import Split


def load_files(
    part: FilesPart, *, seed: int = 0, cluster: str | None = None, columns: Sequence[str] = ()
) -> dict[Split, list[Row]]:
    """Train and test rows. Without a test file, a share of train is set apart by `cluster`, never splitting
    one.

    cluster: a column, or None: each row its own (equal rows stay together). columns: must be in every row.
    Raises DataError for a file or row that cannot be used, and for data that cannot be split.
    """
    needed = [*columns, *([cluster] if cluster and cluster not in columns else [])]
    train = _rows(part, "train", needed)
    if part.test is not None:
        return {"train": train, "test": _rows(part, "test", needed)}
    return split_rows(train, part.test_share, seed=seed, cluster=cluster, where=str(part.train))


def split_rows(
    rows: Sequence[Row], share: float, *, seed: int, cluster: str | None = None, where: str = "data"
) -> dict[Split, list[Row]]:
    """Whole clusters go to test, in a seeded order, until it has `share` of the rows; each side gets at least
    one.

    A cluster that would take test past its share is left to train when test has rows already. Order is kept.
    """
    if share <= 0.0:
        return {"train": list(rows), "test": []}
    members: dict[str, int] = {}
    names = [_cluster_of(row, cluster) for row in rows]
    for name in names:
        members[name] = members.get(name, 0) + 1
    if share >= 1.0 or len(members) < 2:
        what = (
            f"column `{cluster}` has only one value" if cluster and share < 1.0 else "too few different rows"
        )
        why = "files.test_share is 1, which leaves nothing to train on" if share >= 1.0 else what
        raise DataError(f"{where}: cannot set a test split apart: {why}; name a file in `files.test`")
    target = share * len(rows)
    test: set[str] = set()
    size = 0
    for name in sorted(members, key=lambda n: _draw(seed, n)):
        fits = size + members[name] <= target or not size
        if fits and len(test) < len(members) - 1:
            test.add(name)
            size += members[name]
    return {
        "train": [row for row, name in zip(rows, names, strict=True) if name not in test],
        "test": [row for row, name in zip(rows, names, strict=True) if name in test],
    }


def _rows(part: FilesPart, split: Split, columns: Sequence[str]) -> list[Row]:
    path = part.train if split == "train" else part.test
    assert path is not None
    try:
        return read_rows(path, require=columns)
    except DataError as error:
        raise DataError(f"files.{split}: {error}") from error


def _cluster_of(row: Row, cluster: str | None) -> str:
    if cluster is not None:
        return json.dumps(row[cluster], sort_keys=True, default=str)
    return json.dumps(row, sort_keys=True, default=str)


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=16).digest()
