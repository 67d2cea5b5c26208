"""Recipe -> objects: the only wiring."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fivestones.data.embed import embedder
from fivestones.data.files import load_files
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome, settings_of, synthesize
from fivestones.environments.limits import fitting
from fivestones.environments.soap import generate as soap
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.facts import extra_concepts
from fivestones.environments.soap.rows import MakeRow, Paraphrase
from fivestones.environments.soap.spec import spec as soap_spec
from fivestones.environments.structured import StructuredEnvironment
from fivestones.errors import DataError, UsageError
from fivestones.evaluate.run import Dataset
from fivestones.protocols import Judge, Progress, Scorer
from fivestones.recipe import Recipe, StructuredPart, SynthPart
from fivestones.score.facts.judge import FactsJudge
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.rubric import RubricScorer
from fivestones.types import Generation, Rollout, Score, Split, Task

Rows = Mapping[Split, Sequence[Mapping[str, Any]]]
NOTE_COLUMNS = ("note", "section_text")  # of a file of real cases


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
        settings=settings_of(part, seed=recipe.seed, generator=soap.VERSION),
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


def resolve(path: str, options: Mapping[str, Any]) -> Any:
    """`module:attribute`, called with the recipe's options."""
    module, colon, attribute = path.partition(":")
    if not colon:
        raise UsageError(f"`{path}` is neither built in nor of the form module:attribute")
    try:
        made = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as e:
        raise UsageError(f"`{path}` could not be imported: {e}") from e
    return made(**options)


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
        part = self.recipe.environment
        spec = structured_spec(self.recipe)
        if spec is not None:
            files = self.recipe.files
            sources = {"train": str(files.train), "test": str(files.test or files.train)} if files else None
            return StructuredEnvironment(spec, self.rows, sources)  # type: ignore[arg-type]
        return resolve(part.kind, {**part.options, "rows": self.rows})

    @cached_property
    def lexicon(self) -> Lexicon:
        return Lexicon([*knowledge.concepts(knowledge.load()), *extra_concepts()])

    @cached_property
    def scorer(self) -> Scorer:
        spec = structured_spec(self.recipe)
        if spec is None:
            scorer: Scorer = self.environment.scorer
            return scorer
        fields = [c.field for c in spec.criteria if c.kind == "facts"]
        judges: dict[str, Judge] = {}
        if self.recipe.judge.kind != "facts":
            judges["facts"] = resolve(self.recipe.judge.kind, {**self.recipe.judge.options, "fields": fields})
        elif fields:
            judges["facts"] = FactsJudge(self.lexicon, fields)
        env = self.environment
        return RubricScorer(
            gates=env.gates,
            parse=env.parse,
            criteria=spec.criteria,
            judges=judges,
            gate_points=spec.gate_points,
        )

    @property
    def max_reward(self) -> float:
        return float(getattr(self.scorer, "max_reward", 1.0))

    @property
    def criteria(self) -> tuple[str, ...]:
        return tuple(getattr(self.scorer, "names", ()))

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
        env = self.environment
        if self.recipe.environment.kind != "soap":
            spec = structured_spec(self.recipe)
            if spec is None:
                raise UsageError("evaluate.extra works with the environments `soap` and `structured`")
            real = StructuredEnvironment(spec, {"test": read_rows(path)}, {"test": str(path)})
            return Dataset(name, list(real.tasks("test")), self.scorer, env.lenient, self.criteria)
        rows = read_rows(path, ("dialogue",))
        column = next((c for c in NOTE_COLUMNS if c in rows[0]), None)
        if column is None:
            raise DataError(f"{path}: no column `note`; there are: {', '.join(rows[0])}")
        spec = soap_spec().model_copy(update={"reference": None, "cluster": None, "tags": ()})
        plain = [{"id": r.get("id", f"{name}-{i}"), "dialogue": r["dialogue"]} for i, r in enumerate(rows)]
        bare = StructuredEnvironment(spec, {"test": plain}, {"test": str(path)})
        tasks = [
            replace(t, reference={"source": t.reference["source"], "output": {"note": str(r[column])}})
            for t, r in zip(bare.tasks("test"), rows, strict=True)
        ]
        return Dataset(name, tasks, self._whole_note_scorer(), env.lenient, ("note",))

    def _whole_note_scorer(self) -> Scorer:
        """Clinicians' notes have other sections than S, O, A, P: the output is judged as one text, in points
        of the same scale."""
        env, judge = self.environment, FactsJudge(self.lexicon, ["note"])
        points = self.max_reward - soap_spec().gate_points

        def score(task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
            out = []
            for rollout in rollouts:
                failed = {n: why for n, gate in env.gates.items() if (why := gate(task, rollout))}
                if failed:
                    out.append(Score(reward=0.0, failed=failed))
                    continue
                sections = env.parse(rollout.answer)
                verdict = judge(task, [{"note": "\n".join(sections.values())}])[0]
                value = verdict.criteria.get("note")
                out.append(
                    Score(reward=None, unscored=verdict.unscored)
                    if value is None
                    else Score(reward=soap_spec().gate_points + points * value, criteria={"note": value})
                )
            return out

        return score

    def fit(
        self, tasks: Sequence[Task], prompt_tokens: Callable[[Task], int], max_prompt: int
    ) -> tuple[list[Task], str]:
        """Tasks whose prompt fits, and a sentence about the others."""
        found = fitting(
            tasks,
            max_prompt=max_prompt,
            max_output=1 << 30,
            prompt_tokens=prompt_tokens,
            output_tokens=lambda t: 0,
        )
        return list(found.tasks), found.report(max_prompt, 1 << 30)
