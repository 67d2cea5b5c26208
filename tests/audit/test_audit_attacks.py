"""The adversarial table of a judge that is fooled, of one that is not, and of one that says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fivestones.audit.attacks import REFERENCE, mode_of, table
from fivestones.environments.soap.facts import extra_concepts
from fivestones.environments.soap.generate import generate, plan
from fivestones.environments.soap.knowledge import Knowledge, concepts, load
from fivestones.protocols import Judge
from fivestones.recipe import MemberPart
from fivestones.score.adversarial import BOUNDS, MODES
from fivestones.score.facts import FactsJudge, Lexicon
from fivestones.types import Message, Task, Verdict

FIELDS = ("S", "O", "A", "P")


@pytest.fixture(scope="module")
def kb() -> Knowledge:
    return load()


@pytest.fixture(scope="module")
def tasks(kb: Knowledge) -> list[Task]:
    rows = [generate(kb, item, 3, "short") for item in plan(kb, 12, 4, 3)]
    return [
        Task(
            id=row["id"],
            prompt=(Message("user", row["dialogue"]),),
            reference={
                "source": row["dialogue"],
                "output": json.loads(row["note"]),
                "facts": json.loads(row["facts"]),
            },
            cluster=row["condition"],
        )
        for row in rows
    ]


def tabled(judge: Judge, tasks: Sequence[Task], kb: Knowledge, **more: Any) -> dict[str, Any]:
    forms = {c.name: c.forms for c in (*concepts(kb), *extra_concepts())}
    mode = more.pop("mode", "facts")
    return table(judge, tasks, FIELDS, forms, mode, draws=50, told=lambda done, of: None)


@pytest.mark.parametrize("mode", MODES)
def test_the_embedded_judge_passes(kb: Knowledge, tasks: list[Task], mode: str) -> None:
    judge = FactsJudge(Lexicon([*concepts(kb), *extra_concepts()]), FIELDS)
    found = tabled(judge, tasks, kb, mode=mode)
    assert {n: r["mean"] for n, r in found["attacks"].items() if r["status"] != "passes"} == {}
    assert (found["mode"], found["cases"], found["passed"]) == (mode, 16, len(BOUNDS) + 1)
    assert sum(row["cases"] >= 3 for row in found["attacks"].values()) >= 12


class Says:
    def __init__(self, score: float | None) -> None:
        self.score = score

    def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
        if self.score is None:
            return [Verdict(criteria={}, unscored=dict.fromkeys(FIELDS, "timeout")) for _ in outputs]
        return [Verdict(criteria=dict.fromkeys(FIELDS, self.score)) for _ in outputs]


def test_a_judge_that_likes_everything_fails_visibly(kb: Knowledge, tasks: list[Task]) -> None:
    found = tabled(Says(1.0), tasks, kb)
    status = {name: row["status"] for name, row in found["attacks"].items()}
    assert status.pop(REFERENCE) == "passes" and set(status.values()) == {"fails"}
    assert (found["passed"], found["failed"]) == (1, len(BOUNDS))


def test_a_judge_that_likes_nothing_fails_on_the_reference(kb: Knowledge, tasks: list[Task]) -> None:
    found = tabled(Says(0.0), tasks, kb)
    status = {name: row["status"] for name, row in found["attacks"].items()}
    assert status.pop(REFERENCE) == "fails" and set(status.values()) == {"passes"}


def test_silence_is_neither(kb: Knowledge, tasks: list[Task]) -> None:
    found = tabled(Says(None), tasks, kb)
    assert (found["passed"], found["failed"], found["unknown"]) == (0, 0, len(BOUNDS) + 1)
    row = found["attacks"]["empty"]
    assert row["mean"] is row["low"] is row["worst"] is None and row["unscored"] == 64
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_little_was_scored_is_no_pass_but_may_fail(kb: Knowledge, tasks: list[Task]) -> None:
    first = tasks[0].id

    class Shy(Says):
        """Says nothing of all cases but the first."""

        def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
            return Says(self.score if task.id == first else None)(task, outputs)

    row = tabled(Shy(0.0), tasks, kb)["attacks"]["injection"]
    assert (row["status"], row["mean"], row["n"], row["unscored"]) == ("unknown", 0.0, 4, 60)
    fooled = tabled(Shy(1.0), tasks, kb)["attacks"]
    assert fooled["injection"]["status"] == "fails"  # one field that gave in is enough
    assert fooled[REFERENCE]["status"] == "unknown"


def test_a_judge_is_held_to_what_it_knows(tmp_path: Path, tasks: list[Task]) -> None:
    def part(kind: str, **keys: Any) -> MemberPart:
        return MemberPart.model_validate({"kind": kind, **keys})

    def llm(*fields: str) -> MemberPart:
        """That is shown the reference of these fields."""
        text = "kind: binary, question: Right"
        judged = "".join(f"  {f}: {{{text}, reference: {str(f in fields).lower()}}}\n" for f in FIELDS)
        path = tmp_path / f"rubric{''.join(fields)}.yaml"
        path.write_text(f"name: mine\nrole: You judge.\nfields:\n{judged}")
        asked = {"endpoints": [{"url": "http://127.0.0.1:9/v1"}], "model": "m"}
        return part("llm", rubric=str(path), **asked)

    def mode(judge: MemberPart, fields: Sequence[str] = FIELDS) -> str:
        return mode_of(judge, fields, tasks[0])

    assert (mode(llm()), mode(llm("S"))) == ("dialogue", "reference")
    assert mode(llm("S"), ("O", "A")) == "dialogue"  # of a field that is not asked about
    facts = part("facts")
    assert mode(facts) == mode(part("own_parts:Half")) == "facts"
    pair = [part("ensemble", members=[facts, other]) for other in (llm(), llm("P"))]
    assert [mode(both) for both in pair] == ["facts", "reference"]
    bare = Task(id="t", prompt=tasks[0].prompt, reference={"source": "x"}, cluster="c")
    assert mode_of(facts, FIELDS, bare) == "dialogue"


def test_an_attack_that_no_case_allows_is_unknown(kb: Knowledge, tasks: list[Task]) -> None:
    found = tabled(Says(0.0), tasks[:1], kb)  # one case has no other
    assert found["attacks"]["another_note"]["status"] == "unknown"


def test_one_field_that_gives_in_is_enough(kb: Knowledge, tasks: list[Task]) -> None:
    """A mean below its bound does not hide a section that was fooled."""
    first = tasks[0].id

    class Once:
        def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
            fooled = 1.0 if task.id == first else 0.0
            return [Verdict(criteria={"S": fooled, "O": 0.0, "A": 0.0, "P": 0.0}) for _ in outputs]

    row = tabled(Once(), tasks, kb)["attacks"]["injection"]
    assert row["mean"] < row["bound"] and row["worst"] == 1.0 and row["status"] == "fails"


def test_what_a_judge_knows_is_what_the_mode_lets_it(kb: Knowledge, tasks: list[Task]) -> None:
    seen: list[set[str]] = []

    class Spy(Says):
        def __call__(self, task: Task, outputs: Sequence[Mapping[str, Any]]) -> list[Verdict]:
            seen.append(set(task.reference))
            return super().__call__(task, outputs)

    for mode in MODES:
        tabled(Spy(0.0), tasks[:1], kb, mode=mode)
    assert seen == [{"facts", "source"}, {"output", "source"}, {"source"}]
