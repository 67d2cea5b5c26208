"""Rules of the house that no linter knows: small files, no path of a machine, every module in a layer."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
LONGEST = 420  # "a file rarely passes 400 lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_file_is_small_and_names_no_place_of_this_machine(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert not re.search(r"/(?:home|root|work|Users)/", text)
    assert not re.search(r"\b(?:TODO|FIXME|XXX)\b", text)


def test_recipes_of_the_package_are_beside_it() -> None:
    assert (ROOT / "src/fivestones/recipes/soap.yaml").is_file()


def test_the_torch_contract_names_every_module_without_torch() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    kept = set(next(c for c in contracts if c["type"] == "forbidden")["source_modules"])
    with_torch = {"models", "rollout", "train", "preflight", "stages"}
    package = ROOT / "src/fivestones"
    modules = {p.stem for p in package.glob("*.py")} | {p.parent.name for p in package.glob("*/__init__.py")}
    modules -= {"__init__", "__main__", *with_torch}
    assert {f"fivestones.{m}" for m in modules} <= kept, "name it in the contract, or say why it needs torch"
