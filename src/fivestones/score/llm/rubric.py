"""Rubrics: what an LLM judge is asked about each field of an output. A rubric is a YAML file, not code.

name: soap
role: You are a physician who reviews clinical notes.
source: dialogue            # what the judge is told the input is, a tag
fields:
  S:
    title: Subjective
    kind: binary            # pass or fail | graded: 0 to 4 | checklist: each item met or not
    question: ...
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from fivestones.errors import UsageError, nearest
from fivestones.recipe_part import NAME, Part
from fivestones.recipe_yaml import read_yaml

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Kind = Literal["binary", "graded", "checklist"]
Said = str | int | dict[str, bool]
"""A verdict as a judge writes it: "pass" or "fail", a grade, or item -> met."""
PASS, FAIL = "pass", "fail"
TOP = 4  # the best grade


class Example(Part):
    """A judged case, shown to the judge."""

    source: Text
    text: str
    reason: Text
    verdict: Said


class Criterion(Part):
    """How one field is judged."""

    title: Text | None = None  # what the field is called; None: its key
    kind: Kind
    question: Text
    levels: tuple[Text, ...] = ()  # graded: what each grade means, from 0 to 4
    items: dict[str, Text] = Field(default_factory=dict)  # checklist: id -> what must hold
    # checklist: id -> weight; 1 where not given
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    reference: bool = False  # the judge also sees the reference output's text of the field
    examples: tuple[Example, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Criterion:
        if (self.kind == "graded") != bool(self.levels) or len(self.levels) not in (0, TOP + 1):
            raise ValueError(
                f"got kind {self.kind} with {len(self.levels)} levels; allowed: graded with the meaning of "
                f"each of the grades 0 to {TOP}, the others with none"
            )
        if (self.kind == "checklist") != bool(self.items):
            raise ValueError(
                f"got kind {self.kind} with {len(self.items)} items; allowed: checklist with at least one, "
                "the others with none"
            )
        for name in self.weights:
            if name not in self.items:
                raise ValueError(
                    f"weights: no item `{name}`; there are: {', '.join(self.items) or 'none'}."
                    f"{nearest(name, self.items)}"
                )
        for number, example in enumerate(self.examples):
            if self.value(example.verdict) is None:
                raise ValueError(
                    f"examples.{number}.verdict: got {example.verdict!r}; allowed: {self.allowed}"
                )
        return self

    @property
    def allowed(self) -> str:
        """The verdicts, in words."""
        match self.kind:
            case "binary":
                return f'"{PASS}" or "{FAIL}"'
            case "graded":
                return f"an integer from 0 to {TOP}"
            case "checklist":
                return f"an object with true or false for each of {', '.join(self.items)}"

    def value(self, said: object) -> float | None:
        """A verdict in [0, 1]: 1 for pass, the share of the best grade, the weighted share of the items met.
        None: it is no verdict of this kind."""
        if self.kind == "binary":
            return {PASS: 1.0, FAIL: 0.0}.get(said.strip().casefold()) if isinstance(said, str) else None
        if self.kind == "graded":
            if not isinstance(said, int) or isinstance(said, bool) or said not in range(TOP + 1):
                return None
            return said / TOP
        if not isinstance(said, Mapping) or said.keys() != self.items.keys():
            return None
        if not all(isinstance(met, bool) for met in said.values()):
            return None
        weights = {name: self.weights.get(name, 1.0) for name in self.items}
        met = math.fsum(weight for name, weight in weights.items() if said[name])
        return met / math.fsum(weights.values())

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Rubric(Part):
    name: Annotated[str, Field(pattern=NAME)]
    role: Text  # who judges, and by what standard
    source: str = Field("source", pattern=r"^[a-z][a-z_]*$")  # names of the fences around the two texts
    part: str = Field("text", pattern=r"^[a-z][a-z_]*$")
    fields: dict[str, Criterion] = Field(min_length=1)

    @field_validator("source", "part")
    @classmethod
    def _free(cls, name: str) -> str:
        if name == "reference" or name.startswith("example"):
            raise ValueError(f"got `{name}`; allowed: any name but reference and example...")
        return name

    @model_validator(mode="after")
    def _two(self) -> Rubric:
        if self.source == self.part:
            raise ValueError(f"source and part are both `{self.source}`; give them different names")
        return self

    def criterion(self, field: str) -> Criterion:
        """Raises UsageError for a field that the rubric does not judge."""
        if field not in self.fields:
            raise UsageError(
                f"rubric {self.name} has no field `{field}`; it judges: {', '.join(self.fields)}."
                f"{nearest(field, self.fields)}"
            )
        return self.fields[field]


def builtin_rubrics() -> tuple[str, ...]:
    """Names of the rubrics that come with the package."""
    return tuple(
        sorted(f.name.removesuffix(".yaml") for f in _folder().iterdir() if f.name.endswith(".yaml"))
    )


def load_rubric(name_or_path: str | Path) -> Rubric:
    """The rubric of a built-in name (`soap`) or of a YAML file. Raises UsageError for what is wrong in it."""
    if isinstance(name_or_path, str) and not name_or_path.endswith((".yaml", ".yml")):
        names = builtin_rubrics()
        if name_or_path not in names:
            raise UsageError(
                f"rubric: got `{name_or_path}`; allowed: a path to a .yaml file, or one of "
                f"{', '.join(names)}.{nearest(name_or_path, names)}"
            )
        return parse_rubric((_folder() / f"{name_or_path}.yaml").read_text("utf-8"), f"rubric {name_or_path}")
    try:
        text = Path(name_or_path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"rubric: cannot read {name_or_path}: {why}") from error
    return parse_rubric(text, str(name_or_path))


def parse_rubric(text: str, origin: str) -> Rubric:
    """origin: how messages call the rubric."""
    tree = read_yaml(text, origin)
    if not isinstance(tree, dict):
        kind = "an empty file" if tree is None else f"a {type(tree).__name__}"
        raise UsageError(f"{origin}: got {kind}; allowed: a mapping with {', '.join(Rubric.model_fields)}")
    try:
        # through JSON and strict, as recipes are: no silent conversions
        return Rubric.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        lines = list(
            dict.fromkeys(_line(e["type"], e["loc"], e["msg"], e.get("input")) for e in error.errors())
        )
        raise UsageError(
            "\n  ".join([f"{origin}:", *lines]) if lines[1:] else f"{origin}: {lines[0]}"
        ) from error


def _line(kind: str, loc: tuple[int | str, ...], message: str, got: object) -> str:
    where = ".".join(map(str, loc))
    if kind == "extra_forbidden":
        allowed = list(_model(loc).model_fields)
        return f"{where}: unknown key.{nearest(str(loc[-1]), allowed)} Allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: missing"
    if kind == "value_error":
        return where + ": " * bool(loc) + message.removeprefix("Value error, ")
    hint = nearest(str(got), get_args(Kind)) if kind == "literal_error" else ""
    said = message[:1].lower() + message[1:]
    return f"{where}: got {got!r}: {said}.{hint}"


def _model(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """Whose key the place is: of fields.S.examples.0.reason, the example's."""
    return (Rubric, Criterion, Example)[min(len(loc) - 1, 4) // 2]


def _folder() -> Any:
    return resources.files("fivestones.score.llm") / "rubrics"
