"""Questions about a company's financial tables, answered with tools: FinQA as an environment."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fivestones.environments.finqa.grader import final_answers, grade
from fivestones.environments.finqa.mistakes import misspelt
from fivestones.environments.finqa.tables import Tables
from fivestones.environments.finqa.tools import SUBMIT, finqa_tools
from fivestones.environments.tool_use import ToolUse
from fivestones.environments.tool_use.environment import ERROR
from fivestones.errors import DataError
from fivestones.recipe import FinqaPart
from fivestones.types import HELD_OUT, Call, Message, Rollout, Score, Split, Task

Row = Mapping[str, Any]
SINGLE = ("L0", "L1", "L2", "L3", "L4", "single")  # levels about one table
NOTHING = "[]"  # what a query that finds no row is told
TRIES = 20  # at a mistake: a misspelt name may be right too
DECODED = ("tables", "cells", "sql", "plan", "distractors")  # columns that hold JSON

SYSTEM = (
    "Answer a question about a company's financial tables. List its tables, look at the one you need, query "
    "it, compute with the calculator. One call a turn. "
)
BY_LINE = "At the end write the answer with its unit and scale:\nFINAL ANSWER: ..."
BY_TOOL = f"At the end call {SUBMIT} with the answer, its unit and its scale."


class FinqaEnvironment(ToolUse):
    """protocols.ScoredEnvironment over rows of questions and the tables of their companies.

    The reward is `grade` of the final answer, in [0, 1]; the gate `answer` asks for exactly one.
    """

    def __init__(self, rows: Mapping[Split, Sequence[Row]], tables: Tables, part: FinqaPart) -> None:
        submit = SUBMIT if part.submit else None
        super().__init__(finqa_tools(tables, part.submit), submit=submit, repeats=part.repeats)
        self.part, self.tables = part, tables
        self.scorer = FinqaScorer(self, part)
        self._tasks = {split: tuple(map(self._task, of)) for split, of in rows.items()}

    def tasks(self, split: Split) -> Iterable[Task]:
        """Of training only those of the recipe's levels."""
        tasks = self._tasks.get(split, ())
        return tasks if split == "test" else [t for t in tasks if t.tags["level"] in self.part.levels]

    def demonstration(self, task: Task) -> Sequence[Message]:
        """The episode of an agent that follows the reference plan: its calls, what the tools say, its
        answer. A share of `recoveries` of the tasks shows one mistake that is not to be imitated, what the
        tool says to it, and how it is mended. Raises DataError for a task without a plan, as of real
        data."""
        plan = task.reference["plan"]
        if not plan:
            raise DataError(f"task {task.id} has no reference plan to imitate")
        draw = random.Random(task.id)
        named = [number for number, step in enumerate(plan) if "table" in step["arguments"]]
        errs = draw.choice(named) if named and draw.random() < self.part.recoveries else None
        turns: list[Message] = []
        for number, step in enumerate(plan):
            call = Call(step["name"], json.dumps(step["arguments"], ensure_ascii=False))
            if number == errs:
                tries = (self._mistake(task, turns, call, draw) for _ in range(TRIES))
                turns += next(filter(None, tries), [])
            turns += [Message("assistant", "", (call,)), Message("tool", self.result(task, turns, call))]
        return (*turns, self._last(task))

    def _mistake(
        self, task: Task, turns: Sequence[Message], call: Call, draw: random.Random
    ) -> list[Message]:
        """The call with something misspelt and what the tool says to it; nothing where it is no mistake."""
        arguments = json.loads(call.arguments)
        table = self.tables.table(arguments["company"], arguments["table"])
        names = [table.name] if call.name == "get_table_info" else list(table.columns)
        wrong = misspelt(call, names, draw)
        told = self.result(task, turns, wrong) if wrong else ""
        if wrong is None or not (told.startswith(ERROR) or told == NOTHING):
            return []
        return [Message("assistant", "", (wrong,), imitate=False), Message("tool", told)]

    def reference_text(self, task: Task) -> str:
        """The last turn of the demonstration."""
        return self.demonstration(task)[-1].content

    def answers(self, text: str) -> tuple[str, ...]:
        """What the last turn of an episode gives as its answer; one, if it keeps to the form."""
        parsed = self.parsed(Message("assistant", text))
        if self.submit is None:
            return () if parsed.calls else final_answers(parsed.text)
        given = [c for c in parsed.calls if isinstance(c, Call) and self.submits(c)]
        return tuple(str(json.loads(c.arguments)["answer"]) for c in given)

    def lenient(self, text: str) -> Mapping[str, Any] | None:
        found = self.answers(text)
        return {"answer": found[-1]} if found else None

    def _last(self, task: Task) -> Message:
        answer = str(task.reference["answer"])
        if self.submit is None:
            return Message("assistant", f"FINAL ANSWER: {answer}")
        call = Call(self.submit, json.dumps({"answer": answer}, ensure_ascii=False))
        return Message("assistant", "", (call,))

    def _task(self, row: Row) -> Task:
        reference = {k: json.loads(row[k]) if k in DECODED else row[k] for k in row if k != "question"}
        if reference["plan"]:
            reference["output"] = row["answer"]  # there is a demonstration
        level = str(row["level"])
        asked = f"Company: {row['company']}\nQuestion: {row['question']}"
        return Task(
            id=str(row["id"]),
            prompt=(
                Message("system", SYSTEM + (BY_TOOL if self.submit else BY_LINE)),
                Message("user", asked),
            ),
            reference=reference,
            cluster=str(row["company"]),
            tags={
                "level": level,
                "tables": "single" if level in SINGLE else "multi",
                "family": str(row["family"]),
                "wording": HELD_OUT if row.get("held_out") else "seen",
            },
        )


class FinqaScorer:
    """Right or wrong, by the grader; an answer of several fields in shares."""

    max_reward = 1.0
    names: tuple[str, ...] = ()

    def __init__(self, environment: FinqaEnvironment, part: FinqaPart) -> None:
        self.environment, self.part = environment, part

    def __call__(self, task: Task, rollouts: Sequence[Rollout]) -> list[Score]:
        return [self._score(task, rollout) for rollout in rollouts]

    def _score(self, task: Task, rollout: Rollout) -> Score:
        if rollout.finish == "length":
            return Score(reward=0.0, failed={"answer": "truncated: no room for the answer"})
        if rollout.finish == "turns":
            return Score(reward=0.0, failed={"answer": "out of turns"})
        found = self.environment.answers(rollout.answer)
        if len(found) != 1:
            why = "several final answers" if found else "no final answer"
            return Score(reward=0.0, failed={"answer": why})
        return Score(reward=grade(found[0], str(task.reference["answer"]), self.part.graded))
