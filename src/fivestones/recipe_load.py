"""Recipes as text: YAML + profile + dotted overrides -> a frozen `Recipe`, and back.

Every mistake becomes one `UsageError` that says what, where (dotted path), got, allowed, nearest valid name.
A recipe file holds the keys of `Recipe` and two more: `profiles`, each merged over the rest, and `profile`,
the one that applies when none is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from fivestones.errors import UsageError, nearest
from fivestones.recipe import Recipe
from fivestones.recipe_errors import explain
from fivestones.recipe_yaml import Dumper, read_yaml

Tree = dict[str, Any]
Overrides = Sequence[str] | Mapping[str, Any]
"""`("train.steps=40", ...)`, or `{"train.steps": 40}`, or `{"train": {"steps": 40}}`."""


def builtin_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    folder = resources.files("fivestones") / "recipes"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load_recipe(name_or_path: str | Path, profile: str | None = None, overrides: Overrides = ()) -> Recipe:
    """The recipe of a built-in name (`soap`) or of a YAML file.

    Relative paths in a file are relative to that file, those in overrides to the working folder.
    Raises UsageError for anything that is wrong with it.
    """
    tree, origin = _read(name_or_path)
    tree = _with_profile(tree, profile, origin)
    if isinstance(name_or_path, Path) or _is_path(name_or_path):
        folder = Path(name_or_path).resolve().parent
        _anchor(tree, folder)
        if _own_kinds(tree) and not tree.get("modules"):
            tree["modules"] = [str(folder)]
    named = _own_kinds(tree)
    for path, value in _changes(overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)):
        _put(tree, path, value)
    _anchor(tree, Path.cwd())
    modules = tree.get("modules") or ()
    if _own_kinds(tree) - named and isinstance(modules, list | tuple):  # named where the command was given
        tree["modules"] = [*modules, *({str(Path.cwd())} - set(modules))]
    return _validate(tree, origin)


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """`["train.lr=1e-5"]` -> `{"train.lr": 1e-05}`; the value is read as YAML."""
    changes: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")):
            raise UsageError(f"override: got `{item}`; allowed: key=value, such as train.steps=40")
        if key in changes:
            raise UsageError(f"override {key}: given twice; give it once")
        changes[key] = read_yaml(text, f"override {key}")
    return changes


def _changes(overrides: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path of keys, value. Dots part only the outermost keys; mappings merge, an empty one is a value."""
    for dotted, value in overrides.items():
        yield from _leaves(tuple(dotted.split(".")), value)


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves((*path, str(key)), below)
    else:
        yield path, value


def schema() -> Tree:
    """JSON Schema of a recipe file, for editors."""
    described = Recipe.model_json_schema()
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["title"] = "fivestones recipe"
    described["properties"]["profile"] = {
        "type": "string",
        "description": "the profile that applies by default",
    }
    described["properties"]["profiles"] = {
        "type": "object",
        "additionalProperties": {"type": "object"},
        "description": "name -> keys merged over the rest",
    }
    return described


def dump(recipe: Recipe) -> str:
    """YAML that `load_recipe` reads back to an equal recipe."""
    tree = recipe.model_dump(mode="json")
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def digest(recipe: Recipe) -> str:
    """16 hex digits that are equal exactly when the recipes are."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_path(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or "/" in name or "\\" in name


def _read(name_or_path: str | Path) -> tuple[Tree, str]:
    """The tree of a recipe and how messages call it."""
    if not isinstance(name_or_path, Path) and not _is_path(name_or_path):
        names = builtin_recipes()
        if name_or_path not in names:
            raise UsageError(
                f"recipe: got `{name_or_path}`; allowed: a path to a .yaml file, or one of "
                f"{', '.join(names)}.{nearest(name_or_path, names)}"
            )
        origin = f"recipe {name_or_path}"
        text = (resources.files("fivestones") / "recipes" / f"{name_or_path}.yaml").read_text("utf-8")
    else:
        origin = str(name_or_path)
        try:
            text = Path(name_or_path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UsageError(f"recipe: cannot read {name_or_path}: {why}") from error
    tree = read_yaml(text, origin)
    if not isinstance(tree, dict):
        kind = "an empty file" if tree is None else f"a {type(tree).__name__}"
        raise UsageError(f"{origin}: got {kind}; allowed: a mapping of recipe keys")
    return tree, origin


def _with_profile(tree: Tree, profile: str | None, origin: str) -> Tree:
    base = dict(tree)
    profiles = base.pop("profiles", None) or {}
    default = base.pop("profile", None)
    wanted = default if profile is None else profile
    if not isinstance(profiles, dict) or not all(isinstance(p, dict | None) for p in profiles.values()):
        raise UsageError(f"{origin}: profiles: allowed: a mapping of name -> recipe keys")
    if wanted is None:
        return base
    if wanted not in profiles:
        known = ", ".join(profiles) or "none in this recipe"
        raise UsageError(
            f"{origin}: profile: got `{wanted}`; allowed: {known}.{nearest(str(wanted), profiles)}"
        )
    return _merged(base, profiles[wanted] or {})


def _merged(base: Tree, over: Tree) -> Tree:
    """`over` wins; mappings are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _put(tree: Tree, path: tuple[str, ...], value: Any) -> None:
    *parents, last = path
    node = tree
    for depth, key in enumerate(parents):
        below = node.get(key)
        if below is not None and not isinstance(below, dict):
            where = ".".join(parents[: depth + 1])
            raise UsageError(
                f"override {'.'.join(path)}: `{where}` is {below!r}, not a section; give {where}=... whole"
            )
        # copied, so that an override never reaches into a tree that somebody else holds
        node[key] = dict(below or {})
        node = node[key]
    node[last] = value


def _anchor(tree: Tree, folder: Path) -> None:
    """Makes the paths of the tree absolute: `modules`, those of `files`, `evaluate.extra`, of real questions,
    of the teacher and of judges, and a model on disk."""

    def anchored(path: Any) -> Any:
        return str((folder / Path(path).expanduser()).absolute()) if isinstance(path, str | Path) else path

    if isinstance(modules := tree.get("modules"), list | tuple):
        tree["modules"] = [anchored(path) for path in modules]
    files, evaluate, model = tree.get("files"), tree.get("evaluate"), tree.get("model")
    if isinstance(files, dict):
        tree["files"] = {k: anchored(v) if k in ("train", "test") else v for k, v in files.items()}
    if isinstance(evaluate, dict) and isinstance(evaluate.get("extra"), dict):
        tree["evaluate"] = {**evaluate, "extra": {k: anchored(v) for k, v in evaluate["extra"].items()}}
    environment = tree.get("environment")
    if isinstance(environment, dict) and isinstance(finqa := environment.get("finqa"), dict):
        there = {k: anchored(v) if k == "data" else v for k, v in finqa.items()}
        tree["environment"] = {**environment, "finqa": there}
    synth = tree.get("synth")
    if isinstance(synth, dict) and isinstance(teacher := synth.get("teacher"), dict):
        there = {k: anchored(v) if k in ("prompts", "cache") else v for k, v in teacher.items()}
        tree["synth"] = {**synth, "teacher": there}
    for parent in (tree, tree.get("watch")):
        if isinstance(parent, dict) and isinstance(parent.get("judge"), dict):
            parent["judge"] = _anchored_judge(parent["judge"], folder, anchored)
    if isinstance(model, dict) and _is_model_path(model.get("source"), folder):
        tree["model"] = {**model, "source": anchored(model["source"])}


def _is_model_path(source: Any, folder: Path) -> bool:
    """Names of models look like paths: only what is on disk, or says that it is a path, is one."""
    if not isinstance(source, str):
        return False
    says_so = source.startswith((".", "/", "~")) or source.endswith(".gguf")
    return says_so or ("/" in source and (folder / source).exists())


def _anchored_judge(judge: Tree, folder: Path, anchored: Callable[[Any], Any]) -> Tree:
    """With its labels, its cache, its rubric, where that is a file, and what it serves; its members' too."""
    made = dict(judge)
    names: list[str] = [k for k in ("labels", "cache") if k in made]
    if str(made.get("rubric", "")).endswith((".yaml", ".yml")):
        names.append("rubric")
    made |= {name: anchored(made[name]) for name in names}
    if isinstance(serve := made.get("serve"), dict):
        names = [k for k in ("source",) if _is_model_path(serve.get(k), folder)]
        names += [k for k in ("python",) if serve.get(k) is not None]
        made["serve"] = {**serve, **{k: anchored(serve[k]) for k in names}}
    if isinstance(members := made.get("members"), list | tuple):
        made["members"] = [
            _anchored_judge(m, folder, anchored) if isinstance(m, dict) else m for m in members
        ]
    return made


def _own_kinds(tree: Tree) -> set[str]:
    """What the tree names as module:attribute."""
    watch = tree.get("watch")
    parts = [tree.get("environment"), tree.get("judge")]
    parts.append(watch.get("judge") if isinstance(watch, dict) else None)
    kinds = set()
    while parts:
        if isinstance(part := parts.pop(), dict):
            kinds.add(str(part.get("kind", "")))
            members = part.get("members")
            parts += members if isinstance(members, list | tuple) else ()
    return {kind for kind in kinds if ":" in kind}


def _validate(tree: Tree, origin: str) -> Recipe:
    try:
        # through JSON and strict: no silent `true` -> 1 or "40" -> 40, yet lists become tuples, strings paths
        text = json.dumps(tree, default=_plain)
        return Recipe.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise UsageError(explain(error, tree, origin)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    raise UsageError(
        f"override: got a {type(value).__name__}; allowed: numbers, text, lists and mappings of them"
    )
