"""Recipe and data -> objects: the only wiring."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from fivestones.build_data import Data, structured_spec
from fivestones.data.store import read_rows
from fivestones.environments.finqa.diagnose import BEHAVIOURS, diagnose
from fivestones.environments.finqa.diagnose.reading import Grading
from fivestones.environments.finqa.environment import FinqaEnvironment
from fivestones.environments.finqa.real import load_real
from fivestones.environments.openenv.client import RemoteEnvironment
from fivestones.environments.soap.spec import spec as soap_spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.environments.tool_use.environment import ERROR
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.run import Dataset
from fivestones.judges import Judges
from fivestones.own import resolve
from fivestones.protocols import Diagnose, Scorer
from fivestones.recipe import CriterionPart, FinqaPart, JudgePart, Recipe
from fivestones.score.retry import retrying
from fivestones.score.rubric import RubricScorer
from fivestones.score.unknown import Known
from fivestones.train.gdpo import Points
from fivestones.types import HELD_OUT, Generation, Message, Rollout, Score, Split, Task

NOTE_COLUMNS = ("note", "section_text")  # of a file of real cases
LONGEST_WAIT = 60.0  # seconds before a judge is asked again
OWN_ENVIRONMENT = ("tasks", "reply", "scorer", "lenient", "reference_text")  # ScoredEnvironment


@dataclass(frozen=True)
class Job:
    """What is the same in training and evaluation, on any machine; no model in it.

    folder: the run directory, where a judge keeps replies; None: nowhere.
    """

    recipe: Recipe
    data: Data
    folder: Path | None = None

    @property
    def generation(self) -> Generation:
        part = self.recipe.generation
        template = {**part.template, "tools": list(self.tools)} if self.tools else part.template
        return Generation(max_tokens=part.max_tokens, stop=part.stop, template=template)

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
            return StructuredEnvironment(spec, self.data.rows, sources)
        if part.kind == "finqa":
            assert self.data.tables is not None
            made = FinqaEnvironment(self.data.rows, self.data.tables, self._finqa)
            _answerable(made, part.max_turns)
            if not made.tasks("train"):
                there = sorted({str(row["level"]) for row in self.data.rows["train"]})
                raise UsageError(
                    f"environment.finqa.levels: got {', '.join(self._finqa.levels)}; the train questions "
                    f"have {', '.join(there)} (L5 and L6 come with world.multi_train)"
                )
            return made
        if part.kind == "openenv":
            assert part.openenv is not None
            counts: dict[Split, int] = {"train": part.openenv.train, "test": part.openenv.test}
            return RemoteEnvironment(part.openenv.url, count=counts, timeout_s=part.openenv.timeout)
        rows = {**part.options, "rows": self.data.rows}
        made = resolve("environment.kind", part.kind, rows, self.recipe.modules)
        missing = [name for name in OWN_ENVIRONMENT if not hasattr(made, name)]
        if missing:
            raise UsageError(f"environment `{part.kind}` lacks {', '.join(missing)}")
        return made

    @property
    def _finqa(self) -> FinqaPart:
        return self.recipe.environment.finqa or FinqaPart()

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """Schemas of the environment's tools in OpenAI's form; none for a job of one turn."""
        return tuple(getattr(self.environment, "tools", ()))

    def turns(self, task: Task) -> Sequence[Message]:
        """What imitation says for a task that has a reference: one answer, or an episode with tools. Raises
        UsageError for an environment that marks a task as one to imitate and cannot show how."""
        if self.tools:
            if not hasattr(self.environment, "demonstration"):
                raise UsageError(
                    f'environment `{self.recipe.environment.kind}`: task {task.id} has reference["output"], '
                    "so it can be imitated, but there is no method `demonstration(task)` that gives its "
                    "turns; add it, or leave `output` out of the reference"
                )
            episode: Sequence[Message] = self.environment.demonstration(task)
            _works(task, episode)
            return episode
        return (Message("assistant", self.environment.reference_text(task)),)

    @property
    def behaviours(self) -> Mapping[str, str]:
        """What is watched in an episode -> in words."""
        return BEHAVIOURS if self.recipe.environment.kind == "finqa" else {}

    @property
    def held_out(self) -> Mapping[str, str]:
        """Tag -> the value that training never sees."""
        synth = self.recipe.synth
        if self.recipe.environment.kind == "finqa":
            several = {} if {"L5", "L6", "multi"} & set(self._finqa.levels) else {"tables": "multi"}
            return {**several, "wording": HELD_OUT}
        return {"style": synth.held_out_style} if synth and synth.held_out_style else {}

    @property
    def slices(self) -> tuple[str, ...]:
        """Tags by which the test set is told apart."""
        return ("tables", "level", "wording") if self.recipe.environment.kind == "finqa" else ("style",)

    @cached_property
    def judges(self) -> Judges:
        return Judges(self.recipe.modules, self.folder)

    def close(self) -> None:
        """Closes the judges, and the environment where it was made and has a `close`."""
        with ExitStack() as both:
            made = self.__dict__.get("environment")
            if callable(close := getattr(made, "close", None)):
                both.callback(close)
            both.callback(self.judges.close)

    @cached_property
    def scorer(self) -> Scorer:
        """What is unscored is asked again, but for what the environment could not finish."""
        return Known(self._patient(self._scorer, self.recipe.judge))

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
        if self.recipe.environment.kind == "finqa":
            return self._real_questions(name, path)
        spec = structured_spec(self.recipe)
        if spec is None:
            raise UsageError("evaluate.extra works with the environments `soap`, `finqa` and `structured`")
        real = StructuredEnvironment(spec, {"test": read_rows(path)}, {"test": str(path)})
        return self._dataset(name, list(real.tasks("test")))

    def _dataset(self, name: str, tasks: Sequence[Task]) -> Dataset:
        return Dataset(
            name,
            tasks,
            self.scorer,
            self.environment.lenient,
            self.criteria,
            at_once=self.at_once,
            diagnose=self.diagnose,
        )

    @property
    def diagnose(self) -> Diagnose | None:
        """What an episode of the recipe's own tasks did; None for a job without behaviours."""
        return partial(self._diagnosed, self._finqa.graded) if self.behaviours else None

    def _diagnosed(
        self, grading: Grading, task: Task, rollout: Rollout, score: Score
    ) -> Mapping[str, float | None]:
        if rollout.finish == "error" or score.reward is None:
            return {}
        return diagnose(task, rollout.messages, rollout.finish, grading, self.environment.submit)

    def _real_questions(self, name: str, path: Path) -> Dataset:
        """The test questions of a public set, with tables of their own."""
        real = load_real(path)
        # their answers are written in other ways than those of a made world, such as boxed
        grading = self._finqa.grading or "openenv"
        part = self._finqa.model_copy(update={"grading": grading})
        env = FinqaEnvironment({"test": real.rows["test"]}, real.tables, part)
        tasks = [replace(t, id=f"{name}-{t.id}") for t in env.tasks("test")]
        return Dataset(
            name,
            tasks,
            Known(env.scorer),
            env.lenient,
            env.scorer.names,
            diagnose=partial(self._diagnosed, grading),
        )

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
        return Dataset(name, tasks, scorer, self.environment.lenient, rubric.names, at_once=self.at_once)

    def _as_one_text(self, text: str) -> Mapping[str, str] | None:
        sections = self.environment.parse(text)
        return None if sections is None else {"note": "\n".join(sections.values())}


def _works(task: Task, episode: Sequence[Message]) -> None:
    """Raises DataError for a demonstration that would teach nothing, or a call which fails."""
    if not any(turn.imitate for turn in episode if turn.role == "assistant"):
        raise DataError(f"task {task.id}: its demonstration has no turn to imitate")
    imitated = False
    for turn in episode:
        if turn.role == "assistant":
            imitated = turn.imitate
        elif imitated and turn.role == "tool" and turn.content.startswith(ERROR):
            raise DataError(
                f"task {task.id}: its demonstration makes a call that fails ({turn.content[:200]}); mend the "
                "call, or mark its turn with imitate=False where what follows shows how to go on"
            )


def _answerable(environment: FinqaEnvironment, turns: int) -> None:
    """Raises UsageError for a question that takes more turns than there are: one each call, one to answer."""
    splits: tuple[Split, ...] = ("train", "test")
    for task in (task for split in splits for task in environment.tasks(split)):
        least = int(task.reference["fewest"] or 0) + 1  # a public set does not say
        if least > turns:
            raise UsageError(
                f"environment.max_turns: got {turns}, and question {task.id} takes {least}; allowed: {least} "
                "and more"
            )


def served_environment(recipe: Recipe, data: Data) -> Any:
    """The recipe's environment for clients of a protocol in which an episode ends with a tool call. Raises
    UsageError for one without tools."""
    part = recipe.environment
    if part.kind == "finqa":
        asked = (part.finqa or FinqaPart()).model_copy(update={"submit": True, "repeats": None})
        recipe = recipe.model_copy(update={"environment": part.model_copy(update={"finqa": asked})})
    job = Job(recipe, data)
    if not job.tools:
        raise UsageError(f"environment `{part.kind}` has no tools to serve")
    return job.environment


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
