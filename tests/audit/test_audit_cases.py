from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fivestones.audit.cases import fields_of, in_half, read_cases
from fivestones.errors import DataError

ROW = {"dialogue": "Doctor: Hello?", "reference": "Coughs.", "summary": "Cough.", "human": {"FactualF1": 0.5}}


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "human.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def without(*names: str) -> dict[str, Any]:
    return {k: v for k, v in ROW.items() if k not in names}


def test_a_summary_is_one_text(tmp_path: Path) -> None:
    (case,) = read_cases(write(tmp_path, {**ROW, "dialogue_id": 7, "system": "a"}))
    assert case.output == {"note": "Cough."} and case.human == {"FactualF1": 0.5}
    assert case.task.reference == {"source": "Doctor: Hello?", "output": {"note": "Coughs."}}
    assert case.task.cluster == "7" and case.task.prompt[0].content == "Doctor: Hello?"


def test_an_output_has_fields(tmp_path: Path) -> None:
    row = {
        **without("summary"),
        "output": {"S": "a", "O": "b"},
        "reference": {"O": "d", "S": "c"},
        "facts": [{"id": "S0", "section": "S", "concept": "cough"}],
        "human": {"S": True, "O": False, "A": None},
    }
    (case,) = read_cases(write(tmp_path, row))
    assert fields_of([case]) == ("S", "O")
    assert case.human == {"S": 1.0, "O": 0.0}
    assert set(case.task.reference) == {"source", "output", "facts"}


def test_facts_may_be_json(tmp_path: Path) -> None:
    facts = [{"id": "S0", "section": "note", "concept": "cough"}]
    (case,) = read_cases(write(tmp_path, {**ROW, "facts": json.dumps(facts)}))
    assert case.task.reference["facts"] == facts


def test_what_does_not_apply_is_unknown(tmp_path: Path) -> None:
    human = {"FactualF1": 0, "OmissionRate": -1, "HallucinationRate": None}
    (case,) = read_cases(write(tmp_path, {**ROW, "human": human}))
    assert case.human == {"FactualF1": 0.0}


def test_outputs_of_one_dialogue_are_one_cluster_and_one_task(tmp_path: Path) -> None:
    rows = [
        ROW,
        {**ROW, "summary": "Other."},
        {**ROW, "dialogue": "Doctor: Yes?"},
        {**ROW, "reference": "Else."},
    ]
    a, b, c, d = (case.task for case in read_cases(write(tmp_path, *rows)))
    assert a == b and a.cluster == d.cluster != c.cluster
    assert a.id != d.id  # another reference is judged otherwise


def test_halves_are_disjoint_whole_and_stay() -> None:
    names = [str(i) for i in range(50)]
    tune = [n for n in names if in_half(n, "tune")]
    report = [n for n in names if in_half(n, "report")]
    assert sorted([*tune, *report]) == sorted(names) and all(in_half(n, "all") for n in names)
    assert (len(tune), len(report)) == (19, 31)  # as in the published figures
    assert in_half("0", "report")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (without("human"), "no column `human`|human"),
        ({**ROW, "dialogue": " "}, "row 1: `dialogue` is empty; allowed: a text"),
        (without("summary"), "give exactly one of `summary`"),
        ({**ROW, "output": {"S": "a"}}, "give exactly one of `summary`"),
        ({**without("summary"), "output": {}}, "allowed: an object with the fields"),
        ({**without("summary"), "output": {"S": "a"}}, "`reference` is a text; allowed: like the output"),
        ({**ROW, "human": [1]}, "`human` is list; allowed: an object"),
        ({**ROW, "human": {"F": "good"}}, "`human.F` is 'good'; allowed: a number of at least 0"),
        ({**ROW, "human": {"F": -0.5}}, "`human.F` is -0.5"),
        ({**ROW, "human": {"F": float("nan")}}, "`human.F` is nan"),
        ({**ROW, "facts": "[{"}, "row 1: `facts` is not JSON"),
        ({**ROW, "facts": {"id": "S0"}}, "row 1: `facts`: allowed: a list of objects with the texts id"),
        ({**ROW, "facts": [{"section": "S", "concept": "cough"}]}, "row 1: `facts`: allowed: a list"),
    ],
)
def test_unfit_rows_are_named(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_cases(write(tmp_path, row))


def test_one_kind_of_output_in_a_file(tmp_path: Path) -> None:
    other = {**without("summary", "reference"), "output": {"S": "a"}}
    with pytest.raises(DataError, match="different fields"):
        read_cases(write(tmp_path, ROW, other))


def test_no_file_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_cases(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no rows"):
        read_cases(write(tmp_path))
