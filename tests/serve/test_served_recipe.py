"""A recipe whose judge is a model that the run serves itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from fivestones.build import Job
from fivestones.build_data import sample_data
from fivestones.errors import UsageError
from fivestones.evaluate.identity import judge_digest
from fivestones.recipe_load import load_recipe
from fivestones.serve import engines

SERVED = {"kind": "llm", "serve": {"context": 2048}}


def test_a_served_judge_is_built_and_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_has", lambda python, module: True)
    recipe = load_recipe("soap", "smoke", {"judge": SERVED})
    job = Job(recipe, sample_data(recipe, 2), tmp_path / "run")
    assert job.criteria == ("S", "O", "A", "P") and job.judges.usage is not None
    assert not (tmp_path / "run").exists()  # the server's log begins with the first question


def test_another_served_model_is_another_judge(tmp_path: Path) -> None:
    other = tmp_path / "j.gguf"
    other.write_bytes(b"GGUF")
    parts = [{**SERVED, "serve": {**SERVED["serve"], **changed}} for changed in ({}, {"threads": 7})]  # type: ignore[dict-item]
    first, patient = (judge_digest(load_recipe("soap", "smoke", {"judge": part})) for part in parts)
    assert first == patient  # how fast it is served is no opinion
    changed = {"kind": "llm", "serve": {"context": 2048, "source": str(other)}}
    assert judge_digest(load_recipe("soap", "smoke", {"judge": changed})) != first


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        ({"kind": "llm"}, "or `serve`"),
        ({**SERVED, "model": "m"}, "not both"),
        ({"kind": "facts", "serve": {}}, "serve goes with kind llm"),
    ],
)
def test_impossible_servers(judge: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_recipe("soap", "smoke", {"judge": judge})
