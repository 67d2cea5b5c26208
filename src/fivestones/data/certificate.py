"""The certificate of a data directory: what was measured about `train.parquet` and `test.parquet`, and how to
check it.

`certify` writes `certificate.json` from the rows; `verify` reads the files again, recomputes everything that
can be recomputed and reports each difference.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

import numpy as np

from fivestones.data.calibrate import quantiles
from fivestones.data.dedup import Cause, Key, Search, key_of, same_key, search
from fivestones.data.embed import Embedder, Encoded, embedder, text_of
from fivestones.data.store import iter_rows, sha256
from fivestones.data.teacher.account import account
from fivestones.errors import DataError
from fivestones.protocols import Progress
from fivestones.runlog import write_atomic
from fivestones.types import Split

NAME = "certificate.json"
FORMAT = 1
SPLITS: tuple[Split, ...] = get_args(Split)
COLUMNS = (
    "id",
    "split",
    "specialty",
    "condition",
    "style",
    "dialogue",
    "note",
    "facts",
    "signature",
    "group",
    "seed",
    "provenance",
)
TOLERANCE = 2e-4  # of a recomputed cosine: logarithms differ in the last digit between machines


@dataclass(frozen=True, slots=True)
class Finding:
    code: str  # certificate, file, id, split, group, summary, or a cause of removal
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """What is remembered of a row once its text is out of memory."""

    id: str
    split: str
    specialty: str
    condition: str
    style: str
    group: str
    words: int  # of the dialogue
    key: Key

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Light:
        return cls(
            id=str(row["id"]),
            split=str(row["split"]),
            specialty=str(row["specialty"]),
            condition=str(row["condition"]),
            style=str(row["style"]),
            group=str(row["group"]),
            words=len(str(row["dialogue"]).split()),
            key=key_of(row),
        )


def path_of(folder: Path, split: str) -> Path:
    return folder / f"{split}.parquet"


def summary(rows: Sequence[Light], found: Search) -> dict[str, Any]:
    """The part of a certificate that follows from the rows alone."""
    splits: dict[str, Any] = {}
    for split in SPLITS:
        there = [i for i, row in enumerate(rows) if row.split == split]
        if not there:
            continue
        mine = [rows[i] for i in there]
        splits[split] = {
            "rows": len(mine),
            "groups": len({row.group for row in mine}),
            "conditions": len({row.condition for row in mine}),
            "specialties": _counted(row.specialty for row in mine),
            "styles": _counted(row.style for row in mine),
            "dialogue_words": _spread([row.words for row in mine]),
            "nearest_within": quantiles(_paired(found.within[there])),
        }
    return {
        "rows": len(rows),
        "conditions": len({row.condition for row in rows}),
        "specialties": len({row.specialty for row in rows}),
        "splits": splits,
        "nearest_across": quantiles(_paired(found.across[[i for i, row in enumerate(rows) if row.key.test]])),
        "groups_shared": len(_shared_groups(rows)),
    }


def certify(
    folder: Path,
    rows: Sequence[Light],
    found: Search,
    *,
    embedder: Embedder,
    columns: Sequence[str],
    calibration: Mapping[str, Any],
    made: Mapping[str, Any],
    settings: Mapping[str, Any],
    spent: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the certificate of parquet files that are already in `folder`, and returns it.

    calibration: has the thresholds `within` and `across`. made: counts generated and removed. settings: seed
    and recipe. spent: on a teacher, in all; None: there was none.
    """
    body: dict[str, Any] = {
        "format": FORMAT,
        "settings": dict(settings),
        "files": {p.name: sha256(p) for p in (path_of(folder, s) for s in SPLITS) if p.is_file()},
        "made": dict(made),
        "summary": summary(rows, found),
        "embedding": {
            "model": embedder.name,
            "dimensions": embedder.dim,
            "sha256": embedder.digest(),
            "text": list(columns),
            "search": "all pairs, exact",
        },
        "calibration": dict(calibration),
        "versions": _versions(),
    }
    if spent is not None:
        body["teacher"] = {**account(_provenances(folder)), "spent_in_all": dict(spent)}
    body["digest"] = _digest(body)
    write_atomic(folder / NAME, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return body


def load(folder: Path) -> dict[str, Any]:
    """The certificate of a directory, of rows or of a world. Raises DataError when it is missing or
    unreadable."""
    path = folder / NAME
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; the data is not finished, or was not made by `fivestones synth`"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(body, dict):
        raise DataError(f"{path}: got {type(body).__name__}, needs an object")
    return body


def read(folder: Path) -> dict[str, Any]:
    """The certificate of rows. Raises DataError when it is another, or of another version."""
    path, body = folder / NAME, load(folder)
    needed = {"format", "settings", "files", "summary", "embedding", "calibration", "digest"}
    if needed - body.keys():
        raise DataError(f"{path}: not a data certificate")
    if body["format"] != FORMAT:
        raise DataError(f"{path}: format {body['format']}, this version reads {FORMAT}")
    return body


def changed_files(folder: Path, body: Mapping[str, Any]) -> list[str]:
    """Names of certified files that are missing or whose bytes differ."""
    files: Mapping[str, str] = body["files"]
    return [
        name
        for name, digest in files.items()
        if not (folder / name).is_file() or sha256(folder / name) != digest
    ]


def verify(folder: Path, progress: Progress | None = None) -> list[Finding]:
    """Recomputes everything from the files; an empty list means that the certificate holds.

    Raises DataError only when there is nothing to check: no certificate, or a file that cannot be read.
    """
    body = read(folder)
    findings: list[Finding] = []
    if _digest({k: v for k, v in body.items() if k != "digest"}) != body["digest"]:
        findings.append(Finding("certificate", f"{NAME} was edited: its own digest does not fit"))
    for name in changed_files(folder, body):
        findings.append(Finding("file", f"{name} is not the certified file (its SHA-256 differs)"))
    there = {p.name for p in (path_of(folder, s) for s in SPLITS) if p.is_file()}
    for name in sorted(there - set(body["files"])):
        findings.append(Finding("file", f"{name} is not in the certificate"))
    model = embedder("minilm" if body["embedding"]["model"] == "all-MiniLM-L6-v2" else "hashed")
    if (model.name, model.digest()) != (body["embedding"]["model"], body["embedding"]["sha256"]):
        findings.append(Finding("certificate", "the embedder is not the one that was certified"))
    rows, encoded = _load(folder, model, body, progress)
    findings += _row_findings(rows)
    found = search(
        model.vectors(encoded, encoded),
        [row.key.test for row in rows],
        within=float(body["calibration"]["within"]) + TOLERANCE,
        across=float(body["calibration"]["across"]) + TOLERANCE,
    )
    findings += _grouped(rows, found.causes, "has a nearer neighbour than the threshold allows")
    findings += _differences(body["summary"], summary(rows, found))
    if "teacher" in body:
        told = {key: value for key, value in body["teacher"].items() if key != "spent_in_all"}
        findings += _differences(told, account(_provenances(folder)), "teacher")
    return findings


def _provenances(folder: Path) -> Iterator[str]:
    for split in SPLITS:
        if path_of(folder, split).is_file():
            yield from (str(row["provenance"]) for row in iter_rows(path_of(folder, split), ("provenance",)))


def _load(
    folder: Path, model: Embedder, body: Mapping[str, Any], progress: Progress | None
) -> tuple[list[Light], list[Encoded]]:
    rows: list[Light] = []
    encoded: list[Encoded] = []
    total = int(body["summary"]["rows"])
    for split in ("test", "train"):
        path = path_of(folder, split)
        if not path.is_file():
            continue
        for row in iter_rows(path, COLUMNS):
            # The file a row is in decides its split, whatever the row says of itself.
            told = Light.of(row | {"split": split})
            rows.append(told if row["split"] == split else replace(told, split="misfiled"))
            encoded += model.encode([text_of(row, body["embedding"]["text"])])
            if progress and len(rows) % 500 == 0:
                progress(len(rows), total, "verifying rows")
    if not rows:
        raise DataError(f"{folder}: neither train.parquet nor test.parquet is there")
    if progress:
        progress(len(rows), len(rows), "verifying rows")
    return rows, encoded


def _row_findings(rows: Sequence[Light]) -> Iterator[Finding]:
    wrong = [row.id for row in rows if row.split == "misfiled"]
    if wrong:
        yield Finding("split", f"{len(wrong)} rows are in the other split's file: {_some(wrong)}")
    twice = [name for name, n in Counter(row.id for row in rows).items() if n > 1]
    if twice:
        yield Finding("id", f"{len(twice)} ids occur more than once: {_some(twice)}")
    yield from _grouped(rows, same_key([row.key for row in rows]), "repeats another row")
    shared = _shared_groups(rows)
    if shared:
        yield Finding("group", f"{len(shared)} scenario groups are in train and in test: {_some(shared)}")


def _grouped(rows: Sequence[Light], causes: Mapping[int, Cause], text: str) -> Iterator[Finding]:
    for cause in sorted(set(causes.values())):
        ids = [rows[i].id for i, why in causes.items() if why == cause]
        yield Finding(cause, f"{len(ids)} rows: each {text}: {_some(ids)}")


def _differences(told: Any, now: Any, at: str = "summary") -> Iterator[Finding]:
    if isinstance(told, dict) and isinstance(now, dict):
        for name in sorted(told.keys() | now.keys()):
            yield from _differences(told.get(name), now.get(name), f"{at}.{name}")
    elif isinstance(told, float) and isinstance(now, float) and abs(told - now) <= TOLERANCE:
        return
    elif told != now:
        yield Finding("summary", f"{at} is {now}, the certificate says {told}")


def _shared_groups(rows: Iterable[Light]) -> list[str]:
    groups: dict[bool, set[str]] = {True: set(), False: set()}
    for row in rows:
        groups[row.key.test].add(row.group)
    return sorted(groups[True] & groups[False])


def _paired(nearest: Any) -> Any:
    """Leaves out the -1 of rows without any partner."""
    return nearest[nearest > -1.0]


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _spread(values: Sequence[int]) -> dict[str, int]:
    at = {"min": 0.0, "q10": 0.1, "q50": 0.5, "q90": 0.9, "max": 1.0}
    return {name: int(np.quantile(values, q, method="lower")) for name, q in at.items()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("fivestones", "numpy", "duckdb"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "source"
    return found


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
