"""Plans keep the splits apart and the quotas even; rows are pure functions of their arguments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from jsonschema import Draft202012Validator

from fivestones.environments.soap import knowledge
from fivestones.environments.soap.generate import generate, plan, version
from fivestones.environments.soap.realise import HELD_OUT
from fivestones.environments.soap.spec import INSTRUCTIONS, OUTPUT_SCHEMA, spec
from fivestones.errors import UsageError

KB = knowledge.load()
COLUMNS = [
    "id", "split", "specialty", "condition", "style", "dialogue", "note", "facts", "signature", "group",
    "seed",
    "provenance",
]  # fmt: skip


def test_splits_share_no_group_and_every_condition_is_in_both():
    n = 3 * len(KB.conditions)
    items = plan(KB, n, n, seed=1)
    train = [i for i in items if i.split == "train"]
    test = [i for i in items if i.split == "test"]
    assert (len(train), len(test)) == (n, n)
    assert not {i.group for i in train} & {i.group for i in test}
    every = {c.key for c in KB.conditions}
    assert {i.condition for i in train} == {i.condition for i in test} == every
    assert [i.index for i in items] == list(range(2 * n))


@pytest.mark.parametrize(("n_train", "n_test"), [(400, 240), (10, 3), (0, 5), (5, 0)])
def test_quotas_are_even(n_train, n_test):
    items = plan(KB, n_train, n_test, seed=0)
    assert len(items) == n_train + n_test
    for split in ("train", "test"):
        counts = Counter(i.condition for i in items if i.split == split)
        assert not counts or max(counts.values()) - min(counts[c.key] for c in KB.conditions) <= 1


def test_styles_of_the_splits():
    items = plan(KB, 200, 100, seed=2, held_out_share=0.3)
    assert sum(i.style == HELD_OUT for i in items if i.split == "test") == 30
    assert HELD_OUT not in {i.style for i in items if i.split == "train"}
    counts = Counter(i.style for i in items if i.split == "train")
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 1
    chosen = plan(KB, 20, 20, seed=2, styles=("clinic",), held_out_style=None)
    assert {i.style for i in chosen} == {"clinic"}


def test_wrong_styles_are_refused():
    with pytest.raises(UsageError, match="Did you mean `telephone`"):
        plan(KB, 1, 1, seed=0, styles=("telefone",))
    with pytest.raises(UsageError, match="held-out"):
        plan(KB, 1, 1, seed=0, styles=("clinic", "rambling"))


def test_a_row_is_pure_and_complete():
    item = plan(KB, 4, 2, seed=7)[3]
    row = generate(KB, item, 7, "short")
    assert row == generate(KB, item, 7, "short")
    assert list(row) == COLUMNS
    assert Draft202012Validator(OUTPUT_SCHEMA).is_valid(json.loads(row["note"]))
    provenance = json.loads(row["provenance"])
    assert provenance["sex"] == item.cell.sex and item.cell.age[0] <= provenance["age"] <= item.cell.age[1]


ROWS = """
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.generate import generate, plan
kb = knowledge.load()
print([generate(kb, item, 7, length) for length in ("short", "long") for item in plan(kb, 20, 10, seed=7)])
"""


def test_rows_are_the_same_in_every_process():
    """Sets of strings have another order under another hash seed."""
    made = {
        subprocess.run(
            [sys.executable, "-c", ROWS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(made) == 1 and len(made.pop()) > 60 * 500


def test_seed_index_and_retry_each_change_the_scenario():
    first, second = plan(KB, 2, 0, seed=7)
    rows = [
        generate(KB, first, 7, "short"), generate(KB, first, 8, "short"),
        generate(KB, first, 7, "short", retry=1), generate(KB, second, 7, "short"),
    ]  # fmt: skip
    assert len({r["signature"] for r in rows}) == 4
    assert rows[0]["group"] == rows[2]["group"] and rows[0]["condition"] == rows[2]["condition"]


def test_duplicates_are_rare_enough_to_retry():
    rows = [generate(KB, i, 0, "short") for i in plan(KB, 300, 100, seed=0)]
    assert len({r["signature"] for r in rows}) >= 396
    assert len({r["dialogue"] for r in rows}) == 400


def test_the_version_is_of_code_and_knowledge_alone(tmp_path):
    def of(name, files):
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(text)
        return version(tmp_path / name)

    plain = {"a.py": b"x = 1\ny = 2\n", "kb/b.yaml": b"cough: {}\n"}
    same = [
        dict(reversed(plain.items())),
        {path: text.replace(b"\n", b"\r\n") for path, text in plain.items()},
        {**plain, "spec.py": b"a prompt", "__pycache__/a.cpython-311.pyc": b"1", "kb/notes.txt": b"2"},
    ]
    other = [
        {**plain, "a.py": b"x = 2\ny = 2\n"},
        {**plain, "kb/b.yaml": b"fever: {}\n"},
        {"a.py": plain["a.py"], "kb/c.yaml": plain["kb/b.yaml"]},
        {"a.py": plain["a.py"] + plain["kb/b.yaml"], "kb/b.yaml": b""},
    ]
    first = of("plain", plain)
    assert {of(f"same{i}", files) for i, files in enumerate(same)} == {first}
    assert len({first, *(of(f"other{i}", files) for i, files in enumerate(other))}) == 5
    assert version().startswith("soap-grammar-1 ") and version() == version()


def test_the_spec():
    part = spec()
    assert part.reference == "note" and part.cluster == "condition"
    assert [c.field for c in part.criteria] == ["S", "O", "A", "P"]
    assert len(INSTRUCTIONS.split()) < 75
    check = Draft202012Validator(OUTPUT_SCHEMA)
    good = {"S": "a", "O": "b", "A": "c", "P": "d"}
    assert check.is_valid(good)
    for bad in ({**good, "X": "e"}, {**good, "S": ""}, {**good, "S": " "}, {**good, "S": 1}, {"S": "a"}):
        assert not check.is_valid(bad)
