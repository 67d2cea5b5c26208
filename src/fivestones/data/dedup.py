"""Finding rows that say the same: exactly, by their facts, or by meaning.

Rows are looked at in a fixed order, test before train, and a row goes when one kept before it says the same.
So one of each pair stays, and across the splits the test row stays: a train row must not decide what is
measured, and train has five times the rows to spare.

The cosine search compares all pairs. It is also exact in its arithmetic: vectors are rounded to whole numbers
so small that every partial sum is a whole number below 2**24, which float32 holds exactly; machine, threads
and block size do not change the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fivestones.data.embed import Vectors, words
from fivestones.errors import DataError

Cause = Literal["exact", "facts", "cosine_within", "cosine_across"]
CAUSES: tuple[Cause, ...] = ("exact", "facts", "cosine_within", "cosine_across")

GRID = 4080.0  # a vector of length 1 becomes whole numbers of length < 4096, so dot products stay below 2**24
BLOCK = 1024  # rows; 1024 x 24,000 float32 = 98 MB at a time

_ATTRIBUTES = ("section", "concept", "polarity", "value", "unit", "side", "site", "time", "experiencer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is compared of one row, without its text."""

    text: str  # hash of the normalised dialogue
    facts: str  # hash of condition and facts
    signature: str  # the generator's own fact signature
    test: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Result of the all-pairs search over n rows."""

    causes: Mapping[int, Cause]  # row -> why it goes
    within: npt.NDArray[np.float32]  # [n] cosine of the nearest row of the same split; -1 when alone
    across: npt.NDArray[np.float32]  # [n] cosine of the nearest row of the other split; -1 when it is empty


def key_of(row: Mapping[str, Any]) -> Key:
    return Key(
        text=_digest(words(str(row["dialogue"]))),
        facts=facts_key(row),
        signature=str(row["signature"]),
        test=row["split"] == "test",
    )


def facts_key(row: Mapping[str, Any]) -> str:
    """Hash of the condition and the set of facts with their attributes; order and ids do not matter."""
    try:
        facts = json.loads(row["facts"])
        said = sorted([str(fact.get(name) or "") for name in _ATTRIBUTES] for fact in facts)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"row {row.get('id', '?')}: column `facts` is not a list of facts ({error})"
        ) from error
    return _digest([str(row["condition"]), *("\t".join(fact) for fact in said)])


def order_of(test: Sequence[bool]) -> list[int]:
    """Row numbers in the order of preference: test rows, then train rows."""
    return sorted(range(len(test)), key=lambda i: (not test[i], i))


def same_key(keys: Sequence[Key]) -> dict[int, Cause]:
    """Rows that repeat the normalised dialogue or the facts of a row preferred to them."""
    causes: dict[int, Cause] = {}
    texts: set[str] = set()
    facts: set[str] = set()
    for i in order_of([key.test for key in keys]):
        key = keys[i]
        said = {"facts " + key.facts, "signature " + key.signature}
        if key.text in texts:
            causes[i] = "exact"
        elif facts & said:
            causes[i] = "facts"
        else:
            texts.add(key.text)
            facts |= said
    return causes


def search(
    vectors: Vectors, test: Sequence[bool], *, within: float, across: float, block: int = BLOCK
) -> Search:
    """Compares all pairs; a row goes when its cosine to a kept preferred row is above the threshold of the
    pair.

    Memory: a copy of the vectors and `block` rows of cosines.
    """
    order = order_of(test)
    n, cut = len(order), sum(test)
    grid = np.rint(vectors[order] * np.float32(GRID)).astype(np.float32)
    kept = np.ones(n, bool)
    near_own = np.full(n, -1.0, np.float32)
    near_other = np.full(n, -1.0, np.float32)
    causes: dict[int, Cause] = {}
    for start in (*range(0, cut, block), *range(cut, n, block)):
        stop = min(start + block, cut if start < cut else n)
        base = 0 if start < cut else cut  # first row of this split
        own = _cosines(grid[start:stop], grid[base:stop])
        rows, columns = np.triu_indices(stop - start)
        own[rows, columns + start - base] = -1.0  # itself, and pairs that are met the other way round
        _keep_nearest(near_own, start, stop, base, stop, own)
        over_own = own > within
        over_other = np.zeros((stop - start, cut if base else 0), bool)
        if over_other.size:
            other = _cosines(grid[start:stop], grid[:cut])
            _keep_nearest(near_other, start, stop, 0, cut, other)
            over_other = other > across
        for r in np.flatnonzero(over_own.any(axis=1) | over_other.any(axis=1)):
            if (over_other[r] & kept[: over_other.shape[1]]).any():
                causes[order[start + r]] = "cosine_across"
            elif (over_own[r] & kept[base:stop]).any():
                causes[order[start + r]] = "cosine_within"
            else:
                continue  # what it resembles is gone already
            kept[start + r] = False
    back = np.argsort(np.asarray(order, np.int64))
    return Search(causes=causes, within=near_own[back], across=near_other[back])


def pair_cosines(vectors: Vectors, left: Sequence[int], right: Sequence[int]) -> npt.NDArray[np.float32]:
    """[k] cosines of the pairs (left[k], right[k]), in the arithmetic of `search`."""
    a, b = (np.rint(vectors[list(side)] * np.float32(GRID)) for side in (left, right))
    return _to_cosine(np.einsum("kd,kd->k", a, b).astype(np.float32))


def _cosines(rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return _to_cosine(rows @ columns.T)


def _to_cosine(dots: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    dots *= np.float32(1.0 / GRID**2)
    return np.minimum(dots, np.float32(1.0), out=dots)  # rounding makes a text 1.0001 like itself


def _keep_nearest(
    nearest: npt.NDArray[np.float32],
    start: int,
    stop: int,
    left: int,
    right: int,
    cosines: npt.NDArray[np.float32],
) -> None:
    """Each pair counts for both its rows."""
    np.maximum(nearest[start:stop], cosines.max(axis=1, initial=-1.0), out=nearest[start:stop])
    np.maximum(nearest[left:right], cosines.max(axis=0, initial=-1.0), out=nearest[left:right])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
