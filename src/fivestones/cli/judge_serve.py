"""`fivestones judge serve`: a frozen local model behind an OpenAI-compatible endpoint, until Ctrl-C."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from fivestones.cli.verb import follow


def serve(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="smollm2-135m (embedded), a .gguf file or a Hugging Face folder")
    ] = "smollm2-135m",
    host: Annotated[str, typer.Option(help="beyond 127.0.0.1 a key is needed")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free", min=0, max=65535)] = 0,
    key_env: Annotated[
        str | None,
        typer.Option(help="variable of the environment with the key of its clients; else a new one"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:1 for one GPU alone")] = "cpu",
    tokens: Annotated[int, typer.Option(help="of a prompt and its answer", min=1)] = 8192,
    parallel: Annotated[int, typer.Option(help="requests worked on at once", min=1)] = 2,
    threads: Annotated[int, typer.Option(help="of a CPU; 0: all cores but one", min=0)] = 0,
    log: Annotated[Path, typer.Option(help="what the server says")] = Path("judge-server.log"),
) -> None:
    """Serve a local model as a judge: vLLM on a GPU, llama.cpp (xllamacpp) on a CPU."""
    with follow(context):
        from pydantic import ValidationError

        from fivestones.chat.endpoint import usable_key
        from fivestones.errors import UsageError
        from fivestones.recipe_serve import ServePart
        from fivestones.serve import KEY, Server, launch

        try:
            part = ServePart(source=source, device=device, context=tokens, parallel=parallel, threads=threads)
        except ValidationError as error:
            if error.errors()[0]["loc"] == ("source",):
                raise UsageError("SOURCE: got an empty name; allowed: a model's") from error
            raise UsageError(f"--device: got `{device}`; allowed: cpu, cuda, cuda:0, cuda:0,1 ...") from error
        if ":" in host:
            raise UsageError(f"--host: got `{host}`; allowed: a name or an IPv4 address")
        key = None if key_env is None else usable_key("--key-env", key_env, os.environ)
        typer.echo(f"starting a server of {source}; its log is {log}")
        with Server(launch(part, host=host, port=port, key=key), log, ready=part.ready) as server:
            typer.echo(f"{server.url} serves {server.model}. Ctrl-C ends it.")
            if key_env is None:
                typer.echo(
                    f"It answers who shows its key, so that no web page can:\nexport {KEY}={server.key}"
                )
            typer.echo("In a recipe:")
            endpoint = f'{{url: "{server.url}", api_key_env: {key_env or KEY}}}'
            typer.echo(f'judge: {{kind: llm, model: "{server.model}", endpoints: [{endpoint}]}}')
            while True:
                time.sleep(1.0)
                server.check()
