from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_soap import Generator, items_of

from fivestones.data import certificate
from fivestones.data.certificate import read, verify
from fivestones.data.embed import HashedEmbedder
from fivestones.data.store import read_rows, sha256, write_rows
from fivestones.data.synth import synthesize
from fivestones.errors import DataError

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    generator = Generator()
    settings = {"seed": 1}
    model = HashedEmbedder()
    synthesize(items_of(60, 20), generator, generator.paraphrase, folder, settings=settings, embedder=model)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def _tamper(folder: Path, change: Callable[[Rows, Rows], None], *, forge: bool) -> set[str]:
    """Changes the rows; with forge also file hashes and the certificate's digest. Codes that verify finds."""
    train, test = (read_rows(folder / f"{split}.parquet") for split in ("train", "test"))
    change(train, test)
    write_rows(folder / "train.parquet", train)
    write_rows(folder / "test.parquet", test)
    if forge:
        _forge(
            folder, {"files": {f"{s}.parquet": sha256(folder / f"{s}.parquet") for s in ("train", "test")}}
        )
    return {finding.code for finding in verify(folder)}


def _forge(folder: Path, changes: dict[str, Any]) -> None:
    body = read(folder) | changes
    body["digest"] = certificate._digest({k: v for k, v in body.items() if k != "digest"})
    (folder / "certificate.json").write_text(json.dumps(body))


def test_the_certificate_says_what_is_needed_and_holds(folder: Path) -> None:
    body = read(folder)
    assert verify(folder) == []
    assert body["summary"]["splits"]["test"]["rows"] == 20 and body["summary"]["groups_shared"] == 0
    assert body["embedding"]["text"] == ["note", "facts"] and len(body["embedding"]["sha256"]) == 64
    at = body["calibration"]
    assert at["across"] < at["within"] and at["precision"] == at["recall"] == 1.0
    assert at["positives"] >= 40 and at["rival"]["text"] == ["dialogue"]
    for nearest, most in (("nearest_within", at["within"]), ("nearest_across", at["across"])):
        told = body["summary"] if nearest == "nearest_across" else body["summary"]["splits"]["train"]
        assert told[nearest]["max"] <= most


def _repeat(train: Rows, test: Rows) -> None:
    train[5] = train[4] | {"id": train[5]["id"], "group": train[5]["group"]}


def _append(train: Rows, test: Rows) -> None:
    train.append(dict(train[0]))


def _move(train: Rows, test: Rows) -> None:
    test.append(train.pop())


def _copy_across(train: Rows, test: Rows) -> None:
    train[0] = test[0] | {"split": "train"}


def _word(train: Rows, test: Rows) -> None:
    train[0]["dialogue"] = train[0]["dialogue"].replace("Doctor", "Nurse")


def _reword(train: Rows, test: Rows) -> None:
    """The facts of one test row retold in train: other words and one number, another signature."""
    facts = json.loads(test[0]["facts"])
    facts[0]["value"] = "99"
    told = {
        "dialogue": "Patient: so, as I said",
        "facts": json.dumps(facts),
        "signature": "another",
        "id": "new",
    }
    train[0] = test[0] | told | {"split": "train", "group": train[0]["group"]}


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (_repeat, {"exact", "summary"}),
        (_append, {"id", "exact", "summary"}),
        (_move, {"split", "summary"}),
        (_copy_across, {"id", "exact", "group", "summary"}),
        (_word, set()),  # only the file's hash tells
        (_reword, {"cosine_across", "summary"}),
    ],
)
def test_tampering_is_found(
    folder: Path, tmp_path: Path, change: Callable[[Rows, Rows], None], codes: set[str]
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert {"file"} | codes <= _tamper(folder, change, forge=False)
    found = _tamper(copy, change, forge=True)
    assert "file" not in found and codes <= found


def test_an_edited_certificate_is_found(folder: Path) -> None:
    path = folder / "certificate.json"
    path.write_text(path.read_text().replace('"rows": 80', '"rows": 81'))
    assert {finding.code for finding in verify(folder)} == {"certificate", "summary"}


def test_missing_pieces(folder: Path) -> None:
    (folder / "test.parquet").unlink()
    assert "test.parquet is not the certified file" in " ".join(map(str, verify(folder)))
    (folder / "train.parquet").unlink()
    with pytest.raises(DataError, match=r"neither train.parquet nor test.parquet"):
        verify(folder)
    (folder / "certificate.json").write_text("{}")
    with pytest.raises(DataError, match="not a data certificate"):
        verify(folder)
    (folder / "certificate.json").unlink()
    with pytest.raises(DataError, match="no such file; the data is not finished"):
        verify(folder)
