"""Recipe -> objects: the only wiring."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fivestones import environ
from fivestones.data.embed import embedder
from fivestones.data.files import load_files
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome, settings_of, synthesize
from fivestones.environments.soap import generate as soap
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.facts import extra_concepts
from fivestones.environments.soap.rows import MakeRow, Paraphrase
from fivestones.environments.soap.spec import spec as soap_spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.run import Dataset
from fivestones.protocols import Judge, Progress, Scorer
from fivestones.recipe import CriterionPart, Recipe, StructuredPart, SynthPart
from fivestones.score.facts.judge import FactsJudge
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.retry import retrying
from fivestones.score.rubric import RubricScorer
from fivestones.types import Generation, Split, Task

Rows = Mapping[Split, Sequence[Mapping[str, Any]]]
NOTE_COLUMNS = ("note", "section_text")  # of a file of real cases
LONGEST_WAIT = 60.0  # seconds before a judge is asked again
OWN_ENVIRONMENT = ("tasks", "reply", "scorer", "lenient", "reference_text")  # ScoredEnvironment


def synthesize_data(recipe: Recipe, folder: Path, progress: Progress | None) -> Outcome:
    """The recipe's synthetic data in `folder`."""
    part = recipe.synth
    if part is None or recipe.environment.kind != "soap":
        raise UsageError(
            f"recipe {recipe.name}: nothing to synthesize: it has no `synth` part for environment `soap`"
        )
    return synthesize(
        _planned(part, recipe.seed),
        MakeRow(recipe.seed, part.length),
        Paraphrase(recipe.seed, part.length),
        folder,
        settings=settings_of(part, seed=recipe.seed, generator=soap.version()),
        embedder=embedder(part.embedder),
        workers=part.workers,
        progress=progress,
    )


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
    return load_files(recipe.files, seed=recipe.seed, cluster=spec.cluster if spec else None)


def structured_spec(recipe: Recipe) -> StructuredPart | None:
    return soap_spec() if recipe.environment.kind == "soap" else recipe.environment.structured


def resolve(path: str, options: Mapping[str, Any], folders: Iterable[Path] = ()) -> Any:
    """`module:attribute`, called with the recipe's options. folders: where a user's own modules are."""
    module, _, attribute = path.partition(":")
    environ.look_in(folders)
    try:
        made = getattr(importlib.import_module(module), attribute)
    except Exception as e:  # whatever a user's module raises is theirs to mend
        raise UsageError(f"`{path}` could not be imported: {_told(e)}") from e
    if not callable(made):
        raise UsageError(f"`{path}` is {made!r}; allowed: a class or a function")
    signature = inspect.signature(made)
    try:
        signature.bind(**options)
    except TypeError as e:
        raise UsageError(
            f"`{path}` cannot be called with the options {', '.join(options)}: {e}; it takes {signature}"
        ) from e
    return made(**options)


def _told(error: Exception) -> str:
    """What went wrong in a user's module, and in which line of it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    inside = "importlib" not in last.filename and last.filename != __file__
    where = f"{last.filename}, line {last.lineno}: " if inside else ""
    return f"{where}{error}" if isinstance(error, ImportError | AttributeError) else f"{where}{error!r}"


@dataclass(frozen=True)
class Job:
    """What is the same in training and evaluation, on any machine; no model in it."""

    recipe: Recipe
    rows: Rows

    @property
    def generation(self) -> Generation:
        part = self.recipe.generation
        return Generation(max_tokens=part.max_tokens, stop=part.stop, template=part.template)

    @property
    def greedy(self) -> Generation:
        return replace(self.generation, temperature=0.0)

    @cached_property
    def environment(self) -> Any:
        """Built in, or the user's own (a protocols.ScoredEnvironment)."""
        part = self.recipe.environment
        spec = structured_spec(self.recipe)
        if spec is not None:
            files = self.recipe.files
            sources: dict[Split, str] = {}
            if files:
                sources = {"train": str(files.train), "test": str(files.test or files.train)}
            return StructuredEnvironment(spec, self.rows, sources)
        made = resolve(part.kind, {**part.options, "rows": self.rows}, self.recipe.modules)
        missing = [name for name in OWN_ENVIRONMENT if not hasattr(made, name)]
        if missing:
            raise UsageError(f"environment `{part.kind}` lacks {', '.join(missing)}")
        return made

    @cached_property
    def lexicon(self) -> Lexicon:
        return Lexicon([*knowledge.concepts(knowledge.load()), *extra_concepts()])

    @cached_property
    def scorer(self) -> Scorer:
        """What is unscored is asked again."""
        return self._patient(self._scorer)

    @cached_property
    def _scorer(self) -> Scorer:
        spec = structured_spec(self.recipe)
        if spec is None:
            scorer: Scorer = self.environment.scorer
            return scorer
        return self._rubric(spec.criteria, spec.gate_points, self.environment.parse)

    def _patient(self, scorer: Scorer) -> Scorer:
        part = self.recipe.judge
        # the built-in judge answers the same at once
        built_in = part.kind == "facts" and ":" not in self.recipe.environment.kind
        waits = [0.0 if built_in else min(part.wait * 5**i, LONGEST_WAIT) for i in range(part.retries)]
        return retrying(scorer, waits)

    def _rubric(
        self,
        criteria: Sequence[CriterionPart],
        gate_points: float,
        parse: Callable[[str], Mapping[str, Any] | None],
    ) -> RubricScorer:
        """The environment's gates, the recipe's judge."""
        fields = [c.field for c in criteria if c.kind == "facts"]
        judges: dict[str, Judge] = {}
        if self.recipe.judge.kind != "facts":
            judge = self.recipe.judge
            judges["facts"] = resolve(judge.kind, {**judge.options, "fields": fields}, self.recipe.modules)
        elif fields:
            judges["facts"] = FactsJudge(self.lexicon, fields)
        return RubricScorer(
            gates=self.environment.gates,
            parse=parse,
            criteria=criteria,
            judges=judges,
            gate_points=gate_points,
        )

    @property
    def output_schema(self) -> Mapping[str, Any] | None:
        """JSON Schema of the outputs; None for a user's own environment."""
        spec = structured_spec(self.recipe)
        return None if spec is None else spec.output_schema

    @property
    def max_reward(self) -> float:
        return float(getattr(self._scorer, "max_reward", 1.0))

    @property
    def criteria(self) -> tuple[str, ...]:
        return tuple(getattr(self._scorer, "names", ()))

    def tasks(self, split: Split) -> list[Task]:
        return list(self.environment.tasks(split))

    def test_set(self) -> Dataset:
        tasks = self.tasks("test")
        limit = self.recipe.evaluate.tasks
        return Dataset(
            "test", tasks[:limit] if limit else tasks, self.scorer, self.environment.lenient, self.criteria
        )

    def extra_set(self, name: str, path: Path) -> Dataset:
        """Real cases: for clinical notes a dialogue and a free-text note, scored as one text; for any other
        structured job, rows like its own."""
        if self.recipe.environment.kind == "soap":
            return self._real_notes(name, path)
        spec = structured_spec(self.recipe)
        if spec is None:
            raise UsageError("evaluate.extra works with the environments `soap` and `structured`")
        real = StructuredEnvironment(spec, {"test": read_rows(path)}, {"test": str(path)})
        return Dataset(name, list(real.tasks("test")), self.scorer, self.environment.lenient, self.criteria)

    def _real_notes(self, name: str, path: Path) -> Dataset:
        """Clinicians' notes have other sections than S, O, A, P: note and output are compared as one text, in
        points of the same scale."""
        rows = read_rows(path, ("dialogue",))
        notes = _notes(path, rows)
        spec = soap_spec().model_copy(update={"reference": None, "cluster": None, "tags": ()})
        ids = [f"{name}-{i}" if r.get("id") is None else r["id"] for i, r in enumerate(rows)]
        plain = [{"id": i, "dialogue": r["dialogue"]} for i, r in zip(ids, rows, strict=True)]
        bare = StructuredEnvironment(spec, {"test": plain}, {"test": str(path)})
        tasks = [
            replace(t, reference={"source": t.reference["source"], "output": {"note": note}})
            for t, note in zip(bare.tasks("test"), notes, strict=True)
        ]
        whole = CriterionPart(field="note", kind="facts", weight=self.max_reward - spec.gate_points)
        rubric = self._rubric([whole], spec.gate_points, self._as_one_text)
        return Dataset(name, tasks, self._patient(rubric), self.environment.lenient, rubric.names)

    def _as_one_text(self, text: str) -> Mapping[str, str] | None:
        sections = self.environment.parse(text)
        return None if sections is None else {"note": "\n".join(sections.values())}


def _notes(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The note of each row, all from one column; DataError names the first row without one."""
    column = next((c for c in NOTE_COLUMNS if any(c in row for row in rows)), None)
    if column is None:
        raise DataError(f"{path}: no column `{NOTE_COLUMNS[0]}`; there are: {', '.join(rows[0])}")
    notes: list[str] = []
    for number, row in enumerate(rows, 1):
        note = row.get(column)
        if not isinstance(note, str) or not note.strip():
            found = "is empty" if note is None or isinstance(note, str) else f"is {type(note).__name__}"
            told = f"column `{column}` {found if column in row else 'is missing'}"
            raise DataError(f"{path}: row {number}: {told}; each real case needs a note in words")
        notes.append(note)
    return notes
