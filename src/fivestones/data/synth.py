"""Synthesis: items and a generator in; exactly that many rows without duplicates, and their certificate, out.

Every item is made once; a row that says the same as a row preferred to it is made again with the next retry
number, until none is left. The result depends on the items, the generator and the settings, not on workers,
kills or machines.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fivestones.data import certificate, parts
from fivestones.data.calibrate import RULE, Calibration, calibrate, negative_pairs
from fivestones.data.certificate import SPLITS, Light, path_of
from fivestones.data.dedup import CAUSES, Cause, Search, facts_key, pair_cosines, same_key, search
from fivestones.data.embed import Embedder, Encoded, text_of
from fivestones.data.store import Row, write_rows
from fivestones.errors import DataError, RunExistsError
from fivestones.protocols import Progress
from fivestones.recipe import SynthPart
from fivestones.recipe_chat import MENDABLE
from fivestones.runlog import write_json

Paraphrase = Callable[[Any, str, int], Row]
"""(item, style, retry) -> row: the scenario and facts of that retry, told in another style."""

TEXT = (
    "note",
    "facts",
)  # what is embedded; the certificate shows it beside the dialogue, measured on the same pairs
RIVAL = ("dialogue",)
ROUNDS = 25
CALIBRATION_ITEMS = 300
CALIBRATION_LEAST = 40  # pairs of each kind
CALIBRATION_PAIRS = 6000  # same-condition pairs of the corpus
CALIBRATION_RETRY = 1_000_000  # retry numbers from here are only ever used to calibrate
_PARTS = ".parts"
_SETTINGS = "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    folder: Path
    new: bool  # False: the directory held this data already
    certificate: Mapping[str, Any]
    current: bool = True  # False: another version of the generator made it

    @property
    def message(self) -> str:
        rows = self.certificate["summary"]["rows"]
        if self.new:
            return f"{self.folder}: {rows} rows, no duplicates"
        if self.current:
            return f"{self.folder}: {rows} rows are there already: nothing to do"
        return (
            f"{self.folder}: {rows} rows are there already, made by another version of the generator "
            f"({self.certificate['settings'].get('generator')}): for new ones {_WAY_OUT}"
        )


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Rows that a teacher tells."""

    make: parts.Make  # for several threads, not for other processes
    threads: int
    spent: Callable[[], Mapping[str, Any]]  # on all that was asked so far, rows that are no more included


@dataclass(slots=True)
class _Corpus:
    """The rows as they stand, without their texts. Lists run parallel to the items."""

    light: list[Light]
    encoded: list[Encoded]
    places: list[tuple[Path, int]]

    @property
    def test(self) -> list[bool]:
        return [row.key.test for row in self.light]


def finished(folder: Path) -> Mapping[str, Any] | None:
    """The settings of the data in `folder`; None: it holds none that is finished."""
    if not (folder / certificate.NAME).is_file():
        return None
    settings: Mapping[str, Any] = certificate.read(folder)["settings"]
    return settings


def settings_of(part: SynthPart, *, seed: int, generator: str, prompts: str | None = None) -> dict[str, Any]:
    """What the data depends on. The number of workers is not part of it, nor where a teacher is asked.

    generator: name and version of the generator: an unfinished attempt of another one is not continued;
    prompts: digest of the teacher's.
    """
    told = part.model_dump(mode="json", exclude={"workers", "teacher"})
    if part.teacher:
        asked = part.teacher.model_dump(mode="json", exclude={*MENDABLE, "prompts"})
        told["teacher"] = {**asked, "prompts": prompts}
    return {"seed": seed, "generator": generator, "synth": told}


def synthesize(
    items: Sequence[Any],
    make: parts.Make,
    paraphrase: Paraphrase,
    folder: Path,
    *,
    settings: Mapping[str, Any],
    embedder: Embedder,
    workers: int = 1,
    teaching: Teaching | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Writes train.parquet, test.parquet and certificate.json into `folder`, or goes on with a killed
    attempt. teaching: how a teacher's rows are made; `make` then only serves to calibrate.

    Returns at once when the folder holds this data; finished data of another version of the generator is
    kept, and `Outcome.message` tells of it: a run goes on with what it was trained on. Raises RunExistsError
    when the folder holds other data or an unfinished attempt of another version, and DataError when the
    generator cannot give as many different rows as asked for.
    """
    if not items:
        raise DataError("synthesis: no items; ask for at least one train or test row")
    settings = json.loads(json.dumps(settings))  # as it will be read back
    seed = int(settings.get("seed", 0))
    workplace = folder / _PARTS
    done = _already(folder, settings)
    if done is not None:
        shutil.rmtree(workplace, ignore_errors=True)  # killed between the last write and the cleaning up
        current = done["settings"] == settings
        return Outcome(folder=folder, new=False, certificate=done, current=current)
    _claim(workplace, settings)
    rows = parts.Makers(teaching.make, teaching.threads, True) if teaching else parts.Makers(make, workers)

    corpus = _Corpus(light=[], encoded=[], places=[])
    wanted = [(i, 0) for i in range(len(items))]
    jobs = parts.jobs_of(workplace, "r000", items, wanted, TEXT)
    for made in parts.make_parts(jobs, rows, embedder):
        for one in made:
            corpus.light.append(Light.of(one.row))
            corpus.encoded.append(one.encoded)
            corpus.places.append(one.where)
        _tell(progress, len(corpus.light), len(items), "dialogues")

    _tell(progress, 0, 1, "calibrating the duplicate threshold")
    measured, told = _calibrate(items, make, paraphrase, corpus, embedder, seed)
    found, counts = _settle(items, rows, corpus, workplace, embedder, measured, progress)

    for k, split in enumerate(SPLITS):
        _tell(progress, k, len(SPLITS), f"writing {split}")
        mine = [where for row, where in zip(corpus.light, corpus.places, strict=True) if row.split == split]
        if mine:
            write_rows(path_of(folder, split), parts.reread(mine))
    body = certificate.certify(
        folder,
        corpus.light,
        found,
        embedder=embedder,
        columns=TEXT,
        calibration=told,
        made=counts,
        settings=settings,
        spent=teaching.spent() if teaching else None,
    )
    shutil.rmtree(workplace, ignore_errors=True)
    _tell(progress, len(SPLITS), len(SPLITS), "written")
    return Outcome(folder=folder, new=True, certificate=body)


def _settle(
    items: Sequence[Any],
    rows: parts.Makers,
    corpus: _Corpus,
    workplace: Path,
    embedder: Embedder,
    at: Calibration,
    progress: Progress | None,
) -> tuple[Search, dict[str, Any]]:
    """Replaces duplicates in `corpus` until there are none; the last search found none."""
    removed: Counter[Cause] = Counter()
    retries = [0] * len(items)
    generated = len(items)
    for number in range(1, ROUNDS + 1):
        _tell(progress, number - 1, ROUNDS, f"looking for duplicates, round {number}")
        causes: Mapping[int, Cause] = same_key([row.key for row in corpus.light])
        if not causes:  # the search of all pairs is only worth its seconds when the cheap tests pass
            vectors = embedder.vectors(corpus.encoded, corpus.encoded)
            found = search(vectors, corpus.test, within=at.within, across=at.across)
            causes = found.causes
            if not causes:
                by_cause = {cause: removed[cause] for cause in CAUSES}
                return found, {"generated": generated, "removed": by_cause, "rounds": number}
        removed.update(causes.values())
        again = sorted(causes)
        for i in again:
            retries[i] += 1
        generated += len(again)
        jobs = parts.jobs_of(workplace, f"r{number:03d}", items, [(i, retries[i]) for i in again], TEXT)
        fresh = (one for made in parts.make_parts(jobs, rows, embedder) for one in made)
        for i, one in zip(again, fresh, strict=True):
            before, corpus.light[i] = corpus.light[i], Light.of(one.row)
            if before.split != corpus.light[i].split:
                raise DataError(f"generator: row {before.id} changed its split on retry {retries[i]}")
            corpus.encoded[i], corpus.places[i] = one.encoded, one.where
    left = Counter(corpus.light[i].condition for i in causes)
    worst = ", ".join(f"{name} ({n})" for name, n in left.most_common(5))
    raise DataError(
        f"synthesis: after {ROUNDS} rounds {len(causes)} of {len(items)} rows still repeat others, "
        f"most in: {worst}. Ask for fewer rows, or give these conditions more variety"
    )


def _calibrate(
    items: Sequence[Any],
    make: parts.Make,
    paraphrase: Paraphrase,
    corpus: _Corpus,
    embedder: Embedder,
    seed: int,
) -> tuple[Calibration, dict[str, Any]]:
    """Thresholds for TEXT, and what the certificate says of them: the same pairs measured on RIVAL too."""
    rng = random.Random(f"calibrate {seed}")
    chosen = sorted(rng.sample(range(len(items)), min(CALIBRATION_ITEMS, len(items))))
    passes = -(-CALIBRATION_LEAST // len(chosen))  # few items are used several times
    styles = sorted({row.style for row in corpus.light})
    own: list[Row] = list(parts.reread([corpus.places[i] for i in chosen])) * passes
    same: list[Row] = []
    other: list[Row] = []
    for k, row in enumerate(own):
        item = items[chosen[k % len(chosen)]]
        others = [style for style in styles if style != row["style"]]
        retry = int(json.loads(row["provenance"]).get("retry", 0))
        same.append(paraphrase(item, rng.choice(others or styles), retry))
        other.append(make(item, CALIBRATION_RETRY + k // len(chosen)))
    alike = [k for k, row in enumerate(own) if facts_key(row) == facts_key(same[k])]
    pairs = [k for k, row in enumerate(own) if facts_key(row) != facts_key(other[k])]

    def measure(columns: Sequence[str], most: int) -> Calibration:
        texts = [embedder.encode([text_of(row, columns) for row in rows]) for rows in (own, same, other)]
        space = corpus.encoded if columns == TEXT else texts[0]
        a, b, c = (embedder.vectors(one, space) for one in texts)
        both = np.concatenate([a, b, c])
        n = len(own)
        positives = pair_cosines(both, alike, [n + k for k in alike])
        negatives = pair_cosines(both, pairs, [2 * n + k for k in pairs])
        if most:
            negatives = np.concatenate([negatives, _corpus_pairs(corpus, embedder, most, seed)])
        return calibrate(positives, negatives)

    measured = measure(TEXT, CALIBRATION_PAIRS)
    told = {
        "rule": RULE,
        **measured.as_json(),
        "text": list(TEXT),
        "rival": {"text": list(RIVAL), **measure(RIVAL, 0).as_json()},
        "preference": "of each pair one row stays: test before train, then the earlier",
    }
    return measured, told


def _corpus_pairs(corpus: _Corpus, embedder: Embedder, most: int, seed: int) -> Any:
    vectors = embedder.vectors(corpus.encoded, corpus.encoded)
    conditions = [row.condition for row in corpus.light]
    return negative_pairs(vectors, conditions, [row.key.facts for row in corpus.light], most=most, seed=seed)


def _already(folder: Path, settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The certificate when `folder` holds complete data of these settings; None when it holds none."""
    if not (folder / certificate.NAME).is_file():
        loose = [path_of(folder, s).name for s in SPLITS if path_of(folder, s).is_file()]
        if loose and not (folder / _PARTS).is_dir():
            raise RunExistsError(
                f"{folder}: has {loose[0]} but no {certificate.NAME}; choose another directory"
            )
        return None
    body = certificate.read(folder)
    there, here = ({**part, "generator": None} for part in (body["settings"], settings))
    if there != here:
        raise RunExistsError(f"{folder}: holds data of other settings ({_unlike(there, here)}); {_WAY_OUT}")
    changed = certificate.changed_files(folder, body)
    if changed:
        raise RunExistsError(
            f"{folder}: {changed[0]} is missing or was changed after it was certified; {_WAY_OUT}"
        )
    return body


def _claim(workplace: Path, settings: Mapping[str, Any]) -> None:
    """Marks the directory of parts as belonging to these settings. Raises RunExistsError when it belongs to
    others.
    """
    path = workplace / _SETTINGS
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != settings:
            raise RunExistsError(
                f"{workplace.parent}: holds an unfinished attempt with other settings "
                f"({_unlike(there, settings)}); {_WAY_OUT}"
            )
        return
    write_json(path, settings)


_WAY_OUT = "choose another directory, or delete this one"


def _unlike(there: Any, here: Any, at: str = "") -> str:
    """The first setting that differs, as `synth.train: 400 there, 240 asked`."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                return _unlike(there.get(name), here.get(name), f"{at}.{name}" if at else str(name))
    return f"{at}: {there!r} there, {here!r} asked"


def _tell(progress: Progress | None, done: int, total: int, text: str) -> None:
    if progress:
        progress(done, total, text)
