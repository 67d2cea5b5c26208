"""`fivestones synth RECIPE` makes data; `fivestones synth verify DIR` checks data that was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from fivestones.cli.verb import command_line, follow, stdout

SHOWN = 20  # findings of a verification; the rest are counted


class _RecipeFirst(TyperGroup):
    """`synth soap` means `synth make soap`: what is no command of the group is a recipe."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["make", *args]
        return super().parse_args(ctx, args)


synth_app = typer.Typer(
    cls=_RecipeFirst,
    no_args_is_help=True,
    help="Make the data of a recipe (`fivestones synth soap`), or verify data that was made.",
)


@synth_app.command()
def make(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Argument(help="a built-in recipe (soap, finqa) or a .yaml file", metavar="RECIPE")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="overrides, such as synth.train=1000", metavar="[KEY=VALUE]...")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="a profile of the recipe: smoke, laptop, full ...")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where to write (default: runs/NAME-data)")] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="show 5 rows as they would be, and what all would take")
    ] = False,
) -> None:
    """train.parquet, test.parquet and their certificate (`make` may be left out)."""
    out = out or Path("runs") / f"{Path(recipe).stem}-data"
    shown_only = ("--preview",) if preview else ()
    again = command_line("synth", recipe, *(overrides or ()), *shown_only, profile=profile, out=out)
    with follow(context, again) as (api, progress):
        from fivestones.recipe_load import parse_overrides

        if preview:
            shown = api.preview(recipe, out, parse_overrides(overrides or ()), profile=profile)
            from fivestones.cli.preview import show_preview

            show_preview(stdout(), shown)
            return
        made = api.synth(recipe, out, parse_overrides(overrides or ()), profile=profile, progress=progress)
    from fivestones.cli.tables import show_data

    show_data(stdout(), made.certificate)
    typer.echo(made.message)


@synth_app.command()
def verify(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="what `fivestones synth` wrote", metavar="DIR")],
) -> None:
    """Recompute the certificate from the files: duplicates, splits, answers, counts."""
    with follow(context, command_line("synth", "verify", str(folder))) as (_, progress):
        from fivestones.build_data import verify_data

        findings = verify_data(folder, progress)
    for finding in findings[:SHOWN]:
        typer.echo(finding, err=True)
    if findings:
        more = f" ({len(findings) - SHOWN} more)" if len(findings) > SHOWN else ""
        typer.echo(f"{folder}: the certificate does not hold: {len(findings)} findings{more}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{folder}: the certificate holds")
