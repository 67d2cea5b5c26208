"""The run directory: everything that a run made, each file written atomically.

    recipe.yaml  manifest.json  data/  metrics.jsonl  timings.jsonl  rollouts/step-000001.jsonl
    checkpoints/{warmup,imitation,train}-000010/  eval/*.jsonl  summary.json  report.html  report.md
    judge.jsonl  judge.sqlite  egress.jsonl  labels.jsonl  audit.json   (of judges, where they are used)

`metrics.jsonl` holds only what a resumed run repeats exactly; wall-clock time is in `timings.jsonl`: the sum
of all its `total` is the time that processes spent on the run, repeated steps included and pauses not.
`judge.jsonl` counts what judges behind endpoints were asked and what it cost, by step.

A kill can tear only the last line of a log that grows by appending. What is torn is no whole object: reading
drops it, appending cuts it off first. A whole one counts without its newline too, as an editor may leave it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fivestones.errors import DataError, FivestonesError, ResourceError, RunExistsError

# EFBIG: a limit on the size of a file (`ulimit -f`)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# safetensors and duckdb raise their own types; only the text tells
_FULL_TEXT = ("No space left on device", "Disk quota exceeded", "File too large")
_UNUSABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    # a file where a folder should be, a folder that cannot be made (/proc), a name that is too long
    *(errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
)
_TAIL = 65_536  # bytes read at a time when looking for the last newline


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full disk, a forbidden folder or an impossible path becomes one clear message."""
    try:
        yield
    except FivestonesError:
        raise
    except Exception as e:
        code = e.errno if isinstance(e, OSError) else None
        # the file itself, where the error tells it: not all that is read or written lies below `path`
        file = Path(os.fsdecode(e.filename)) if isinstance(e, OSError) and e.filename else path
        if code in _FULL or any(text in str(e) for text in _FULL_TEXT):
            raise ResourceError(
                f"the disk is full while writing {file} ({_free(file) / 1e6:.0f} MB free); what was finished "
                "is kept: make room, then --resume"
            ) from e
        if code in _UNUSABLE:
            raise ResourceError(f"{file} cannot be read or written: {os.strerror(code)}") from e
        raise


def _free(path: Path) -> int:
    """Bytes free where `path` is or would be."""
    return shutil.disk_usage(next(p for p in (path, *path.absolute().parents) if p.exists())).free


def write_atomic(path: Path, text: str) -> None:
    """Temporary file, fsync, rename: readers see the old or the new content, never a part."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            # a lone surrogate, which a model can write, stays readable instead of failing the write
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_atomic(path, _lines(rows))


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows in one write that is on the disk when this returns; makes the file when there is none."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            _mend(file)
            # a lone surrogate becomes the escape that JSON has for it
            file.write(_lines(rows).encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a log, in order; no file is an empty one. DataError: unreadable, or a whole line that
    is no object."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise DataError(f"{path} cannot be read: {e.strerror}") from e
    rows = []
    *lines, tail = raw.split(b"\n")  # not splitlines(): a text may hold U+2028 and its like
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as e:  # UnicodeDecodeError is one
            raise DataError(f"{path}: line {number} is not JSON ({e})") from e
        if not isinstance(row, dict):
            raise DataError(f"{path}: line {number} is {type(row).__name__}; allowed: an object")
        rows.append(row)
    last = _whole(tail)
    return rows if last is None else [*rows, last]


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _whole(tail: bytes) -> dict[str, Any] | None:
    """The object of a last line without its newline; None: it is torn."""
    try:
        row = json.loads(tail)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _mend(file: BinaryIO) -> None:
    """Leaves the file at its end, which is that of a line."""
    length = _intact_length(file)
    file.seek(length)
    if _whole(file.read()) is not None:
        file.write(b"\n")
    else:
        file.truncate(length)
        file.seek(length)


def _intact_length(file: BinaryIO) -> int:
    """Bytes up to and with the last newline."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _TAIL)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


class RunDir:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_path = path / "metrics.jsonl"
        self.timings_path = path / "timings.jsonl"
        self.judge_path = path / "judge.jsonl"
        self._lap = time.monotonic()

    # life

    @classmethod
    def create(cls, path: Path, recipe_yaml: str, manifest: Mapping[str, Any]) -> RunDir:
        run = cls(path)
        run.check_free()
        write_json(path / "manifest.json", manifest)
        write_atomic(path / "recipe.yaml", recipe_yaml)  # last: it makes the folder a run
        return run

    def check_free(self) -> None:
        """Raises RunExistsError when a new run cannot begin here."""
        if (self.path / "recipe.yaml").is_file():
            raise RunExistsError(
                f"{self.path} holds a run: go on with it by --resume, or choose another --out"
            )
        # what a kill in the middle of `create` leaves does not count
        left = {"manifest.json", ".manifest.json.tmp", ".recipe.yaml.tmp"}
        if not self.path.exists() or (self.path.is_dir() and {p.name for p in self.path.iterdir()} <= left):
            return
        raise RunExistsError(f"{self.path} exists and is not a run: choose another --out")

    @classmethod
    def open(cls, path: Path) -> RunDir:
        if not (path / "recipe.yaml").is_file():
            raise RunExistsError(f"{path} is not a run directory (no recipe.yaml)")
        return cls(path)

    @property
    def judged_from(self) -> int:
        """The step from which on the present judge rewards: a judge may be mended."""
        path = self.path / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return max((judge["from_step"] for judge in manifest.get("judges", [])), default=1)

    # logs

    def append(self, file: Path, row: Mapping[str, Any]) -> None:
        """A row of `timings_path` also gets `total`: the seconds since this object's last one, or since it
        was made, so that no time between two rows goes uncounted."""
        if file == self.timings_path:
            began, self._lap = self._lap, time.monotonic()
            row = {**row, "total": self._lap - began}
        append_jsonl(file, [row])

    def rewind(self, phase: str, step: int) -> None:
        """Forget the metrics of `phase` from `step` on: a resume repeats them. Time spent stays spent."""
        if self.metrics_path.exists():
            rows = read_jsonl(self.metrics_path)
            write_jsonl(self.metrics_path, [r for r in rows if r["phase"] != phase or r["step"] < step])

    def save_rollouts(self, step: int, rows: list[dict[str, Any]]) -> None:
        write_jsonl(self.path / "rollouts" / f"step-{step:06d}.jsonl", rows)

    # checkpoints

    def checkpoints(self, phase: str) -> list[tuple[int, Path]]:
        """(step, folder) of the complete checkpoints of a phase, oldest first."""
        found = (self.path / "checkpoints").glob(f"{phase}-*")
        return sorted((int(p.name.rsplit("-", 1)[1]), p) for p in found if p.is_dir())

    def latest(self, phase: str) -> tuple[int, Path] | None:
        found = self.checkpoints(phase)
        return found[-1] if found else None

    def save_checkpoint(self, phase: str, step: int, write: Callable[[Path], None], keep: int = 1) -> Path:
        """`write(folder)` fills a temporary folder, which is synced and renamed; older ones beyond `keep`
        go."""
        target = self.path / "checkpoints" / f"{phase}-{step:06d}"
        temporary = target.with_name(f".{target.name}.tmp")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            if target.exists():
                return target
            temporary.mkdir()
            write(temporary)
            for file in sorted(temporary.rglob("*")):
                if file.is_file():  # safetensors lets only the owner read, whatever the umask allows
                    file.chmod(temporary.stat().st_mode & 0o666)
                _fsync(file)
            _fsync(temporary)
            os.rename(temporary, target)
            _fsync(target.parent)
        for _, old in self.checkpoints(phase)[:-keep]:
            shutil.rmtree(old)
        return target

    # stages

    def mark(self, stage: str, value: Mapping[str, Any]) -> None:
        """Remember that a stage is complete, with what later stages need of it."""
        write_json(self.path / "stages" / f"{stage}.json", value)

    def marked(self, stage: str) -> dict[str, Any] | None:
        path = self.path / "stages" / f"{stage}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
