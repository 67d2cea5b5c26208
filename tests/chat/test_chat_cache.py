from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fivestones.chat.cache import ReplyCache, Spent
from fivestones.errors import DataError, ResourceError

ONE = Spent(3, 2, 0.5)
WRITER = """
import sys
from pathlib import Path
from fivestones.chat.cache import ReplyCache, Spent
cache, name, count = ReplyCache(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for i in range(count):
    cache.paid("m", Spent(3, 2, 0.5), f"{name}-{i}", {"text": "x" * 500, "i": i})
    print(i, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_what_was_paid_for_is_kept_with_its_cost(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "replies.sqlite"
    cache = ReplyCache(path)
    assert not path.parent.exists()  # a folder is made with the first use, no sooner
    assert cache.get("a") is None
    cache.paid("m", ONE, "a", {"text": "ä\ud83d"})
    cache.paid("m", ONE)  # a reply that nobody could read costs all the same
    cache.paid("m", ONE, "a", {"text": "newer"})
    cache.close()
    again = ReplyCache(path)
    assert again.get("a") == {"text": "newer"}
    assert (len(again), again.spent("m"), again.spent("m").tokens) == (1, Spent(9, 6, 1.5), 15)


def test_without_a_path_it_lives_in_memory() -> None:
    cache = ReplyCache(None)
    cache.paid("m", ONE, "a", {"text": "x"})
    assert cache.get("a") == {"text": "x"}


def test_a_killed_process_leaves_whole_replies(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    process = writer(path, "k", 1_000_000)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in process.communicate()[0].splitlines()]
    assert process.returncode == -signal.SIGKILL
    cache = ReplyCache(path)
    assert all(cache.get(f"k-{i}") == {"text": "x" * 500, "i": i} for i in told)
    # every reply with its cost, every cost with its reply, the one that was under way included
    assert cache.spent("m").input_tokens == 3 * len(cache)
    assert len(told) <= len(cache) <= len(told) + 1
    cache.paid("m", ONE, "after", {"text": "y"})


def test_several_processes_and_threads_share_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    processes = [writer(path, f"p{i}", 60) for i in range(3)]
    cache = ReplyCache(path)

    def fill(name: str) -> None:
        for i in range(60):
            cache.paid("m", ONE, f"{name}-{i}", {"i": i})

    threads = [threading.Thread(target=fill, args=(f"t{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.communicate(timeout=60) and p.returncode for p in processes] == [0, 0, 0]
    assert len(cache) == 360
    assert cache.spent("m") == Spent(1080, 720, 180.0)


def test_a_foreign_or_damaged_file_is_told_and_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "other.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(DataError, match=r"other\.sqlite is another program's database"):
        ReplyCache(foreign).get("a")
    with sqlite3.connect(foreign) as db:
        assert [name for (name,) in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"damaged\.sqlite.*move it away"):
        ReplyCache(damaged).get("a")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="the cache of replies cannot be used"):
        ReplyCache(tmp_path / "file" / "replies.sqlite").paid("m", ONE)


def test_a_full_disk_is_told_and_what_was_kept_stays(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ReplyCache(path)
    cache.paid("m", ONE, "a", {"text": "x"})
    db = cache._opened()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ResourceError, match="full"):
        cache.paid("m", ONE, "b", {"text": "y" * 100_000})
    assert cache.get("a") == {"text": "x"}
    assert cache.spent("m") == ONE  # neither the reply nor its cost
