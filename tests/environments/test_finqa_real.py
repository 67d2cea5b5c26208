"""Loaders of the real data sets, on small files in their formats."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attempts import rollout
from fivestones.build import Job
from fivestones.build_data import load_data, sample_data
from fivestones.environments.finqa import real_files
from fivestones.environments.finqa.real import Loaded, load_rllm, load_snorkel, must_train
from fivestones.errors import DataError, UsageError
from fivestones.recipe import FinqaPart, Recipe
from fivestones.recipe_load import load_recipe
from fivestones.types import Score

RLLM = [
    "user_query",
    "id",
    "question_type",
    "question",
    "answer",
    "explanation",
    "company",
    "table_name",
    "columns_used_json",
    "rows_used_json",
]
SNORKEL = ["id", "user_query", "company", "question", "answer", "question_type", "explanation"]
FRAME = {"item": {"0": "Revenue", "1": "Cost"}, "2024": {"0": 1234.50, "1": None}, " ": {"0": True, "1": "—"}}


def sheet(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def asked(name: str, company: str = "acme", **more: str) -> dict[str, str]:
    base = {"id": name, "company": company, "question": f"What is {name}?", "answer": "12.5%"}
    return {**base, "question_type": "single_table", "table_name": "income", **more}


def summary(**tables: Any) -> str:
    entry = {
        "description": "In millions",
        "column_names": ["item"],
        "unique_vals_per_col": {},
        "company": "acme",
    }
    return json.dumps({name: {"table": json.dumps(of), **entry} for name, of in tables.items()})


def rllm_files(train: Sequence[Mapping[str, str]], **more: str) -> dict[str, str]:
    return {
        "data/train_finqa.csv": sheet(RLLM, train),
        "data/val_finqa.csv": sheet(RLLM, [asked("v1")]),
        "data/company_tables/acme/tables_cleaned_all_companies.json": summary(income=FRAME, debt=FRAME),
        "data/company_tables/acme/income.txt": "not read",
        **more,
    }


def unpacked(path: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, "utf-8")
    return path


def packed(path: Path, files: Mapping[str, str], *members: tarfile.TarInfo) -> Path:
    archive = path / "data.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            out.addfile(info, io.BytesIO(text.encode()))
        for member in members:
            out.addfile(member, io.BytesIO(b"x" * member.size))
    return archive


@pytest.mark.parametrize("form", ["archive", "folder", "folder of data"])
def test_rllm_as_archive_or_folder(tmp_path: Path, form: str) -> None:
    long = "e" * 300_000  # beyond the csv module's own limit of a field
    multi = asked("q2", table_name='["income", "debt"]', question_type="multi_table", company="Acme")
    files = rllm_files([asked("q1", explanation=long), multi])
    if form == "archive":
        loaded = load_rllm(packed(tmp_path, files))
    else:
        loaded = load_rllm(unpacked(tmp_path, files) / ("data" if form == "folder of data" else ""))
    assert {split: [row["id"] for row in rows] for split, rows in loaded.rows.items()} == {
        "train": ["q1", "q2"],
        "val": ["v1"],
        "test": [],
    }
    one, two = loaded.rows["train"]
    assert (one["level"], one["family"], json.loads(one["tables"])) == ("single", "single_table", ["income"])
    assert (two["level"], json.loads(two["tables"]), two["company"]) == ("multi", ["income", "debt"], "acme")
    assert (one["answer"], one["plan"], one["fewest"], one["split"]) == ("12.5%", "[]", None, "train")
    table = loaded.tables["acme"]["income"]
    assert table.columns == ("item", "2024", "column_3") and table.description == "In millions"
    assert table.rows == (("Revenue", "1234.5", "True"), ("Cost", None, "—"))
    assert not loaded.evaluation_only and loaded.told == []
    must_train(loaded)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("NaN", []),
        ("", []),
        ("income", ["income"]),
        ('["debt.json"]', ["debt"]),
        ('"debt"', ["debt"]),
        ("[", []),
    ],
)
def test_table_names_in_all_their_forms(tmp_path: Path, value: str, names: list[str]) -> None:
    loaded = load_rllm(unpacked(tmp_path, rllm_files([asked("q1", table_name=value)])))
    assert json.loads(loaded.rows["train"][0]["tables"]) == names
    assert bool(loaded.told) == (value == "[")  # a bare name of no table


def test_numbers_stay_as_written_and_rows_in_order(tmp_path: Path) -> None:
    frame = '{"n": {"10": 1.10, "2": 12345678901234567890, "0": NaN}, "list": ["a", 1e3]}'
    entry = json.dumps({"t": {"table": frame}})
    more = {"data/company_tables/acme/tables_cleaned_all_companies.json": entry}
    loaded = load_rllm(unpacked(tmp_path, rllm_files([asked("q1")], **more)))
    rows = loaded.tables["acme"]["t"].rows
    assert rows == ((None, "a"), (None, "1e3"), ("12345678901234567890", None), ("1.10", None))


def test_what_is_unfit_is_left_out_and_told(tmp_path: Path) -> None:
    cleaned = "data/company_tables/{}/tables_cleaned_all_companies.json"
    tables = json.loads(summary(income=FRAME, columns={}, twins={"A": {"0": 1}, "a": {"0": 2}}, flat=[1]))
    tables |= {"torn": {"table": '{"a": {"0": '}, "absent": {}, "text": 7, "Income": tables["income"]}
    files = rllm_files(
        [
            asked("q1"),
            asked("q1"),
            asked("q3", company="gone"),
            asked("q4", answer=" "),
            asked("q5", table_name="x"),
        ],
        **{
            cleaned.format("acme"): json.dumps(tables),
            cleaned.format("torn"): '{"a": {',
            cleaned.format("n"): "3",
        },
    )
    loaded = load_rllm(unpacked(tmp_path, files))
    assert list(loaded.tables["acme"]) == ["income"] and list(loaded.tables) == ["acme"]
    assert [row["id"] for row in loaded.rows["train"]] == ["q1", "q5"]
    told = {line.partition(":")[0]: line for line in loaded.told}
    assert set(told) == {
        "table is unfit",
        "table is no JSON",
        "table is no object",
        "table comes twice",
        "file is no JSON",
        "file holds no tables",
        "question has an id that was there before",
        "question about a company without tables",
        "question without answer",
        "question names a table that is not there (kept, without the name)",
    }
    assert ": 4, first" in told["table is unfit"]
    assert told["question about a company without tables"].endswith("train row 3: gone")


def test_nothing_fit_is_an_error_that_says_why(tmp_path: Path) -> None:
    files = {"data/train_finqa.csv": sheet(RLLM, [asked("q1")])}
    with pytest.raises(DataError, match=r"no fit question.*without tables: 1, first train row 1: acme"):
        load_rllm(unpacked(tmp_path, files))
    with pytest.raises(DataError, match="none at all"):
        load_rllm(packed(tmp_path, {"other.csv": "a"}))
    with pytest.raises(DataError, match="no such folder"):
        load_rllm(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["id,company\n1,acme\n", "", "\x00\xff"])
def test_a_sheet_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"train_finqa\.csv"):
        load_rllm(unpacked(tmp_path, {"data/train_finqa.csv": text}))


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def test_hostile_members_are_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(sheet(RLLM, [asked("stolen")]), "utf-8")
    hostile = [
        _member("data/test_finqa.csv", tarfile.SYMTYPE, str(secret)),
        _member("data/../../etc/train_finqa.csv", size=3),
        _member(str(secret)),
        _member("data/company_tables/pipe/tables_cleaned_all_companies.json", tarfile.FIFOTYPE),
        _member("data/company_tables/dev/tables_cleaned_all_companies.json", tarfile.CHRTYPE),
        _member("data/company_tables/link/tables_cleaned_all_companies.json", tarfile.LNKTYPE, "/etc/passwd"),
    ]
    loaded = load_rllm(packed(tmp_path, rllm_files([asked("q1")]), *hostile))
    assert loaded.rows["test"] == [] and list(loaded.tables) == ["acme"]
    assert loaded.told == ["is no plain file within the archive: 6, first data/test_finqa.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data.tar.gz",
        "secret.csv",
    ]  # nothing extracted


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path, rllm_files([asked("q1")]), _member("bomb", size=200_000))
    monkeypatch.setattr(real_files, "LARGEST", 300)
    with pytest.raises(DataError, match="larger than"):
        load_rllm(archive)
    monkeypatch.setattr(real_files, "MOST", 100_000)
    with pytest.raises(DataError, match="no such data set"):
        load_rllm(archive)


def test_a_torn_archive(tmp_path: Path) -> None:
    whole = packed(tmp_path, rllm_files([asked(f"q{i}") for i in range(2000)])).read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:200] + b"\xff" * 200 + whole[400:]):
        torn = tmp_path / "torn.tar.gz"
        torn.write_bytes(content)
        with pytest.raises(DataError, match=r"no whole tar archive|no column") as told:
            load_rllm(torn)
        assert len(str(told.value)) < 1000


def snorkel(path: Path, **more: str) -> Loaded:
    about = {
        "acme/income": {"table": json.dumps(FRAME), "description": "In millions"},
        "acme/only": {"table": "{}"},
    }
    question = {"id": "1", "user_query": "For acme: what?", "company": "acme", "question": "What?"}
    answer = {"answer": r"\boxed{6.28\%}", "question_type": "multi-table ratio"}
    files = {
        "benchmark_questions/finqa.csv": sheet(SNORKEL, [{**question, **answer}]),
        "input_companies/acme/income.json": json.dumps({"item": {"0": "Sales"}}),
        "input_companies/acme/notes.json": json.dumps({"note": {"0": "x"}}),
        "input_companies/tables_cleaned_all_companies.json": json.dumps(about),
    }
    return load_snorkel(unpacked(path, {**files, **more}))


def test_snorkel_is_for_evaluation_only(tmp_path: Path) -> None:
    loaded = snorkel(tmp_path)
    assert list(loaded.tables["acme"]) == ["income", "notes"]  # `only` has no column
    income = loaded.tables["acme"]["income"]
    assert (income.description, income.rows) == ("In millions", (("Sales",),))
    (row,) = loaded.rows["test"]
    assert (row["answer"], row["level"], row["tables"]) == (r"\boxed{6.28\%}", "multi", "[]")
    assert not loaded.rows["train"] and loaded.evaluation_only
    with pytest.raises(UsageError, match="evaluation only"):
        must_train(loaded)


def public(form: str, folder: Path, tested: str = "test") -> Recipe:
    """The recipe of a run on a public set."""
    changes = {
        "environment.finqa": {"format": form, "data": str(folder), "tested": tested, "levels": ["single"]},
        "world": None,
        "warmup.kind": "none",
        "evaluate.contestants": ["base", "trained"],
    }
    return load_recipe("finqa", "smoke", changes)


def test_a_run_does_not_train_on_snorkel(tmp_path: Path) -> None:
    snorkel(tmp_path)
    recipe = public("snorkel", tmp_path)
    with pytest.raises(UsageError, match="evaluation only"):
        load_data(recipe, tmp_path)
    with pytest.raises(UsageError, match="evaluation only"):
        sample_data(recipe, 1)


def test_questions_that_are_left_out_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = unpacked(tmp_path, rllm_files([asked("q1"), asked("q2", company="nobody")]))
    assert len(load_data(public("rllm", folder, tested="val"), tmp_path).rows["train"]) == 1
    (line,) = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert "q2" in line or ": 1, first" in line


def test_what_a_further_set_leaves_out_is_told_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snorkel(tmp_path, **{"input_companies/acme/income.json": '{"item": {'})
    recipe = load_recipe("finqa", "smoke")
    Job(recipe, sample_data(recipe, 1)).extra_set("snorkel", tmp_path)
    assert any("left out" in r.getMessage() and "income.json" in r.getMessage() for r in caplog.records)


def test_a_run_on_rllm_does_not_know_the_fewest_calls(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, rllm_files([asked("q1", table_name="[]")]))
    recipe = public("rllm", folder, tested="val")  # the test questions of this file are none
    job = Job(recipe, load_data(recipe, tmp_path))
    (task,) = job.tasks("train")
    episode = rollout(task, "FINAL ANSWER: 12.5%")
    (score,) = job.scorer(task, [episode])
    assert score.reward == 1.0
    assert job.diagnose is not None and job.diagnose(task, episode, score)["calls_over_fewest"] is None
    # what the environment broke off, or nobody could score, tells nothing of the model
    assert job.diagnose(task, replace(episode, finish="error"), score) == {}
    assert job.diagnose(task, episode, Score(reward=None, unscored={"answer": "timeout"})) == {}


@pytest.mark.parametrize(("given", "reward"), [({}, 1.0), ({"grading": "strict"}, 0.0)])
def test_a_public_set_is_graded_as_it_writes_its_answers(
    tmp_path: Path, given: dict[str, str], reward: float
) -> None:
    """Its answers are boxed, which the strict grader of the made world does not read."""
    snorkel(tmp_path)
    recipe = load_recipe("finqa", "smoke", {f"environment.finqa.{k}": v for k, v in given.items()})
    extra = Job(recipe, sample_data(recipe, 1)).extra_set("snorkel", tmp_path)
    (task,) = extra.tasks
    (score,) = extra.scorer(task, [rollout(task, "FINAL ANSWER: 6.28 %")])
    assert score.reward == reward


def test_the_recipes_own_questions_are_strict_where_they_are_made_here() -> None:
    assert FinqaPart().graded == "strict"
    assert FinqaPart(format="rllm", data=Path("x")).graded == "openenv"
    assert FinqaPart(format="rllm", data=Path("x"), grading="strict").graded == "strict"


def test_a_torn_file_of_snorkel_falls_back_on_the_summary(tmp_path: Path) -> None:
    loaded = snorkel(tmp_path, **{"input_companies/acme/income.json": '{"item": {'})
    assert loaded.tables["acme"]["income"].columns == ("item", "2024", "column_3")
    assert any("income.json" in line for line in loaded.told)
