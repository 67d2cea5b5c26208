"""Contestants of the recipe finqa that were evaluated in different runs, against each other.

    python benchmarks/across_runs.py imitation=A trained=B [--json]

NAME=RUN: the `trained` contestant of a run directory, NAME=RUN/eval/OTHER.jsonl another one. For example two
checkpoints of one run, each evaluated on more questions than the run itself asked:

    fivestones run finqa --profile laptop seed=4 world.test=1 world.multi_test=100 warmup.kind=none \\
        train.steps=0 model.source=RUN/checkpoints/train-000030 "evaluate.contestants=[trained]" --out B

The last one is compared with each of the others, on the questions that both were asked. A world of another
seed or size has other questions under the same ids: that is refused.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any


def named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    file = Path(path) / "eval" / "trained.jsonl" if Path(path).is_dir() else Path(path)
    if not (name and equals and file.is_file()):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: NAME=RUN, or NAME=RUN/eval/OTHER.jsonl")
    return name, file


def compared(files: Sequence[tuple[str, Path]]) -> dict[str, Any]:
    """The summary. Raises ValueError for what cannot be compared, DataError for an unreadable file."""
    from fivestones.environments.finqa.diagnose import BEHAVIOURS
    from fivestones.evaluate.records import EvalRecord, read_cases, read_records
    from fivestones.evaluate.summary_of_run import summary_of_run
    from fivestones.recipe_load import load_recipe

    names = [name for name, _ in files]
    if len(set(names)) < len(names) or len(names) < 2:
        raise ValueError(f"got {', '.join(names)}; allowed: two names and more, each once")
    records: list[EvalRecord] = []
    asked: dict[str, tuple[str, Path]] = {}
    for name, file in files:
        own = [replace(record, contestant=name) for record in read_records(file)]
        if not own or any((record.total or 0.0) > 1.0 for record in own):
            raise ValueError(f"{file}: no records of the recipe finqa")
        cases = read_cases(file.parent / "cases" / "test.jsonl")
        if missing := [record.task_id for record in own if record.task_id not in cases]:
            raise ValueError(f"{file}: {missing[0]} is not among the questions kept beside it, in cases/")
        for record in own:
            text, where = asked.setdefault(record.task_id, (cases[record.task_id], file))
            if text != cases[record.task_id]:
                raise ValueError(f"{where} and {file}: other questions are called {record.task_id}")
        records += own
    return summary_of_run(
        records,
        load_recipe("finqa", "laptop").evaluate,
        seed=0,
        max_score=1.0,
        sections=(),
        extra_sections={},
        slice_by=("level", "tables", "wording"),
        held_out={},
        behaviours=BEHAVIOURS,
        trained=names[-1],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=named, metavar="NAME=RUN")
    parser.add_argument("--json", action="store_true", help="the summary instead of tables")
    args = parser.parse_args()

    from rich.console import Console

    from fivestones.cli.tables import show_run
    from fivestones.errors import DataError

    try:
        summary = compared(args.runs)
    except (ValueError, DataError) as error:
        parser.error(str(error))
    if args.json:
        print(json.dumps(summary))
    else:
        show_run(Console(width=150), summary)


if __name__ == "__main__":
    main()
