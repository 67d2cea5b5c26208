"""Replies that were paid for, by the content of their request, and what has been spent; in one SQLite file.

Training, evaluation, resumed runs and other processes may share the file. A reply and its cost are one
transaction: a process that is killed leaves both or neither.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivestones.errors import DataError, ResourceError

BUSY = 10.0  # seconds to wait for another process; nothing else is read or sent meanwhile
_APPLICATION = 0x35734A43  # "5sJC": marks the file as ours
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    account TEXT PRIMARY KEY,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    money REAL NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Spent:
    input_tokens: int = 0
    output_tokens: int = 0
    money: float = 0.0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


class ReplyCache:
    """For any number of threads and processes. The file is opened, or made, when it is first used.

    path: None keeps all in memory. Every method raises DataError for a file that is something else or
    damaged, and ResourceError for one that cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(
                self.path or ":memory:", timeout=BUSY, isolation_level=None, check_same_thread=False
            )
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and application != _APPLICATION:
                db.close()
                raise DataError(
                    f"{self.path} is another program's database; name another file for the replies"
                )
            # with a write-ahead log a commit outlives the process, if not at once a power cut
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            if not tables:
                db.executescript(
                    f"BEGIN IMMEDIATE; PRAGMA application_id = {_APPLICATION}; {_SCHEMA} COMMIT;"
                )
            self._db = db
        return self._db

    def get(self, key: str) -> dict[str, Any] | None:
        """The value kept under a key."""
        with self._use() as db:
            row = db.execute("SELECT value FROM replies WHERE key = ?", (key,)).fetchone()
            return None if row is None else dict(json.loads(row[0]))

    def paid(
        self, account: str, cost: Spent, key: str | None = None, value: Mapping[str, Any] | None = None
    ) -> None:
        """Adds a cost to what an account has spent and, with a key, keeps what was bought."""
        with self._use() as db, _transaction(db):
            db.execute(
                "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "input_tokens = input_tokens + excluded.input_tokens, "
                "output_tokens = output_tokens + excluded.output_tokens, money = money + excluded.money",
                (account, cost.input_tokens, cost.output_tokens, cost.money),
            )
            if key is not None:
                db.execute("REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(value)))

    def spent(self, account: str) -> Spent:
        """By all who shared the file and the account, ever."""
        with self._use() as db:
            row = db.execute(
                "SELECT input_tokens, output_tokens, money FROM spent WHERE account = ?", (account,)
            ).fetchone()
            return Spent(*row) if row else Spent()

    def __len__(self) -> int:
        with self._use() as db:
            (count,) = db.execute("SELECT count(*) FROM replies").fetchone()
        return int(count)

    def close(self) -> None:
        """The next use opens it again."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._opened()
        except (sqlite3.OperationalError, OSError) as error:  # full, locked, read-only, no folder
            raise ResourceError(f"{self.path}: the cache of replies cannot be used: {error}") from error
        except (sqlite3.DatabaseError, ValueError) as error:  # a page or a value was overwritten
            raise DataError(
                f"{self.path} is no usable cache of replies ({error}); move it away: what it held is "
                "asked again"
            ) from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")  # wait for other writers now, not in the middle
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite may have rolled back by itself
            db.execute("ROLLBACK")
        raise
