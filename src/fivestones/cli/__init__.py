"""The command line. Nothing heavy is imported here: each command imports what it needs when it runs.

A command parses, calls `fivestones.api`, draws the progress and prints a summary; it decides nothing else.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from fivestones import __version__, environ
from fivestones.cli.env import env_app
from fivestones.cli.judge import judge_app
from fivestones.cli.synth import synth_app
from fivestones.cli.verb import command_line, follow, stdout

app = typer.Typer(
    name="fivestones",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug shows the plain traceback
    add_completion=False,
    help="Train a small language model to do one structured job better than a giant.",
    epilog="Start with `fivestones run soap`, or with your own data: `fivestones init NAME --from FILE`.",
)
app.add_typer(synth_app, name="synth")
app.add_typer(judge_app, name="judge")
app.add_typer(env_app, name="env")

RecipeArgument = Annotated[
    str, typer.Argument(help="a built-in recipe (soap, finqa) or a .yaml file", metavar="RECIPE")
]
OverridesArgument = Annotated[
    list[str] | None, typer.Argument(help="overrides, such as train.steps=60", metavar="[KEY=VALUE]...")
]
ProfileOption = Annotated[str | None, typer.Option(help="a profile of the recipe: smoke, laptop, full ...")]
PriceOption = Annotated[
    float | None, typer.Option(help="of the machine, in any currency: adds what each stage cost", min=0)
]
RunArgument = Annotated[Path, typer.Argument(help="a run directory, such as runs/soap", metavar="RUN")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fivestones {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    environ.apply()


@app.command()
def run(
    context: typer.Context,
    recipe: RecipeArgument,
    overrides: OverridesArgument = None,
    profile: ProfileOption = None,
    out: Annotated[Path | None, typer.Option(help="the run directory (default: runs/NAME)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where an interrupted run stopped")] = False,
    price_per_hour: PriceOption = None,
) -> None:
    """The five stones in order: data, warm-up, training, evaluation, report."""
    again = command_line("run", recipe, *(overrides or ()), profile=profile, out=out, resume=True)
    with follow(context, again) as (api, progress):
        changes = _changes(overrides)
        made = api.run(
            recipe,
            changes,
            profile=profile,
            out=out,
            resume=resume,
            price_per_hour=price_per_hour,
            progress=progress,
        )
    _told(made)


@app.command()
def train(context: typer.Context, run: RunArgument) -> None:
    """Warm up and train the model of a run directory; goes on where it stopped."""
    with follow(context, command_line("train", str(run))) as (api, progress):
        made = api.train(run, progress=progress)
    from fivestones.cli.tables import show_training

    show_training(stdout(), made.metrics)
    _told(made)


@app.command("eval")
def evaluate(
    context: typer.Context,
    run: RunArgument,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="overrides of `evaluate`, such as evaluate.slots=64", metavar="[KEY=VALUE]..."),
    ] = None,
    price_per_hour: PriceOption = None,
) -> None:
    """Compare the contestants of a run on its held-out tasks, and on files of your own.

    For instance `fivestones eval runs/soap evaluate.extra.clinic=cases.jsonl`.
    """
    with follow(context, command_line("eval", str(run), *(overrides or ()))) as (api, progress):
        changes = _changes(overrides)
        made = api.evaluate(run, changes, price_per_hour=price_per_hour, progress=progress)
    _told(made)


@app.command()
def report(context: typer.Context, run: RunArgument, price_per_hour: PriceOption = None) -> None:
    """Write the report of a run directory again, from what it holds."""
    with follow(context, command_line("report", str(run))) as (api, _):
        made = api.report(run, price_per_hour=price_per_hour)
    _told(made)


@app.command()
def init(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="the name of the job: NAME.yaml is written", metavar="NAME")],
    data: Annotated[Path, typer.Option("--from", help="your rows: .jsonl, .csv, .tsv or .parquet")],
    test: Annotated[Path | None, typer.Option(help="test rows (default: a tenth of the others)")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="a column that the model reads")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="a column that it must write")] = None,
    out: Annotated[Path, typer.Option(help="the folder to write into")] = Path(),
) -> None:
    """Start a job of your own from a data file: columns in, one JSON object out, no code."""
    with follow(context):
        from fivestones.init import init_job

        init_job(name, data, out, inputs=inputs or (), outputs=outputs or (), test=test, echo=typer.echo)


@app.command()
def doctor(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="a recipe, or a run directory", metavar="[RECIPE]")] = "soap",
    overrides: OverridesArgument = None,
    profile: ProfileOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="leave out the trial of the longest sample")] = False,
) -> None:
    """Check machine, versions, memory, disk and switches, and estimate a run before it starts."""
    from fivestones.cli.checks import show_checks

    with follow(context) as (_, progress):
        from fivestones.doctor import examine

        checks = examine(recipe, _changes(overrides), profile=profile, probe=not quick, progress=progress)
    show_checks(stdout(), checks)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe file (for editors)."""
    import json

    from fivestones.recipe_load import schema as recipe_schema

    typer.echo(json.dumps(recipe_schema(), indent=1))


def _changes(overrides: list[str] | None) -> dict[str, Any]:
    parse = import_module("fivestones.recipe_load").parse_overrides
    changes: dict[str, Any] = parse(overrides or ())
    return changes


def _told(made: Any) -> None:
    from fivestones.cli.tables import show_run

    show_run(stdout(), made.summary)
    typer.echo(f"run directory  {made.path}")
    if made.report.is_file():
        typer.echo(f"report         {made.report}")


def main() -> None:
    app()
