"""Rows being made: jobs are cut into parts, each made by one worker process, or by threads where a server
does the work, and written atomically.

A part that is on disk is never made again, so a killed run goes on where it stopped; parts hold rows in job
order, so the number of workers does not show in the result. A part is a JSON Lines file of rows and, written
before it, an .npz file of their encoded texts.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fivestones.data.certificate import COLUMNS
from fivestones.data.embed import Embedder, Encoded, text_of
from fivestones.data.store import Row, replacing
from fivestones.data.threads import in_order
from fivestones.errors import DataError, ResourceError
from fivestones.runlog import write_jsonl

Make = Callable[[Any, int], Row]
"""(item, retry) -> row: pure, picklable; another retry gives another scenario of the same item."""

PART = 100  # rows


@dataclass(frozen=True, slots=True)
class Makers:
    """How many make rows at once: processes, or threads of this one."""

    make: Make
    count: int
    threads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker needs to make one part."""

    path: Path
    items: tuple[Any, ...]
    retries: tuple[int, ...]  # [rows]
    columns: tuple[str, ...]  # of the embedded text


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    row: Row
    encoded: Encoded
    where: tuple[Path, int]  # file and byte offset of the row's line


def jobs_of(
    folder: Path, label: str, items: Sequence[Any], wanted: Sequence[tuple[int, int]], columns: Sequence[str]
) -> list[Job]:
    """Cuts `wanted`, pairs of (item number, retry), into parts."""
    return [
        Job(
            path=folder / f"{label}-{start // PART:05d}.jsonl",
            items=tuple(items[i] for i, _ in wanted[start : start + PART]),
            retries=tuple(retry for _, retry in wanted[start : start + PART]),
            columns=tuple(columns),
        )
        for start in range(0, len(wanted), PART)
    ]


def make_parts(jobs: Sequence[Job], makers: Makers, model: Embedder) -> Iterator[list[Made]]:
    """Rows of each job, in order; parts that are on disk are only read."""
    missing = [job for job in jobs if not job.path.is_file()]
    make, workers = makers.make, makers.count
    if makers.threads:
        wanted = [pair for job in missing for pair in zip(job.items, job.retries, strict=True)]
        rows = in_order(make, wanted, workers)  # over the ends of parts
        for job in jobs:
            if not job.path.is_file():
                _write(job, list(islice(rows, len(job.items))), model)
            yield read_part(job)
        return
    if min(workers, len(missing)) <= 1:
        for job in jobs:
            if not job.path.is_file():
                make_part(job, make, model)
            yield read_part(job)
        return
    # spawn, not fork: the caller may run threads (torch, progress bars), which fork would copy half
    pool = ProcessPoolExecutor(
        min(workers, len(missing)), multiprocessing.get_context("spawn"), _start_worker, (make, model)
    )
    try:
        with _one_thread_each():  # the pool starts its processes as jobs come in
            running: dict[Path, Future[None]] = {job.path: pool.submit(_work, job) for job in missing}
        for job in jobs:
            if job.path in running:
                running.pop(job.path).result()
            yield read_part(job)
    except BrokenProcessPool as error:
        raise ResourceError(
            "a worker process died (out of memory, or a script that starts work outside "
            '`if __name__ == "__main__":`); run again to go on where it stopped, with fewer workers'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def make_part(job: Job, make: Make, model: Embedder) -> None:
    _write(job, [make(item, retry) for item, retry in zip(job.items, job.retries, strict=True)], model)


def _write(job: Job, rows: Sequence[Row], model: Embedder) -> None:
    for row in rows:
        lacking = [name for name in COLUMNS if name not in row]
        if lacking:
            raise DataError(
                f"generator: row {row.get('id', '?')} lacks column `{lacking[0]}` (there: {list(row)})"
            )
    encoded = model.encode([text_of(row, job.columns) for row in rows])
    with replacing(_arrays(job.path)) as target, target.open("wb") as file:
        np.savez(file, flat=np.concatenate(encoded), sizes=np.array([len(e) for e in encoded]))
    write_jsonl(job.path, rows)


def read_part(job: Job) -> list[Made]:
    with np.load(_arrays(job.path)) as stored:
        encoded = np.split(stored["flat"], np.cumsum(stored["sizes"])[:-1])
    made: list[Made] = []
    with job.path.open("rb") as file:
        for one in encoded:
            offset = file.tell()
            made.append(Made(row=json.loads(file.readline()), encoded=one.copy(), where=(job.path, offset)))
    return made


def reread(places: Sequence[tuple[Path, int]]) -> Iterator[Row]:
    """Rows by their places; neighbours in one file are read without opening it again."""
    opened: Path | None = None
    file = None
    try:
        for path, offset in places:
            if path != opened:
                if file:
                    file.close()
                file, opened = path.open("rb"), path
            assert file is not None
            file.seek(offset)
            yield json.loads(file.readline())
    finally:
        if file:
            file.close()


_worker: dict[str, Any] = {}  # of a worker process only: its maker and embedder, set once by the pool


def _start_worker(make: Make, model: Embedder) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; parts are finished
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    _worker.update(make=make, model=model)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started here use one thread for matrix products: the workers together are the cores."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _die_with(sentinel: int) -> None:
    """A parent killed with -9 cannot tell its workers; they would wait for jobs for ever."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _work(job: Job) -> None:
    make_part(job, _worker["make"], _worker["model"])


def _arrays(path: Path) -> Path:
    return path.with_suffix(".npz")
