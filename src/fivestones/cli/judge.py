"""`fivestones judge`: audit a judge before it is trusted, and let people judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fivestones.cli.judge_serve import serve
from fivestones.cli.verb import command_line, follow, stdout

if TYPE_CHECKING:
    from fivestones.audit import AuditSettings
    from fivestones.build import Job
    from fivestones.chat import Usage
    from fivestones.judges import Judges
    from fivestones.protocols import Progress
    from fivestones.recipe import Recipe
    from fivestones.score.people import Item, Reviews
    from fivestones.types import Split

judge_app = typer.Typer(
    no_args_is_help=True,
    help="Audit a judge before it is trusted, and let people judge: label, export, import.",
)

judge_app.command()(serve)

RunArgument = Annotated[Path, typer.Argument(help="a run directory, such as runs/soap", metavar="RUN")]
LabelsOption = Annotated[Path | None, typer.Option(help="the file of labels (default: RUN/labels.jsonl)")]


class Half(StrEnum):
    """Of the dialogues, by a hash of their names."""

    tune = "tune"
    report = "report"
    all = "all"


class Form(StrEnum):
    labels = "labels"  # what was said
    queue = "queue"  # what is still to be said: fill it in, then import
    audit = "audit"  # cases for `judge audit`
    examples = "examples"  # of a rubric, from the half for tuning: an audit reports on the other


@judge_app.command()
def audit(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(help="JSONL: dialogue, reference, summary (or output), human: {...}", metavar="FILE"),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="of the recipe, such as judge.retries=2", metavar="[KEY=VALUE]..."),
    ] = None,
    judge: Annotated[
        str, typer.Option(help="`facts` (embedded), or the recipe or run directory whose judge it is")
    ] = "facts",
    profile: Annotated[str | None, typer.Option(help="a profile of the recipe")] = None,
    half: Annotated[
        Half, typer.Option(help="which dialogues: those to tune by, the others, or both")
    ] = Half.all,
    threshold: Annotated[
        float | None,
        typer.Option(help="a score below it flags (default: chosen on the other half)", min=0, max=1),
    ] = None,
    repeats: Annotated[int, typer.Option(help="times the same is asked, for self-consistency", min=2)] = 3,
    probes: Annotated[
        int, typer.Option(help="outputs asked again for consistency and bias; 0 leaves that out", min=0)
    ] = 40,
    attacks: Annotated[int, typer.Option(help="cases of the adversarial table; 0 leaves it out", min=0)] = 8,
    draws: Annotated[int, typer.Option(help="of the bootstrap behind every interval", min=1)] = 2000,
    out: Annotated[
        Path | None, typer.Option(help="a .json file, or a run directory, whose report then shows it")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the audit as JSON")] = False,
) -> None:
    """How far a judge agrees with people, how steady it is, what fools it, what it costs."""
    with follow(context) as (_, progress):
        from fivestones.audit import AuditSettings
        from fivestones.runlog import disk_errors, write_json

        settings = AuditSettings(
            half=half.value, threshold=threshold, repeats=repeats, probes=probes, draws=draws
        )
        folder = Path(judge) if (Path(judge) / "recipe.yaml").is_file() else None
        recipe = _recipe_of(judge, profile, overrides or [])
        name = recipe.judge.kind if judge == "facts" else f"{recipe.name}: {recipe.judge.kind}"
        found = _audited(file, recipe, folder, settings, name, attacks, progress)
        if out is not None:
            target = out / "audit.json" if out.is_dir() else out
            with disk_errors(target):
                write_json(target, found)
    if as_json:
        typer.echo(json.dumps(found, indent=1, allow_nan=False))
        return
    from fivestones.cli.judged import show_audit

    show_audit(stdout(), found)


@judge_app.command()
def label(
    context: typer.Context,
    run: RunArgument,
    rater: Annotated[str, typer.Option(help="your name: it stands beside your labels", prompt=True)],
    criterion: Annotated[
        list[str] | None, typer.Option(help="what to label (default: the criteria that the run rewards)")
    ] = None,
    labels: LabelsOption = None,
    count: Annotated[int, typer.Option(help="outputs to label now; 0: all", min=0)] = 0,
    double: Annotated[
        float, typer.Option(help="share of the outputs that every rater labels", min=0, max=1)
    ] = 0.2,
) -> None:
    """Label rollouts of a run in the terminal: each criterion passes or fails, with a reason."""
    with follow(context, command_line("judge", "label", str(run), f"--rater={rater}")):
        from fivestones.cli.judged import show_raters
        from fivestones.cli.label import label_items
        from fivestones.score.people.reviews import append_reviews, read_reviews

        rater = _name(rater)
        store = _store(run, labels)
        said = read_reviews(store)
        todo = _todo(run, store, said, criterion or [], rater, double)
        console = stdout()
        done = label_items(
            console, todo[: count or None], said, rater, lambda review: append_reviews(store, [review])
        )
        told = f"{done} labelled now, {len(todo) - done} to go; labels are in {store}"
        if not todo:
            told = "nothing to label: no output passed the gates, or all are labelled"
        console.print(told, markup=False)
        _show_raters(read_reviews(store), show_raters)


@judge_app.command()
def export(
    context: typer.Context,
    run: RunArgument,
    form: Annotated[Form, typer.Option("--as", help="labels, queue, audit or examples")] = Form.labels,
    labels: LabelsOption = None,
    criterion: Annotated[list[str] | None, typer.Option(help="of the queue or the examples")] = None,
    rater: Annotated[str, typer.Option(help="whose queue")] = "",
    double: Annotated[float, typer.Option(help="as for `judge label`", min=0, max=1)] = 0.2,
    each: Annotated[int, typer.Option(help="examples that pass, and that fail, of a criterion", min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="the file (default: the screen)")] = None,
) -> None:
    """Labels as they are, the queue to fill in elsewhere, cases for an audit, or examples of a rubric (of the
    half for tuning, so that `audit --half report` is about others)."""
    with follow(context):
        from fivestones.runlog import disk_errors, write_atomic
        from fivestones.score.people.reviews import read_reviews

        store = _store(run, labels)
        said = read_reviews(store)
        if form is Form.queue:
            from fivestones.score.people.reviews import question

            todo = _todo(run, store, said, criterion or [], rater.strip(), double)
            text = _lines({**question(item), "rater": rater.strip()} for item in todo)
        elif form is Form.audit:
            text = _lines(_audit_rows(run, said))
        elif form is Form.examples:
            text = _examples(said, criterion or [], each)
        else:
            from fivestones.score.people.reviews import row_of

            text = _lines(row_of(review) for review in said.rows)
        if out is None:
            typer.echo(text, nl=False)
            return
        with disk_errors(out):
            write_atomic(out, text)
    typer.echo(f"{out} written", err=True)


@judge_app.command("import")
def import_labels(
    context: typer.Context,
    run: RunArgument,
    file: Annotated[Path, typer.Argument(help="JSONL as `judge export` writes it", metavar="FILE")],
    rater: Annotated[str, typer.Option(help="of rows that name none")] = "",
    labels: LabelsOption = None,
) -> None:
    """Add labels from a file. All of it is checked before any of it is added."""
    with follow(context):
        from fivestones.cli.judged import show_raters
        from fivestones.data.store import iter_rows
        from fivestones.score.people.reviews import append_reviews, read_reviews, review_of

        rater = _name(rater) if rater else ""
        rows = list(iter_rows(file))
        read = [review_of(row, f"{file}: row {n}", rater) for n, row in enumerate(rows, 1)]
        reviews = [review for review in read if review is not None]
        store = _store(run, labels)
        known = set(map(repr, read_reviews(store).rows))
        fresh = [review for review in reviews if repr(review) not in known]
        append_reviews(store, fresh)
        again = f"; {n} were there already" if (n := len(reviews) - len(fresh)) else ""
        typer.echo(
            f"{len(fresh)} reviews added to {store}{again}; {len(rows) - len(reviews)} rows without a label"
        )
        _show_raters(read_reviews(store), show_raters)


def _store(run: Path, labels: Path | None) -> Path:
    """The file of labels: the one asked for, the one that the run's judge reads, or RUN/labels.jsonl."""
    from fivestones.recipe_load import load_recipe
    from fivestones.runlog import RunDir

    folder = RunDir.open(run).path
    if labels is None:
        judges = load_recipe(folder / "recipe.yaml").judge.judges
        labels = next((part.labels for part in judges if part.labels), folder / "labels.jsonl")
    return labels


def _name(rater: str) -> str:
    from fivestones.errors import UsageError

    if not rater.strip():
        raise UsageError("--rater: the name is empty; allowed: one that tells you from other raters")
    return rater.strip()


def _show_raters(said: Reviews, show: Callable[[Any, Mapping[str, Any]], None]) -> None:
    from fivestones.audit.raters import rater_agreement

    if said.verdicts:
        show(stdout(), rater_agreement(said))


def _recipe_of(judge: str, profile: str | None, overrides: list[str]) -> Recipe:
    """`facts` is the judge of the built-in recipe."""
    from fivestones.errors import UsageError
    from fivestones.recipe_load import builtin_recipes, load_recipe, parse_overrides

    run, named = Path(judge) / "recipe.yaml", ("facts", *builtin_recipes())
    if judge not in named and not run.is_file() and not Path(judge).is_file():
        raise UsageError(
            f"--judge: got `{judge}`; allowed: {', '.join(named)}, a recipe's file or a run directory"
        )
    source = "soap" if judge == "facts" else str(run) if run.is_file() else judge
    return load_recipe(source, profile, parse_overrides(overrides))


def _audited(
    file: Path,
    recipe: Recipe,
    folder: Path | None,
    settings: AuditSettings,
    name: str,
    attacks: int,
    progress: Progress,
) -> dict[str, Any]:
    """folder: the run directory whose paid replies are used again."""
    from fivestones.audit import audit as audit_judge
    from fivestones.audit import read_cases
    from fivestones.audit.cases import fields_of
    from fivestones.build import Job
    from fivestones.build_data import Data, sample_data
    from fivestones.data.store import sha256
    from fivestones.evaluate.identity import judge_digest

    cases = read_cases(file)
    fields = fields_of(cases)
    job = Job(recipe, sample_data(recipe, attacks) if attacks else Data({}), folder)
    with closing(job.judges) as judges:
        # what is audited is no work for the people of its labels
        judge, fresh = (judges.make(recipe.judge, fields, fresh=anew, ask=False) for anew in (False, True))
        usage = partial(_used, judges) if judges.usage else None
        found = audit_judge(judge, cases, settings, name=name, fresh=fresh, usage=usage, progress=progress)
        found["adversarial"] = _table(job, attacks, settings.draws, progress) if attacks else None
    return {**found, "inputs": {"file": sha256(file), "judge": judge_digest(recipe)}}


def _table(job: Job, count: int, draws: int, progress: Progress) -> dict[str, Any] | None:
    """The adversarial table on cases like those of the recipe; None for a job without reference texts."""
    from fivestones.audit.attacks import mode_of, table

    fields, part = job.judged, job.recipe.judge
    tasks = [task for task in job.tasks("train") if _texts(task.reference.get("output"), fields)][:count]
    if not fields or not tasks:
        return None
    return table(
        job.judges.make(part, fields, ask=False),
        tasks,
        fields,
        {concept.name: concept.forms for concept in job.judges.lexicon.concepts.values()},
        mode_of(part, fields, tasks[0]),
        draws=draws,
        told=lambda done, of: progress(done, of, "adversarial table"),
    )


def _texts(output: Any, fields: tuple[str, ...]) -> bool:
    return isinstance(output, Mapping) and all(isinstance(output.get(f), str) for f in fields)


def _used(judges: Judges) -> Usage:
    assert judges.usage is not None  # once there is one it stays
    return judges.usage


def _todo(
    run: Path, store: Path, said: Reviews, criteria: list[str], rater: str, double: float
) -> list[Item]:
    """What a rater has still to label. A run that paused in its first step waits for it without rollouts."""
    from fivestones.score.people.queue import queue, read_pending, run_items

    first = read_pending(store)
    rest = [] if first and not (run / "rollouts").is_dir() else run_items(run, criteria)
    return queue(rest, said, rater, double=double, first=first)


def _audit_rows(run: Path, said: Reviews) -> list[dict[str, Any]]:
    """With the references of the run's own data."""
    from fivestones.build import Job
    from fivestones.build_data import load_data
    from fivestones.recipe_load import load_recipe
    from fivestones.score.people.cases import audit_rows

    recipe = load_recipe(run / "recipe.yaml")
    job = Job(recipe, load_data(recipe, run / "data"))
    splits: tuple[Split, ...] = ("test", "train")  # labels are of rollouts, so that train goes last
    references = {task.id: task.reference for split in splits for task in job.tasks(split)}
    return audit_rows(said, references, tuple((job.output_schema or {}).get("properties", ())))


def _examples(said: Reviews, criteria: list[str], each: int) -> str:
    """As a part of a rubric file, in YAML."""
    import yaml

    from fivestones.audit.cases import in_half
    from fivestones.score.people import Reviews
    from fivestones.score.people.examples import rubric_examples

    said = Reviews(tuple(r for r in said.rows if in_half(r.item.task_id, "tune")))
    names = criteria or sorted({name for by in said.verdicts.values() for name in by})
    found = {name: {"examples": [asdict(e) for e in rubric_examples(said, name, each)]} for name in names}
    text: str = yaml.safe_dump({"fields": found}, sort_keys=False, allow_unicode=True, width=100)
    return text


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
