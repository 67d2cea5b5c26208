"""The clinical job's teacher: what it is told of a scenario, and how its replies become texts of a row.

What a text must hold is decided elsewhere and handed in: `DialogueFaults` reads a dialogue against the
facts, `NoteFaults` a note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from random import Random
from string import Template
from typing import Any, Literal

import yaml

from fivestones.environments.json_gates import parse_strict, strict_validator
from fivestones.environments.soap import teacher_brief as brief
from fivestones.environments.soap.facts import facts_of
from fivestones.environments.soap.generate import PlanItem, condition_of, generate
from fivestones.environments.soap.knowledge import Entry, Knowledge
from fivestones.environments.soap.realise import WORDS
from fivestones.environments.soap.realise_styles import STYLES
from fivestones.environments.soap.scenario import Length, Scenario, draw
from fivestones.environments.soap.spec import OUTPUT_SCHEMA
from fivestones.environments.soap.teacher_dialogue import bare, read_dialogue
from fivestones.errors import UsageError, nearest
from fivestones.types import Fact

_CODE = ("teacher.py", "teacher_brief.py", "teacher_dialogue.py")

DialogueFaults = Callable[[Sequence[Fact], str, Sequence[str]], Sequence[str]]
"""(facts, dialogue, concepts that may be named without being facts) -> "cause: what"."""
NoteFaults = Callable[[Sequence[Fact], Mapping[str, str], str], Sequence[str]]
"""(facts, the four sections, text that they may quote beside the facts) -> "cause: what"."""
_TOLD = 12  # faults of an attempt that the next one hears of


@dataclass(frozen=True, kw_only=True)
class Prompts:
    system: str
    styles: Mapping[str, str]
    dialogue: str
    note: str
    again: str

    @cached_property
    def digest(self) -> str:
        """Of the words, and of the code that fills them in."""
        folder = files("fivestones.environments.soap")
        code = [(folder / name).read_text("utf-8").replace("\r\n", "\n") for name in _CODE]
        said = [self.system, dict(self.styles), self.dialogue, self.note, self.again, *code]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def load_prompts(path: Path | None = None) -> Prompts:
    """The prompts of a YAML file; None: of this package. Raises UsageError for what is wrong with it."""
    origin = f"synth.teacher.prompts: {path}" if path else "teacher.yaml"
    try:
        text = (path or files("fivestones.environments.soap") / "teacher.yaml").read_text("utf-8")
        tree = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"{origin}: cannot be read: {why}") from error
    names = [f.name for f in fields(Prompts)]
    if not isinstance(tree, dict) or sorted(tree) != sorted(names):
        there = ", ".join(map(str, tree)) if isinstance(tree, dict) else type(tree).__name__
        raise UsageError(f"{origin}: got {there}; allowed: exactly the keys {', '.join(names)}")
    for name, value in tree.items():
        words = list(value.values()) if name == "styles" and isinstance(value, dict) else [value]
        if not all(isinstance(word, str) and word.strip() for word in words):
            raise UsageError(
                f"{origin}: {name}: allowed: text, not empty" + " for each style" * (name == "styles")
            )
    for style in tree["styles"]:
        if style not in STYLES:
            raise UsageError(f"{origin}: styles: unknown `{style}`.{nearest(style, STYLES)}")
    prompts = Prompts(**tree)
    for style in STYLES:
        if style not in prompts.styles:
            raise UsageError(f"{origin}: styles: `{style}` is missing")
    for name, given in (("dialogue", _DIALOGUE), ("note", _NOTE), ("again", ("faults",))):
        _check_names(origin, name, getattr(prompts, name), given)
    return prompts


_DIALOGUE = ("patient", "style", "clinician", "speaker", "low", "high", "aim", "facts", "passing")
_NOTE = ("patient", "facts")


def _check_names(origin: str, name: str, text: str, given: Sequence[str]) -> None:
    template = Template(text)
    if not template.is_valid():
        raise UsageError(f"{origin}: {name}: a $ that begins no name; write $$ for a dollar sign")
    for used in template.get_identifiers():
        if used not in given:
            allowed = ", ".join(f"${g}" for g in given)
            raise UsageError(f"{origin}: {name}: got ${used}; allowed: {allowed}.{nearest(used, given)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row of the generator, and the scenario behind it."""

    row: dict[str, Any]
    scenario: Scenario
    facts: tuple[Fact, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """Who speaks: the clinician, and the patient or whoever speaks for the patient."""
        manner = STYLES[self.row["style"]]
        caregiver = self.scenario.caregiver
        return manner.clinician, manner.patient or (caregiver.capitalize() if caregiver else "Patient")

    @property
    def allowed(self) -> tuple[str, ...]:
        """Concepts that may be named although they are no facts."""
        return (*(t.key for t in self._tests), *(item.entry.key for item in self.scenario.distractors))

    @property
    def context(self) -> str:
        """What a note may say beside the facts: who the patient is, which test showed a finding."""
        return " ".join([brief.patient(self.scenario), *(f"{test.forms[0]}." for test in self._tests)])

    @property
    def _tests(self) -> list[Entry]:
        return [item.test for item in self.scenario.items if item.test]


@dataclass(frozen=True)
class MakeDraft:
    """(item, number) -> draft, as `generate` makes the row of that retry."""

    kb: Knowledge
    seed: int
    length: Length

    def __call__(self, item: PlanItem, number: int) -> Draft:
        row = generate(self.kb, item, self.seed, self.length, retry=number)
        rng = Random(f"{self.seed}:{item.index}:{number}")  # the stream that drew the row's own scenario
        scenario = draw(self.kb, condition_of(self.kb, item.condition), rng, self.length, item.cell)
        return Draft(row=row, scenario=scenario, facts=facts_of(scenario))


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """Implements data.teacher.Piece."""

    prompts: Prompts
    find_faults: DialogueFaults
    column: str = field(default="dialogue", init=False)

    @property
    def digest(self) -> str:
        return self.prompts.digest

    def body(self, draft: Draft, faults: Sequence[str]) -> Mapping[str, Any]:
        low, high = WORDS[draft.scenario.length]
        clinician, speaker = draft.labels
        text = Template(self.prompts.dialogue).substitute(
            patient=brief.patient(draft.scenario),
            style=self.prompts.styles[draft.row["style"]].strip(),
            clinician=clinician,
            speaker=speaker,
            low=low,
            high=high,
            aim=(low + high) // 2,
            facts=brief.facts(draft.scenario, spoken=True),
            passing=brief.passing(draft.scenario),
        )
        return {"messages": _messages(self.prompts, text, faults)}

    def read(self, draft: Draft, text: str) -> tuple[str | None, Sequence[str]]:
        dialogue, wrong = read_dialogue(text, draft.labels, draft.scenario.length)
        if dialogue is None:
            return None, wrong
        found = self.find_faults(draft.facts, dialogue, draft.allowed)
        return (None, found) if found else (dialogue, ())


@dataclass(frozen=True, kw_only=True)
class Note:
    """Implements data.teacher.Piece."""

    prompts: Prompts
    find_faults: NoteFaults
    form: Literal["schema", "json", "text"] = "schema"  # how the server is held to the keys
    column: str = field(default="note", init=False)

    @property
    def digest(self) -> str:
        return self.prompts.digest

    def body(self, draft: Draft, faults: Sequence[str]) -> Mapping[str, Any]:
        text = Template(self.prompts.note).substitute(
            patient=brief.patient(draft.scenario), facts=brief.facts(draft.scenario, spoken=False)
        )
        body: dict[str, Any] = {"messages": _messages(self.prompts, text, faults)}
        if self.form == "schema":
            shape = {"name": "note", "schema": OUTPUT_SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif self.form == "json":
            body["response_format"] = {"type": "json_object"}
        return body

    def read(self, draft: Draft, text: str) -> tuple[str | None, Sequence[str]]:
        note, why = parse_strict(bare(text), strict_validator(OUTPUT_SCHEMA))
        if note is None:
            return None, (f"not a note: {why}",)
        found = self.find_faults(draft.facts, note, draft.context)
        return (None, found) if found else (json.dumps(note, ensure_ascii=False), ())


def _messages(prompts: Prompts, text: str, faults: Sequence[str]) -> list[dict[str, str]]:
    if faults:  # at the end, where a server's prefix cache ends anyway
        listed = "\n".join(f"- {fault}" for fault in faults[:_TOLD])
        text = f"{text.strip()}\n\n{Template(prompts.again).substitute(faults=listed)}"
    return [{"role": "system", "content": prompts.system.strip()}, {"role": "user", "content": text.strip()}]
