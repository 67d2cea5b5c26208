from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_soap import Generator, Item, items_of

from fivestones.data.certificate import verify
from fivestones.data.embed import HashedEmbedder
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome, settings_of, synthesize
from fivestones.errors import DataError, RunExistsError
from fivestones.recipe import SynthPart

SETTINGS = {"seed": 1, "generator": "fake 1"}


def _synthesize(folder: Path, items: list[Item], generator: Generator, **options: Any) -> Outcome:
    options = {"settings": SETTINGS, "embedder": HashedEmbedder(), **options}
    return synthesize(items, generator, generator.paraphrase, folder, **options)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}


def test_counts_are_exact_and_duplicates_are_made_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    items = items_of(40, 20)
    outcome = _synthesize(tmp_path, items, Generator(clones=(3, 8, 45)), progress=lambda *p: seen.append(p))
    assert outcome.new and outcome.message.endswith("60 rows, no duplicates")
    assert sorted(os.listdir(tmp_path)) == ["certificate.json", "test.parquet", "train.parquet"]
    train, test = (read_rows(tmp_path / f"{split}.parquet") for split in ("train", "test"))
    assert [r["id"] for r in train] == [f"train-{i:05d}" for i in range(40)]
    assert [r["id"] for r in test] == [f"test-{i:05d}" for i in range(40, 60)]
    # items 3, 8 and 45 repeat item 0: the test row stays, the train rows (item 0 too) are made again
    retried = [i for i, r in enumerate(train + test) if json.loads(r["provenance"])["retry"]]
    assert retried == [0, 3, 8]
    made = outcome.certificate["made"]
    assert (made["generated"], sum(made["removed"].values())) == (63, 3)
    assert verify(tmp_path) == []
    assert all(0 <= done <= total for done, total, _ in seen) and seen[-1][2] == "written"


def test_the_result_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    items = items_of(240, 60)
    for workers in (1, 3):
        _synthesize(tmp_path / str(workers), items, Generator(clones=(7,)), workers=workers)
    assert _bytes(tmp_path / "1") == _bytes(tmp_path / "3")


def test_doing_it_again_does_nothing_and_other_settings_are_refused(tmp_path: Path) -> None:
    items = items_of(30, 10)
    _synthesize(tmp_path, items, Generator())
    before = _bytes(tmp_path)
    again = _synthesize(tmp_path, items, Generator())
    assert not again.new and "nothing to do" in again.message and _bytes(tmp_path) == before
    with pytest.raises(RunExistsError, match=r"other settings \(seed: 1 there, 2 asked\); choose another"):
        _synthesize(tmp_path, items, Generator(), settings=SETTINGS | {"seed": 2})
    (tmp_path / "train.parquet").write_bytes(b"")
    with pytest.raises(RunExistsError, match=r"train.parquet is missing or was changed"):
        _synthesize(tmp_path, items, Generator())
    (tmp_path / "certificate.json").unlink()
    with pytest.raises(RunExistsError, match=r"has train.parquet but no certificate.json"):
        _synthesize(tmp_path, items, Generator())


def test_another_version_of_the_generator_continues_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    newer = SETTINGS | {"generator": "fake 2"}
    with pytest.raises(ZeroDivisionError):
        synthesize(items_of(250, 0), _Failing(range(200, 250)), Generator().paraphrase, tmp_path, **_OPTIONS)
    with pytest.raises(
        RunExistsError, match=r"unfinished attempt .*generator: 'fake 1' there, 'fake 2' asked"
    ):
        _synthesize(tmp_path, items_of(250, 0), Generator(), settings=newer)
    _synthesize(tmp_path, items_of(250, 0), Generator())
    before = _bytes(tmp_path)
    kept = _synthesize(tmp_path, items_of(250, 0), Generator(), settings=newer)
    assert not kept.new and _bytes(tmp_path) == before
    assert "another version of the generator (fake 1): for new ones choose another directory" in kept.message


def test_workers_are_not_a_setting() -> None:
    one, two = (settings_of(SynthPart(workers=n), seed=0, generator="g") for n in (1, 2))
    assert one == two and one["synth"]["train"] == 400


def test_a_generator_without_variety_is_an_error_that_names_the_conditions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"still repeat others, most in: condition 0 \("):
        _synthesize(tmp_path, items_of(40, 0, conditions=2), Generator(variety=11))


def test_small_data_is_possible_and_no_data_is_not(tmp_path: Path) -> None:
    assert _synthesize(tmp_path / "a", items_of(3, 1), Generator()).certificate["summary"]["rows"] == 4
    assert verify(tmp_path / "a") == []
    with pytest.raises(DataError, match="no items"):
        _synthesize(tmp_path / "b", [], Generator())


SCRIPT = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from fake_soap import Generator, items_of
from fivestones.data.embed import HashedEmbedder
from fivestones.data.synth import synthesize
if __name__ == "__main__":
    g = Generator(clones=(5,), pause=0.004)
    synthesize(items_of(500, 100), g, g.paraphrase, Path(sys.argv[1]),
               settings={"seed": 1, "generator": "fake 1"}, embedder=HashedEmbedder(), workers=2)
"""


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [p for p in sys.path if p]
    kept = -1
    for wait_for in (1, 4):  # parts on disk when the kill comes
        process = subprocess.Popen([sys.executable, str(script), str(tmp_path / "killed"), *paths])
        parts = tmp_path / "killed" / ".parts"
        deadline = time.monotonic() + 60
        while len(list(parts.glob("r0*.jsonl"))) < wait_for:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = max(kept, len(list(parts.glob("r0*.jsonl"))))
    assert 4 <= kept < 7 and not (tmp_path / "killed" / "certificate.json").exists()
    with pytest.raises(RunExistsError, match="unfinished attempt with other settings"):
        _synthesize(tmp_path / "killed", items_of(500, 100), Generator(), settings=SETTINGS | {"seed": 2})
    _synthesize(tmp_path / "killed", items_of(500, 100), Generator(clones=(5,)))
    _synthesize(tmp_path / "whole", items_of(500, 100), Generator(clones=(5,)))
    assert _bytes(tmp_path / "killed") == _bytes(tmp_path / "whole")


def test_a_part_on_disk_is_not_made_again(tmp_path: Path) -> None:
    """The second attempt has a generator that fails on the rows of the parts that are there."""
    items = items_of(250, 0)
    with pytest.raises(ZeroDivisionError):
        synthesize(items, _Failing(range(200, 250)), Generator().paraphrase, tmp_path, **_OPTIONS)
    assert len(list((tmp_path / ".parts").glob("*.jsonl"))) == 2
    resumed = _Failing(range(200), always=False)
    synthesize(items, resumed, Generator().paraphrase, tmp_path, **_OPTIONS)
    assert verify(tmp_path) == []


_OPTIONS: dict[str, Any] = {"settings": SETTINGS, "embedder": HashedEmbedder()}


class _Failing:
    """Fails on first attempts (or, with always, any attempt) at the given items."""

    def __init__(self, at: range, always: bool = True) -> None:
        self.at, self.always = at, always

    def __call__(self, item: Item, retry: int) -> dict[str, Any]:
        if item.index in self.at and (self.always or retry == 0):
            raise ZeroDivisionError
        return Generator()(item, retry)
