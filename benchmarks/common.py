"""What every benchmark shares: shapes, the machine, prompts, interleaved timing, tables and JSON.

Imports nothing heavy: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("fivestones", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class Shape:
    """B tasks (prompts) of G completions each."""

    prompt: int  # P, tokens
    completion: int  # C, tokens of each completion
    group: int  # G
    tasks: int = 1  # B

    def __str__(self) -> str:
        return f"{self.prompt}/{self.completion}/{self.group}"

    @property
    def rollouts(self) -> int:
        return self.tasks * self.group

    @property
    def dense_tokens(self) -> int:
        return self.rollouts * (self.prompt + self.completion)

    @property
    def shared_tokens(self) -> int:
        return self.tasks * self.prompt + self.rollouts * self.completion

    @property
    def token_ratio(self) -> float:
        """S = G(P + C) / (P + GC): what computing each prompt once can save at most."""
        return self.dense_tokens / self.shared_tokens

    @property
    def settings(self) -> dict[str, int]:
        return {"P": self.prompt, "C": self.completion, "G": self.group, "B": self.tasks}

    def request(self, ids: Sequence[Sequence[int]], i: int, seed: int) -> dict[str, Any]:
        """The i-th step's, with prompts of its own out of `ids`."""
        return {
            "prompts": ids[i * self.tasks : (i + 1) * self.tasks],
            "group": self.group,
            "new": self.completion,
            "seed": seed + i,
        }

    @property
    def row(self) -> int:
        """Tokens of one packed group."""
        return self.prompt + self.group * self.completion


def shapes(text: str) -> list[Shape]:
    """`P/C/G`; commas make a grid: `350,700/200/4,8` is four shapes."""
    try:
        parts = [[int(n) for n in part.split(",")] for part in text.split("/")]
        prompts, completions, groups = parts
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"`{text}` is not a shape; allowed: P/C/G, as in 700/200/8, or with commas 350,700/200/4,8"
        ) from error
    if min(itertools.chain(*parts)) < 1:
        raise argparse.ArgumentTypeError(f"`{text}`: every number is at least 1")
    return [Shape(*numbers) for numbers in itertools.product(prompts, completions, groups)]


def one_shape(text: str) -> Shape:
    """One `P/C/G`."""
    found = shapes(text)
    if len(found) > 1:
        raise argparse.ArgumentTypeError(f"`{text}` is {len(found)} shapes; allowed: one, without commas")
    return found[0]


# arguments


def parser(doc: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", default="smollm2-135m", help="embedded model, Hugging Face folder or GGUF")
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    made.add_argument("--seed", type=int, default=0, help="of prompts and sampling")
    made.add_argument("--json", action="store_true", help="JSON instead of a table")
    made.add_argument("--tiny", action="store_true", help="shapes of seconds: shows that the script runs")
    return made


def add_repeats(made: argparse.ArgumentParser, *, repeats: int = 3) -> None:
    made.add_argument("--repeats", type=positive, default=repeats, help="timed runs of each side")
    made.add_argument("--warmup", type=int, default=1, help="runs before them that do not count")


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}; allowed: 1 and more")
    return value


# what is measured, and on what


@dataclass(frozen=True, slots=True)
class Subject:
    """The model under test, and how it computes."""

    folder: Path  # in Hugging Face layout
    device: str
    dtype: str


def subject(args: argparse.Namespace) -> Subject:
    from fivestones.environ import apply

    apply()
    from fivestones.models.load import compute_dtype, device_of, model_folder
    from fivestones.recipe import ModelPart

    part = ModelPart(source=args.model, device=args.device)
    device = device_of(part)
    dtype = str(compute_dtype(part, device)).removeprefix("torch.")
    return Subject(model_folder(part), device.type, dtype)


def machine() -> dict[str, Any]:
    """When, by which command and on what: processor, cores, memory, system, versions of this environment."""
    from fivestones.machine import available_memory, check_hardware, check_python, cores

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", *sys.argv]),
        "commit": _commit(),
        "hardware": check_hardware().found,
        "cores": cores(),
        "available_memory": available_memory(),
        "python": check_python().found,
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _commit() -> str | None:
    """Of the code that is measured, marked when it is changed."""
    root = Path(__file__).parents[1]
    git = ["git", "-C", str(root)]
    changed = [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results"]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
        dirty = subprocess.run(changed, capture_output=True, text=True).stdout
    except OSError:  # no git here
        return None
    return head.stdout.strip() + ("-dirty" if dirty else "") or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def make_prompts(folder: Path, count: int, length: int, seed: int) -> tuple[list[list[int]], list[str]]:
    """(token ids [count][length], their texts): random common words, each of one token.

    The text of a prompt is tokenized to exactly its ids, so that a peer which takes text sees the same.
    """
    from fivestones.models.load import load_tokenizer

    tokenizer = load_tokenizer(folder)
    vocabulary = tokenizer.get_vocab()
    words = sorted(
        i for token, i in vocabulary.items() if len(token) > 3 and token[0] == "Ġ" and token[1:].isalpha()
    )
    words = [i for i in words if tokenizer.decode([i]).strip().islower()]
    if len(words) < 100:
        raise SystemExit(f"{folder}: too few whole words in the vocabulary to make prompts of")
    rng = random.Random(seed)
    ids = [rng.choices(words, k=length) for _ in range(count)]
    texts = [tokenizer.decode(row) for row in ids]
    for row, text in zip(ids, texts, strict=True):
        if tokenizer(text)["input_ids"] != row:
            raise SystemExit(f"{folder}: this tokenizer does not read its own text back as it was")
    return ids, texts


# timing


Answer = dict[str, Any]


def interleave(
    sides: Mapping[str, Callable[[int], Answer]], *, repeats: int, warmup: int
) -> dict[str, list[Answer]]:
    """A, B, A, B ...: what changes on the machine meanwhile meets every side. Warm-up runs are left out."""
    kept: dict[str, list[Answer]] = {name: [] for name in sides}
    for i in range(warmup + repeats):
        for name, run in sides.items():
            answer = run(i)
            what = "warm-up" if i < warmup else f"run {i - warmup + 1} of {repeats}"
            say(f"{name}: {what}, {answer['seconds']:.2f} s")
            if i >= warmup:
                kept[name].append(answer)
    return kept


def spread(values: Sequence[float]) -> dict[str, Any]:
    """{median, min, max, n, all}."""
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
        "all": list(values),
    }


def seconds(answers: Sequence[Answer], key: str = "seconds") -> dict[str, Any]:
    return spread([a[key] for a in answers])


def ratio(slow: Mapping[str, Any] | None, fast: Mapping[str, Any] | None) -> float | None:
    """Median over median; None where a side was not measured."""
    return None if slow is None or fast is None else slow["median"] / fast["median"]


# output


def say(text: str) -> None:
    """Progress: on stderr, so that stdout has the result alone."""
    print(text, file=sys.stderr, flush=True)


def shown(value: Mapping[str, Any] | None, digits: int = 2) -> str:
    """`median [min, max] n`."""
    if value is None:
        return "-"
    return (
        f"{value['median']:.{digits}f} [{value['min']:.{digits}f}, {value['max']:.{digits}f}] n={value['n']}"
    )


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in text) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in text]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def report(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=1))
        return
    have = result["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in have["versions"].items())
    print(f"{have['date']}, {have['commit']}: {have['command']}")
    print(f"{have['hardware']}; Python {have['python']}, {versions}")
    print(f"{result['note']}\n\n{text}")
