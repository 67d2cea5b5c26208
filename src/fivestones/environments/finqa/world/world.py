"""A whole world: the tables of all companies, and as many questions of each level as the recipe asks for."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random
from typing import Any

from fivestones.environments.finqa.world.books import companies
from fivestones.environments.finqa.world.certificate import most_absent
from fivestones.environments.finqa.world.drafts import NOT_DISCLOSED
from fivestones.environments.finqa.world.identities import balanced
from fivestones.environments.finqa.world.model import Company, WorldSplit
from fivestones.environments.finqa.world.questions import questions
from fivestones.errors import DataError, ResourceError
from fivestones.recipe import WorldPart

Row = dict[str, Any]
Levels = dict[str, int]  # level -> number of questions
Tell = Callable[[int, int, str], None]  # done, of, what
SPLITS: tuple[WorldSplit, ...] = ("train", "val", "test")
SPARE = 4  # questions of a level made beyond a company's share: others may have fewer
AGAIN = 6  # times its share is made of a level that ran short


@dataclass(frozen=True, slots=True)
class World:
    tables: list[Row]  # company, table, description, columns (JSON list), rows (JSON list of lists)
    questions: dict[str, list[Row]]  # by split
    unbalanced: tuple[str, ...] = ()  # identities of the books that do not hold, as found when they were made


@dataclass(frozen=True, slots=True)
class _Made:
    tables: list[Row]
    questions: dict[str, list[Row]]  # by level
    unbalanced: list[str]


def make_world(part: WorldPart, seed: int, workers: int = 1, tell: Tell | None = None) -> World:
    """The same for the same part and seed, whatever the workers. Raises DataError where the companies cannot
    bear as many questions as are asked."""
    tables: list[Row] = []
    asked: dict[str, list[Row]] = {}
    unbalanced: list[str] = []
    sizes = {split: _size(part, split) for split in SPLITS}
    done = 0
    with _mapper(min(workers, max(sizes.values()))) as each:
        for split in SPLITS:
            wanted = _wanted(part, split)
            shares = {name: -(-count // sizes[split]) for name, count in wanted.items()}
            made = []
            counts = {name: share + SPARE for name, share in shares.items() if share}
            for one in each(partial(_make, part, seed, split, counts), range(sizes[split])):
                made.append(one)
                done += 1
                if tell:
                    tell(done, sum(sizes.values()), f"companies of {split}")
            if _short(made, wanted):
                counts = {name: share * AGAIN + SPARE for name, share in shares.items() if share}
                made = list(each(partial(_make, part, seed, split, counts), range(sizes[split])))
            for one in made:
                tables += one.tables
                unbalanced += one.unbalanced
            rows = [row for name, count in wanted.items() for row in _taken(made, name, count, seed, split)]
            Random(f"order:{seed}:{split}").shuffle(rows)
            asked[split] = rows
    return World(tables, asked, tuple(unbalanced))


def table_rows(company: Company) -> list[Row]:
    return [
        {
            "company": company.slug,
            "table": sheet.name,
            "description": sheet.description,
            "columns": json.dumps(sheet.header, ensure_ascii=False),
            "rows": json.dumps(sheet.rows, ensure_ascii=False),
        }
        for sheet in company.sheets
    ]


def _size(part: WorldPart, split: WorldSplit) -> int:
    return {"train": part.companies_train, "val": part.companies_val, "test": part.companies_test}[split]


def _wanted(part: WorldPart, split: WorldSplit) -> Levels:
    """Questions of each level: evenly, the first levels take what is left over."""
    single = {"train": part.train, "val": part.val, "test": part.test}[split]
    multi = {"train": part.multi_train, "val": part.multi_val, "test": part.multi_test}[split]
    return {**_evenly(single, sorted(set(part.levels))), **_evenly(multi, ("L5", "L6"))}


def _evenly(count: int, names: Sequence[str]) -> Levels:
    base, more = divmod(count, len(names))
    return {name: base + (n < more) for n, name in enumerate(names)}


def _make(part: WorldPart, seed: int, split: WorldSplit, counts: Mapping[str, int], index: int) -> _Made:
    company = _company(part, seed, split, index)
    size = _size(part, split)
    other = _company(part, seed, split, (index + 1) % size) if size > 1 else None
    rows = questions(company, part, seed, counts, other)
    by_level = {name: [row for row in rows if row["level"] == name] for name in counts}
    return _Made(table_rows(company), by_level, [f"{company.slug}: {fault}" for fault in balanced(company)])


@lru_cache(maxsize=2)
def _company(part: WorldPart, seed: int, split: WorldSplit, index: int) -> Company:
    """The next one is also the neighbour of this one."""
    return companies(part, seed, split, index)


def _short(made: Sequence[_Made], wanted: Levels) -> bool:
    return any(
        _borne([one.questions.get(name, []) for one in made], count) < count for name, count in wanted.items()
    )


def _borne(lists: Sequence[Sequence[Row]], count: int) -> int:
    """How many of these can be taken where `count` are wanted: "not disclosed" is a small share of them."""
    absent = len([row for rows in lists for row in rows if row["answer"] == NOT_DISCLOSED])
    return sum(map(len, lists)) - absent + min(absent, most_absent(count))


def _taken(made: Sequence[_Made], name: str, count: int, seed: int, split: str) -> Iterator[Row]:
    """The first questions of every company, as many of each as the companies allow."""
    if not count:
        return
    lists = [one.questions.get(name, []) for one in made]
    had, absent = _borne(lists, count), most_absent(count)
    if had < count:
        raise DataError(
            f"world: {split} {name}: {count} questions are asked for, its {len(lists)} companies bear {had}; "
            f"allowed: fewer questions, more companies (`companies_{split}`), more tables (`tables`) or more "
            "kinds of questions (`families`)"
        )
    order = list(range(len(lists)))
    Random(f"turns:{seed}:{split}:{name}").shuffle(order)
    streams = [iter(rows) for rows in lists]
    while count:
        for at in order:
            row = next(streams[at], None)
            if row is None or not count:
                continue
            if row["answer"] == NOT_DISCLOSED:
                if not absent:
                    continue
                absent -= 1
            yield row
            count -= 1


class _mapper:
    """map() in this process, or in several, with results in order."""

    def __init__(self, workers: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            # spawn, not fork: the caller may run threads (torch, progress bars), which fork would copy half
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, context, _ignore_interrupts)

    def __enter__(self) -> Callable[[Callable[[int], _Made], Sequence[int]], Iterator[_Made]]:
        return self._map

    def _map(self, make: Callable[[int], _Made], indices: Sequence[int]) -> Iterator[_Made]:
        if self._pool is None:
            yield from map(make, indices)
            return
        try:
            yield from self._pool.map(make, indices, chunksize=4)
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process died (out of memory, or a script that starts work outside "
                '`if __name__ == "__main__":`); try again with fewer workers (`world.workers`)'
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
