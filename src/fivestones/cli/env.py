"""`fivestones env serve RECIPE`: a recipe's environment behind OpenEnv's protocol, until Ctrl-C."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fivestones.cli.verb import command_line, follow
from fivestones.errors import UsageError

WITHOUT_TOOLS = ("soap", "structured")
CLIENT = """\
name: remote
environment: {{kind: openenv, max_turns: {turns}, openenv: {{url: "{url}"}}}}
warmup: {{kind: none}}   # or self; a server tells no episodes to imitate
evaluate: {{contestants: [base, trained]}}"""

env_app = typer.Typer(no_args_is_help=True, help="Environments for others to train against.")


@env_app.callback()
def _group() -> None:
    """Keeps `serve` a command of its own, though it is the only one."""


@env_app.command()
def serve(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="finqa, or a .yaml file with tools", metavar="RECIPE")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="overrides, such as seed=1", metavar="[KEY=VALUE]...")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="a profile of the recipe")] = None,
    data: Annotated[
        Path | None, typer.Option(help="its data (default: runs/NAME-data; made if absent)")
    ] = None,
    host: Annotated[str, typer.Option(help="beyond 127.0.0.1 anyone there can connect")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free", min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(help="threads that answer", min=1)] = 2,
) -> None:
    """Serve questions, tools and rewards over a WebSocket: OpenEnv's protocol, at ws://HOST:PORT/ws. Tells
    the recipe that trains against it."""
    folder = data or Path("runs") / f"{Path(recipe).stem}-data"
    again = command_line("env", "serve", recipe, *(overrides or ()), profile=profile)
    with follow(context, again) as (_, progress):
        from fivestones.build import served_environment
        from fivestones.build_data import load_data, synthesize_data
        from fivestones.environments.openenv import serve as serve_environment
        from fivestones.recipe_load import load_recipe, parse_overrides

        made = load_recipe(recipe, profile, parse_overrides(overrides or ()))
        if made.environment.kind in WITHOUT_TOOLS:  # said before any data is made
            raise UsageError(
                f"recipe {made.name}: environment.kind `{made.environment.kind}` has no tools to serve; "
                "allowed: finqa, openenv, or module:attribute with tools"
            )
        if made.synth or made.world:
            synthesize_data(made, folder, progress)
        found = load_data(made, folder)

        def started(port: int) -> None:
            place = f"{reachable(host)}:{port}"
            typer.echo(f"ws://{place}/ws serves {made.name}; its health: http://{place}/health")
            typer.echo("A recipe that trains against it:")
            typer.echo(CLIENT.format(url=f"ws://{place}/ws", turns=made.environment.max_turns))

        serve_environment(
            partial(served_environment, made, found), host=host, port=port, workers=workers, started=started
        )


def reachable(host: str) -> str:
    """Where this machine reaches a server that listens at `host`, as an address is written in a URL."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    return f"[{host}]" if ":" in host else host
