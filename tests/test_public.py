"""The public face: what `fivestones` exports, and only that."""

from __future__ import annotations

from pathlib import Path

import pytest

import fivestones


@pytest.mark.parametrize("name", sorted(set(fivestones.__all__) - {"__version__", "doctor", "init"}))
def test_every_name_of_all_is_the_api_s(name: str) -> None:
    api = pytest.importorskip("fivestones.api", exc_type=ImportError)
    assert getattr(fivestones, name) is getattr(api, name)
    assert callable(getattr(fivestones, name))


def test_doctor_and_init_are_verbs_too_whatever_was_imported() -> None:
    from fivestones.doctor import examine
    from fivestones.init import init_job

    assert fivestones.doctor is examine
    assert fivestones.init is init_job


def test_init_takes_paths_as_text(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"text": "printer {i} burns", "urgent": {str(i % 2 == 0).lower()}}}\n'
                            for i in range(60)))  # fmt: skip
    made = fivestones.init("tickets", str(data), str(tmp_path), echo=lambda line: None)
    assert made[0] == tmp_path / "tickets.yaml"


def test_dir_equals_all_and_other_names_are_not_there() -> None:
    assert dir(fivestones) == sorted(fivestones.__all__)
    with pytest.raises(AttributeError, match="trane"):
        fivestones.trane  # noqa: B018
