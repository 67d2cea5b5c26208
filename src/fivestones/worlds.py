"""The made world of finqa on disk: tables and questions as Parquet, and the certificate over both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from fivestones.data.certificate import NAME, changed_files, load
from fivestones.data.store import iter_rows, read_rows, sha256, write_rows
from fivestones.environments.finqa.tables import Table, Tables
from fivestones.environments.finqa.world import certificate
from fivestones.environments.finqa.world.world import make_world
from fivestones.environments.sources import digest_of
from fivestones.errors import DataError, RunExistsError
from fivestones.protocols import Progress
from fivestones.recipe import Recipe, WorldPart
from fivestones.runlog import write_json
from fivestones.types import Split

Row = Mapping[str, Any]
KIND = "finqa"
SPLITS = ("train", "val", "test")
COLUMNS = ("id", "company", "level", "question", "answer", "plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWorld:
    folder: Path
    new: bool  # False: the folder held this world already
    certificate: Mapping[str, Any]
    current: bool = True  # False: another version of the generator made it

    @property
    def message(self) -> str:
        rows = sum(part["questions"] for part in self.certificate["counts"].values())
        state = "" if self.new else " are there already: nothing to do"
        if not self.current:
            state = " are there already, made by another version of the generator"
        return f"{self.folder}: {rows} questions{state}"


def make_data(recipe: Recipe, folder: Path, progress: Progress | None) -> MadeWorld:
    """tables.parquet, a file of questions for each split, and certificate.json in `folder`. Raises
    RunExistsError when it holds data of other settings."""
    assert recipe.world is not None
    settings = _settings(recipe.world, recipe.seed)
    if (folder / NAME).is_file():
        body = load(folder)
        there = body.get("settings") or {}
        if {**there, "generator": None} != {**settings, "generator": None}:
            raise RunExistsError(f"{folder}: holds data of other settings; choose another directory")
        if changed := changed_files(folder, {"files": {}, **body}):
            raise RunExistsError(
                f"{folder}: {changed[0]} is missing or was changed after it was certified; choose another "
                "directory, or delete this one"
            )
        current = there.get("generator") == settings["generator"]
        return MadeWorld(folder=folder, new=False, certificate=body, current=current)

    def tell(done: int, total: int, text: str) -> None:
        if progress:
            progress(done, total, text)

    world = make_world(recipe.world, recipe.seed, recipe.world.workers, tell)
    found = certificate.certify(world.tables, world.questions, world.unbalanced, tell)
    if faults := [f"{name}: {fault}" for name, check in found["checks"].items() for fault in check["first"]]:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DataError(f"the world of seed {recipe.seed} is not sound: {faults[0]}{more}; take another seed")
    body = {"kind": KIND, "settings": settings, **found}
    files = {"tables.parquet": world.tables} | {f"{s}.parquet": world.questions.get(s, ()) for s in SPLITS}
    written = {}
    for name, rows in files.items():
        if rows:
            write_rows(folder / name, rows)
            written[name] = sha256(folder / name)
    body["files"] = written
    write_json(folder / NAME, body)
    return MadeWorld(folder=folder, new=True, certificate=body)


def verify_world(folder: Path) -> list[str]:
    """What does not hold of the certificate, everything recomputed from the files."""
    body = load(folder)
    changed = changed_files(folder, {"files": {}, **body})
    findings = [f"{name}: is missing, or not the file that was certified" for name in changed]
    if findings:
        return findings
    tables = read_rows(folder / "tables.parquet")
    rows = {s: read_rows(path) for s in SPLITS if (path := folder / f"{s}.parquet").is_file()}
    return certificate.verify(body, tables, rows)


def read_world(folder: Path, tested: str = "test") -> tuple[dict[Split, Sequence[Row]], Tables]:
    """Questions to train on, those of the split `tested` to test, and all tables. Raises DataError for a
    split without questions."""
    path = folder / f"{tested}.parquet"
    if not path.is_file():
        raise DataError(f"{folder}: it has no questions of `{tested}`; ask for some (world.{tested})")
    rows: dict[Split, Sequence[Row]] = {
        "train": read_rows(folder / "train.parquet", COLUMNS),
        "test": read_rows(path, COLUMNS),
    }
    return rows, tables_of(iter_rows(folder / "tables.parquet", ("company", "table", "columns", "rows")))


def sample_world(part: WorldPart, seed: int, count: int) -> tuple[dict[Split, Sequence[Row]], Tables]:
    """A small world of the same kind: about `count` questions of each split, of few companies, and of more
    where those bear too few questions of a level."""
    companies = max(2, count // 10)
    while True:
        few = _fewer(part, companies, count)
        try:
            world = make_world(few, seed, 1, lambda done, total, text: None)
        except DataError:
            if (few.companies_train, few.companies_test) == (part.companies_train, part.companies_test):
                raise
            companies *= 2
            continue
        return {"train": world.questions["train"], "test": world.questions["test"]}, tables_of(world.tables)


def _fewer(part: WorldPart, companies: int, count: int) -> WorldPart:
    changes: dict[str, int] = {"companies_val": 1, "val": 0, "multi_val": 0, "workers": 1}
    for split in ("train", "test"):
        changes[f"companies_{split}"] = min(companies, getattr(part, f"companies_{split}"))
        changes[split] = min(count, getattr(part, split))
        changes[f"multi_{split}"] = min(max(2, count // 4), getattr(part, f"multi_{split}"))
    return part.model_copy(update=changes)


def tables_of(rows: Any) -> Tables:
    return Tables(
        [
            Table(
                company=row["company"],
                name=row["table"],
                description=row["description"],
                columns=tuple(json.loads(row["columns"])),
                rows=tuple(map(tuple, json.loads(row["rows"]))),
            )
            for row in rows
        ]
    )


def _settings(part: WorldPart, seed: int) -> dict[str, Any]:
    generator = f"{KIND} {digest_of(package_files('fivestones.environments.finqa.world'))}"
    told = part.model_dump(mode="json", exclude={"workers"})
    return {"seed": seed, "generator": generator, "world": told}
