"""Contestants that were evaluated in different runs, against each other, as in one summary.

    python benchmarks/across_runs.py imitation=A/eval/trained.jsonl trained=B/eval/trained.jsonl [--json]

For example checkpoints of one run, each evaluated on more questions than the run itself asked:

    fivestones run finqa --profile laptop seed=4 world.test=1 world.multi_test=100 warmup.kind=none \\
        train.steps=0 model.source=RUN/checkpoints/train-000030 "evaluate.contestants=[trained]" --out OTHER

The last name is compared with each of the others, on the tasks that both were asked.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path


def named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).is_file()):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: NAME=FILE, a JSONL file of eval/")
    return name, Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="+", type=named, metavar="NAME=FILE")
    parser.add_argument("--json", action="store_true", help="the summary instead of tables")
    args = parser.parse_args()

    from rich.console import Console

    from fivestones.cli.tables import show_run
    from fivestones.environments.finqa.diagnose import BEHAVIOURS
    from fivestones.evaluate.records import read_records
    from fivestones.evaluate.summary_of_run import summary_of_run
    from fivestones.recipe_load import load_recipe

    by_name = {
        name: [replace(record, contestant=name) for record in read_records(path)]
        for name, path in args.records
    }
    summary = summary_of_run(
        [record for records in by_name.values() for record in records],
        load_recipe("finqa", "laptop").evaluate,
        seed=0,
        max_score=1.0,
        sections=(),
        extra_sections={},
        slice_by=("level", "tables", "wording"),
        held_out={},
        behaviours=BEHAVIOURS,
        trained=[*by_name][-1],
    )
    if args.json:
        print(json.dumps(summary))
    else:
        show_run(Console(width=150), summary)


if __name__ == "__main__":
    main()
