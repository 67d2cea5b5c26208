"""Recipe -> objects: the only wiring."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from fivestones.data.embed import embedder
from fivestones.data.files import load_files
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome, finished, settings_of, synthesize
from fivestones.data.teacher import Preview, Told, preview
from fivestones.environments.soap import generate as soap
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.rows import MakeRow, Paraphrase
from fivestones.environments.soap.spec import spec as soap_spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.run import Dataset
from fivestones.judges import Judges
from fivestones.own import resolve
from fivestones.protocols import Progress, Scorer
from fivestones.recipe import CriterionPart, JudgePart, Recipe, StructuredPart, SynthPart
from fivestones.score.retry import retrying
from fivestones.score.rubric import RubricScorer
from fivestones.teachers import SoapTeacher
from fivestones.train.gdpo import Points
from fivestones.types import Generation, Split, Task

Rows = Mapping[Split, Sequence[Mapping[str, Any]]]
NOTE_COLUMNS = ("note", "section_text")  # of a file of real cases
LONGEST_WAIT = 60.0  # seconds before a judge is asked again
TEXTS = ("dialogue", "note")  # of a row, that a preview shows
OWN_ENVIRONMENT = ("tasks", "reply", "scorer", "lenient", "reference_text")  # ScoredEnvironment


def synthesize_data(recipe: Recipe, folder: Path, progress: Progress | None) -> Outcome:
    """The recipe's synthetic data in `folder`. Finished data needs no teacher: its prompts are those of the
    certificate, whatever they are now."""
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
            f"recipe {recipe.name}: nothing to synthesize: it has no `synth` part for environment `soap`"
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


@dataclass(frozen=True)
class Job:
    """What is the same in training and evaluation, on any machine; no model in it.

    folder: the run directory, where a judge keeps replies; None: nowhere.
    """

    recipe: Recipe
    rows: Rows
    folder: Path | None = None

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
        made = resolve(
            "environment.kind", part.kind, {**part.options, "rows": self.rows}, self.recipe.modules
        )
        missing = [name for name in OWN_ENVIRONMENT if not hasattr(made, name)]
        if missing:
            raise UsageError(f"environment `{part.kind}` lacks {', '.join(missing)}")
        return made

    @cached_property
    def judges(self) -> Judges:
        return Judges(self.recipe.modules, self.folder)

    @cached_property
    def scorer(self) -> Scorer:
        """What is unscored is asked again."""
        return self._patient(self._scorer, self.recipe.judge)

    @cached_property
    def second_scorer(self) -> Scorer | None:
        """The same rubric in the hands of the judge that watches; None without `watch`."""
        spec, watch = structured_spec(self.recipe), self.recipe.watch
        if watch is None:
            return None
        if spec is None:
            raise UsageError(f"watch: {self._without_rubric}")
        rubric = self._rubric(spec.criteria, spec.gate_points, self.environment.parse, watch.judge)
        return self._patient(rubric, watch.judge)

    @property
    def at_once(self) -> int:
        """Groups that may be scored at the same time."""
        return self.judges.at_once(self.recipe.judge) if structured_spec(self.recipe) else 1

    @cached_property
    def _scorer(self) -> Scorer:
        spec = structured_spec(self.recipe)
        if spec is None:
            scorer: Scorer = self.environment.scorer
            return scorer
        return self._rubric(spec.criteria, spec.gate_points, self.environment.parse, self.recipe.judge)

    def _patient(self, scorer: Scorer, part: JudgePart) -> Scorer:
        # the built-in judge answers the same at once
        built_in = part.kind == "facts" and ":" not in self.recipe.environment.kind
        waits = [0.0 if built_in else min(part.wait * 5**i, LONGEST_WAIT) for i in range(part.retries)]
        return retrying(scorer, waits)

    def _rubric(
        self,
        criteria: Sequence[CriterionPart],
        gate_points: float,
        parse: Callable[[str], Mapping[str, Any] | None],
        judge: JudgePart,
    ) -> RubricScorer:
        """The environment's gates, and a judge."""
        fields = [c.field for c in criteria if c.kind == "facts"]
        return RubricScorer(
            gates=self.environment.gates,
            parse=parse,
            criteria=criteria,
            judges={"facts": self.judges.make(judge, fields)} if fields else {},
            gate_points=gate_points,
        )

    @property
    def points(self) -> Points:
        """What the rubric's reward is made of; raises UsageError for a job without a rubric."""
        if not isinstance(self._scorer, RubricScorer):
            raise UsageError(f"train.scale gdpo: {self._without_rubric}; allowed: batch_std, group_std, none")
        criteria = self._scorer.points
        return Points(gates=self.max_reward - math.fsum(criteria.values()), criteria=criteria)

    @property
    def _without_rubric(self) -> str:
        return f"environment `{self.recipe.environment.kind}` has no rubric"

    @property
    def output_schema(self) -> Mapping[str, Any] | None:
        """JSON Schema of the outputs; None for a user's own environment."""
        spec = structured_spec(self.recipe)
        return None if spec is None else spec.output_schema

    @property
    def max_reward(self) -> float:
        return float(getattr(self._scorer, "max_reward", 1.0))

    def check_judges(self) -> None:
        """Raises UsageError for a judge that the recipe names and nothing asks."""
        watch = self.recipe.watch
        named = {"judge": self.recipe.judge, "watch.judge": watch.judge if watch else None}
        for where, part in named.items():
            # `judge: {kind: facts, retries: 2}` is about the environment's own scorer too
            if part and not self.judged and (part.kind != "facts" or where != "judge"):
                raise UsageError(
                    f"{where}: kind `{part.kind}` is never asked: environment "
                    f"`{self.recipe.environment.kind}` has no criterion of kind `facts`; leave it out, or "
                    "give a criterion that kind (environment.structured.criteria)"
                )

    @property
    def judged(self) -> tuple[str, ...]:
        """The fields that a judge is asked about."""
        spec = structured_spec(self.recipe)
        return tuple(c.field for c in spec.criteria if c.kind == "facts") if spec else ()

    @property
    def criteria(self) -> tuple[str, ...]:
        return tuple(getattr(self._scorer, "names", ()))

    def tasks(self, split: Split) -> list[Task]:
        return list(self.environment.tasks(split))

    def test_set(self) -> Dataset:
        tasks = self.tasks("test")
        limit = self.recipe.evaluate.tasks
        return self._dataset("test", tasks[:limit] if limit else tasks)

    def extra_set(self, name: str, path: Path) -> Dataset:
        """Real cases: for clinical notes a dialogue and a free-text note, scored as one text; for any other
        structured job, rows like its own."""
        if self.recipe.environment.kind == "soap":
            return self._real_notes(name, path)
        spec = structured_spec(self.recipe)
        if spec is None:
            raise UsageError("evaluate.extra works with the environments `soap` and `structured`")
        real = StructuredEnvironment(spec, {"test": read_rows(path)}, {"test": str(path)})
        return self._dataset(name, list(real.tasks("test")))

    def _dataset(self, name: str, tasks: Sequence[Task]) -> Dataset:
        return Dataset(name, tasks, self.scorer, self.environment.lenient, self.criteria, self.at_once)

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
        judge = self.recipe.judge
        rubric = self._rubric([whole], spec.gate_points, self._as_one_text, judge)
        scorer = self._patient(rubric, judge)
        return Dataset(name, tasks, scorer, self.environment.lenient, rubric.names, self.at_once)

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
