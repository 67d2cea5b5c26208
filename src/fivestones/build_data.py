"""The data of a recipe: made, previewed, looked at, read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fivestones.data import certificate
from fivestones.data.embed import embedder
from fivestones.data.files import load_files
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome, finished, settings_of, synthesize
from fivestones.data.teacher import Preview, Told, preview
from fivestones.environments.finqa.real import load_real, must_train
from fivestones.environments.finqa.tables import Tables
from fivestones.environments.soap import generate as soap
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.rows import MakeRow, Paraphrase
from fivestones.environments.soap.spec import spec as soap_spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.protocols import Progress
from fivestones.recipe import Recipe, StructuredPart, SynthPart
from fivestones.teachers import SoapTeacher
from fivestones.types import Split
from fivestones.worlds import (
    KIND,
    MadeWorld,
    make_data,
    read_world,
    sample_world,
    verify_world,
)

Made = Outcome | MadeWorld
Rows = Mapping[Split, Sequence[Mapping[str, Any]]]
TEXTS = ("dialogue", "note")  # of a row, that a preview shows


@dataclass(frozen=True, slots=True)
class Data:
    """What a job's tasks are made of."""

    rows: Rows
    tables: Tables | None = None  # of finqa


def synthesize_data(recipe: Recipe, folder: Path, progress: Progress | None) -> Made:
    """The recipe's synthetic data in `folder`. Finished data needs no teacher: its prompts are those of the
    certificate, whatever they are now."""
    if recipe.world:
        return make_data(recipe, folder, progress)
    part = _synth_part(recipe)
    known = finished(folder)
    prompts = (known or {}).get("synth", {}).get("teacher", {}).get("prompts")
    with ExitStack() as stack:
        teacher = None
        if part.teacher and known is None:
            teacher = stack.enter_context(SoapTeacher(part, part.teacher, recipe.seed, folder))
            prompts = teacher.prompts
        return synthesize(
            _planned(part, recipe.seed),
            MakeRow(recipe.seed, part.length),
            Paraphrase(recipe.seed, part.length),
            folder,
            settings=settings_of(part, seed=recipe.seed, generator=soap.version(), prompts=prompts),
            embedder=embedder(part.embedder),
            workers=part.workers,
            teaching=teacher.teaching if teacher else None,
            progress=progress,
        )


def preview_data(recipe: Recipe, folder: Path, count: int) -> Preview:
    """`count` rows as they would be, spread over all."""
    if recipe.world:
        raise UsageError(
            f"recipe {recipe.name}: --preview shows texts; a world is made in a moment: leave --preview out"
        )
    part = _synth_part(recipe)
    items = _planned(part, recipe.seed)
    if part.teacher is None:
        make = MakeRow(recipe.seed, part.length)
        return preview(partial(_plainly, make), items, count, TEXTS, at_once=(part.workers, part.workers))
    with SoapTeacher(part, part.teacher, recipe.seed, folder) as teacher:
        return preview(teacher.teacher.tell, items, count, TEXTS, at_once=teacher.at_once)


def check_teacher(recipe: Recipe) -> None:
    """Raises UsageError for prompts or a key of the recipe's teacher; nobody is asked."""
    part = recipe.synth
    if part and part.teacher:
        SoapTeacher(part, part.teacher, recipe.seed, None).close()


def _plainly(make: MakeRow, item: soap.PlanItem) -> Told:
    began = time.monotonic()
    row = make(item, 0)
    return Told(row=row, draft=row, attempts=(), seconds=time.monotonic() - began)


def _synth_part(recipe: Recipe) -> SynthPart:
    if recipe.synth is None or recipe.environment.kind != "soap":
        raise UsageError(
            f"recipe {recipe.name}: nothing to synthesize: it has neither `synth` for environment `soap` nor "
            "`world` for `finqa`"
        )
    return recipe.synth


def _planned(part: SynthPart, seed: int) -> list[soap.PlanItem]:
    return soap.plan(
        knowledge.load(),
        part.train,
        part.test,
        seed,
        styles=part.styles,
        held_out_style=part.held_out_style,
        held_out_share=part.held_out_share,
    )


def sample_data(recipe: Recipe, count: int) -> Data:
    """The user's data; or, of data still to be made, up to `count` rows of each split."""
    if recipe.world:
        return Data(*sample_world(recipe.world, recipe.seed, count))
    return load_data(recipe, Path()) if recipe.synth is None else Data(sample_rows(recipe, count))


def load_data(recipe: Recipe, folder: Path) -> Data:
    """The data of both splits: made in `folder`, or the user's."""
    finqa = recipe.environment.finqa
    tested = finqa.tested if finqa else "test"
    if recipe.world:
        return Data(*read_world(folder, tested))
    if finqa and finqa.data and finqa.format != "world":
        real = load_real(finqa.data, finqa.format)
        must_train(real)
        for split in ("train", tested):
            if not real.rows[split]:
                why = "; ".join(real.told) or "the set has none"
                raise DataError(f"{finqa.data}: no fit question for `{split}`: {why}")
        return Data({"train": real.rows["train"], "test": real.rows[tested]}, real.tables)
    if recipe.environment.kind == "openenv":
        return Data({})  # a server has it
    return Data(load_rows(recipe, folder))


def verify_data(folder: Path, progress: Progress | None) -> list[str]:
    """What does not hold of the certificate of made data."""
    if certificate.load(folder).get("kind") == KIND:
        return verify_world(folder)
    return [str(finding) for finding in certificate.verify(folder, progress)]


def sample_rows(recipe: Recipe, count: int) -> Rows:
    """The user's rows; or, of data still to be synthesized, up to `count` rows of each split, not yet
    compared with each other."""
    part = recipe.synth
    if part is None:
        return load_rows(recipe, Path())
    embedder(part.embedder)  # tells now when what it needs is missing
    few = part.model_copy(update={"train": min(part.train, count), "test": min(part.test, count)})
    make = MakeRow(recipe.seed, part.length)
    rows: dict[Split, list[Mapping[str, Any]]] = {"train": [], "test": []}
    for item in _planned(few, recipe.seed):
        rows[item.split].append(make(item, 0))
    return rows


def load_rows(recipe: Recipe, data: Path) -> Rows:
    """The rows of both splits: made ones from `data`, or the user's files."""
    if recipe.synth:
        return {
            split: read_rows(data / f"{split}.parquet", ("id", "dialogue", "note", "facts"))
            for split in ("train", "test")
        }
    assert recipe.files is not None
    spec = structured_spec(recipe)
    files = recipe.files
    rows = load_files(files, seed=recipe.seed, cluster=spec.cluster if spec else None)
    if spec and files.test is None:
        # whole, before its rows are parted: a fault is told by its row in the file
        StructuredEnvironment(spec, {"train": read_rows(files.train)}, {"train": str(files.train)})
    return rows


def structured_spec(recipe: Recipe) -> StructuredPart | None:
    return soap_spec() if recipe.environment.kind == "soap" else recipe.environment.structured
