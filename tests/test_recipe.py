"""The recipe's keys."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fivestones import recipe
from fivestones.recipe import Part

SOURCES = Path(recipe.__file__).parent
KEYS = sorted(
    f"{name}.{key}"
    for name, part in vars(recipe).items()
    if isinstance(part, type) and issubclass(part, Part)
    for key in part.model_fields
)


@pytest.fixture(scope="module")
def read() -> set[str]:
    """Names of all attributes that some module but recipe.py reads."""
    trees = [ast.parse(p.read_text("utf-8")) for p in SOURCES.rglob("*.py") if p.name != "recipe.py"]
    return {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_there_are_keys() -> None:
    assert "TrainPart.lr" in KEYS


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_read_somewhere(read: set[str], key: str) -> None:
    assert key.partition(".")[2] in read, "a key that nothing reads promises what it does not do"
