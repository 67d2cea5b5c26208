"""Real questions about real reports, when the user has them; nothing of them is shipped.

    rLLM's set        {train,val,test}_finqa.csv, company_tables/<company>/tables_cleaned_all_companies.json
                      = {table: {"table": frame, "description", ...}}; a data.tar.gz, or its folder
    Snorkel's set     benchmark_questions/finqa.csv, input_companies/<company>/<table>.json = frame, and
                      input_companies/tables_cleaned_all_companies.json = {"company/table": {...}};
                      for evaluation only

A frame is a table column by column, {"column": {"0": value, "1": value}}. Every value is read as text, as it
is written; null and NaN are missing. What is unfit is left out and told; nothing is repaired.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fivestones.environments.finqa.real_files import files
from fivestones.environments.finqa.tables import Table, Tables, clipped
from fivestones.errors import DataError, UsageError

Row = Mapping[str, Any]
log = logging.getLogger(__name__)
SPLITS = ("train", "val", "test")
NEEDED = ("id", "company", "question", "answer")
SUMMARY = "tables_cleaned_all_companies.json"
MOST_CELLS = 4_000_000  # of one table
_FIELD = 64 << 20  # characters of one CSV field


@dataclass(frozen=True)
class Loaded:
    """A data set. rows: the columns of the generated questions; what real data does not tell is empty."""

    tables: Tables
    rows: Mapping[str, list[Row]]  # by split: train, val, test
    evaluation_only: bool
    told: list[str]  # what was left out, and why


def load_rllm(path: Path | str) -> Loaded:
    """rLLM's set. Raises DataError when it cannot be read, or nothing in it is fit."""
    reading = _Reading(Path(path))
    questions: dict[str, list[Mapping[str, str]]] = {split: [] for split in SPLITS}
    names = {f"{split}_finqa.csv": split for split in SPLITS}
    for name, content in files(Path(path), [*names, f"company_tables/*/{SUMMARY}"], reading.tell):
        if name in names:
            questions[names[name]] += reading.csv(name, content)
        else:
            company = name.split("/")[1]
            for table, of in reading.entries(name, content).items():
                reading.table(company, table, of, name)
    return reading.loaded(questions, evaluation_only=False)


def load_snorkel(path: Path | str) -> Loaded:
    """Snorkel's set: all of it is `test`, and `must_train` refuses it. Raises DataError as `load_rllm`."""
    reading = _Reading(Path(path))
    questions: list[Mapping[str, str]] = []
    frames: dict[tuple[str, str], Any] = {}
    about: Mapping[str, Any] = {}
    patterns = ["benchmark_questions/finqa.csv", "input_companies/*/*.json", f"input_companies/{SUMMARY}"]
    for name, content in files(Path(path), patterns, reading.tell):
        if name.endswith(".csv"):
            questions += reading.csv(name, content)
        elif name == patterns[-1]:
            about = reading.entries(name, content)
        else:
            _, company, table = name.split("/")
            frames[company, _plain(table)] = reading.json(name, content)
    for key, of in about.items():
        company, _, table = key.partition("/")
        frame = frames.pop((company, _plain(table)), None)
        whole = {**of, "table": frame} if frame is not None and isinstance(of, Mapping) else of
        reading.table(company, table, whole, f"{SUMMARY}: {key}")
    for (company, table), frame in frames.items():
        reading.table(company, table, {"table": frame}, f"{company}/{table}.json")
    return reading.loaded({"train": [], "val": [], "test": questions}, evaluation_only=True)


def load_real(path: Path, form: Literal["rllm", "snorkel"] | None = None) -> Loaded:
    """Either set; form: which one. None: a folder with `input_companies` is Snorkel's. What is left out is
    logged."""
    if form is None:
        form = "snorkel" if (path / "input_companies").is_dir() else "rllm"
    loaded = load_rllm(path) if form == "rllm" else load_snorkel(path)
    for line in loaded.told:
        log.warning("%s: left out: %s", path, line)
    return loaded


def must_train(loaded: Loaded) -> None:
    """Raises UsageError for a set that is for evaluation only."""
    if loaded.evaluation_only:
        raise UsageError(
            "this data set is for evaluation only: training on it would spoil the benchmark; train on rLLM's "
            "set or on a generated world, and name this one as the test split"
        )


class _Reading:
    """Tables and questions so far, and what was left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables: dict[tuple[str, str], Table] = {}  # by folded names
        self._reasons: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def tell(self, reason: str, where: str) -> None:
        self._reasons[reason] += 1
        self._first.setdefault(reason, where)

    def told(self) -> list[str]:
        return [f"{reason}: {count}, first {self._first[reason]}" for reason, count in self._reasons.items()]

    def csv(self, name: str, content: bytes) -> list[Mapping[str, str]]:
        before = csv.field_size_limit(_FIELD)  # the module's only way; explanations are long
        try:
            reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restval="")
            rows: list[Mapping[str, str]] = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: {name} is no CSV file: {error}") from error
        finally:
            csv.field_size_limit(before)
        missing = [column for column in NEEDED if column not in (reader.fieldnames or ())]
        if missing:
            there = clipped(", ".join(map(repr, reader.fieldnames or ())) or "none", 300)
            raise DataError(f"{self.path}: {name} has no column {', '.join(missing)}; there are: {there}")
        return rows

    def json(self, name: str, content: bytes) -> Any:
        """None, and told, when it is torn."""
        try:
            return _json(content.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            self.tell("file is no JSON", name)
            return None

    def entries(self, name: str, content: bytes) -> Mapping[str, Any]:
        value = self.json(name, content)
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.tell("file holds no tables", name)
        return {}

    def table(self, company: str, name: str, of: Any, where: str) -> None:
        where = f"{where}: {name}"
        if not isinstance(of, Mapping):
            return self.tell("table is no object", where)
        try:
            columns, rows = _frame(of.get("table"))
            table = Table(company, _plain(name), _text(of.get("description")) or "", columns, rows)
        except (_Unfit, DataError) as unfit:
            return self.tell("table is unfit", clipped(f"{where}: {unfit}", 300))
        except (ValueError, RecursionError):
            return self.tell("table is no JSON", where)
        key = (company.casefold(), table.name.casefold())
        if key in self._tables:
            return self.tell("table comes twice", where)
        self._tables[key] = table

    def loaded(self, questions: Mapping[str, Sequence[Mapping[str, str]]], evaluation_only: bool) -> Loaded:
        tables = Tables(self._tables.values())
        companies = {company.casefold(): company for company in tables}
        seen: set[str] = set()
        rows: dict[str, list[Row]] = {split: [] for split in questions}
        for split, of in questions.items():
            for number, question in enumerate(of, start=1):
                row = self._row(split, question, tables, companies, f"{split} row {number}")
                if row is None:
                    continue
                if row["id"] in seen:
                    self.tell(
                        "question has an id that was there before", f"{split} row {number}: {row['id']}"
                    )
                    continue
                seen.add(row["id"])
                rows[split].append(row)
        told = self.told()
        if not any(rows.values()):
            raise DataError(f"{self.path}: no fit question. {'; '.join(told) or 'There is none at all.'}")
        return Loaded(tables, rows, evaluation_only, told)

    def _row(
        self,
        split: str,
        question: Mapping[str, str],
        tables: Tables,
        companies: Mapping[str, str],
        where: str,
    ) -> Row | None:
        given = {column: (question.get(column) or "").strip() for column in NEEDED}
        empty = [column for column in NEEDED if not given[column]]
        if empty:
            self.tell(f"question without {empty[0]}", where)
            return None
        company = companies.get(given["company"].casefold())
        if company is None:
            self.tell("question about a company without tables", f"{where}: {given['company']}")
            return None
        known = {name.casefold(): name for name in tables[company]}
        asked = [_plain(name) for name in _names(question.get("table_name"))]
        named = [known[name.casefold()] for name in asked if name.casefold() in known]
        if len(named) < len(asked):
            self.tell("question names a table that is not there (kept, without the name)", where)
        kind = (question.get("question_type") or "").strip()
        multi = "multi" in kind.casefold() or len(asked) > 1
        return {
            "id": given["id"],
            "split": split,
            "company": company,
            "level": "multi" if multi else "single",
            "family": kind or "unknown",
            "phrasing": "",
            "held_out": 0,
            "question": given["question"],
            "answer": given["answer"],
            "tables": json.dumps(named, ensure_ascii=False),
            "cells": "[]",
            "sql": "[]",
            "plan": "[]",
            "fewest": None,  # unknown
            "distractors": "[]",
        }


class _Unfit(Exception):
    """A table's fault."""


def _frame(value: Any) -> tuple[tuple[str, ...], tuple[tuple[str | None, ...], ...]]:
    """(columns, rows) of a frame: an object, or its JSON text. Raises _Unfit, or ValueError for torn JSON."""
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, Mapping) or not all(isinstance(of, Mapping | list) for of in value.values()):
        raise _Unfit("the frame must be an object of columns")
    cells = [dict(enumerate(of)) if isinstance(of, list) else of for of in value.values()]
    index = list(dict.fromkeys(str(key) for column in cells for key in column))
    if all(key.isdecimal() and len(key) < 10 for key in index):
        index.sort(key=int)  # pandas writes rows in order, other writers may not
    if len(index) * len(cells) > MOST_CELLS:
        raise _Unfit(f"more than {MOST_CELLS} cells")
    by_key = [{str(key): cell for key, cell in column.items()} for column in cells]
    columns = tuple(name if name.strip() else f"column_{n}" for n, name in enumerate(value, start=1))
    return columns, tuple(tuple(_text(column.get(key)) for column in by_key) for key in index)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def _json(text: str) -> Any:
    """JSON whose numbers stay the text that they were written as."""
    value = json.loads(text, parse_float=str, parse_int=str, parse_constant=_constant)
    json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is not text (a ValueError)
    return value


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


def _names(value: str | None) -> list[str]:
    """A JSON list of names, one bare name, or none (empty, NaN)."""
    text = (value or "").strip()
    if not text or text.casefold() == "nan":
        return []
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    if isinstance(read, list):
        return [name for name in read if isinstance(name, str)]
    return [read] if isinstance(read, str) else [text]


def _plain(name: str) -> str:
    """A table's name without the ending of the file that it was read from."""
    return name.strip().removesuffix(".json").removesuffix(".txt")
