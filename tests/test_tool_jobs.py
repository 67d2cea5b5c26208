"""Jobs with tools from their recipe to their report: one's own, one over a server, one on real files."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import fivestones
import tiny_job
from fivestones.build import Job, served_environment
from fivestones.build_data import Data, load_data, sample_data
from fivestones.cli import app
from fivestones.cli.env import reachable
from fivestones.errors import DataError, UsageError
from fivestones.recipe_load import load_recipe
from fivestones.stages.shared import _right
from fivestones.types import Message

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "tools_job.py"
REMOTE = "{kind: openenv, max_turns: 3, openenv: {url: 'ws://127.0.0.1:9/ws'}}"
RLLM = "{kind: finqa, max_turns: 8, finqa: {format: rllm, data: real}}"
FEW = {"evaluate.tasks": 2, "train.steps": 1, "generation.max_tokens": 100}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_job.model_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The job that the tests of remote environments serve."""
    monkeypatch.syspath_prepend(str(HERE / "environments"))
    import sums_job

    from fivestones.environments.openenv import ServedThread

    with ServedThread(sums_job.Sums) as server:
        yield server


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    return folder / "job.yaml"


def phases(run: fivestones.Run) -> list[str]:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    return list(dict.fromkeys(row["phase"] for row in rows))


def own_job(folder: Path, module: str, code: str) -> Path:
    """The example's recipe, beside its module and rows."""
    recipe = write(
        folder,
        f'name: own\nenvironment: {{kind: "{module}:Shop", max_turns: 3}}\n'
        "files: {train: rows.jsonl, test: rows.jsonl}\n",
    )
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    priced = [("lamp", 40), ("chair", 85), ("desk", 210)]
    rows = [
        {"id": f"{item}-{n}", "item": item, "count": n, "answer": str(n * price)}
        for item, price in priced
        for n in (2, 3)
    ]
    tiny_job.write_jsonl(folder / "rows.jsonl", rows)
    return recipe


# --- a job of one's own ---


def test_the_example_runs_and_its_demonstrations_are_imitated(model: Path, tmp_path: Path) -> None:
    recipe = own_job(tmp_path / "job", "shop_copy", EXAMPLE.read_text("utf-8"))
    counts = {**tiny_job.COUNTS, **FEW, "model.source": str(model)}
    run = fivestones.run(recipe, counts, out=tmp_path / "run")
    assert set(run.summary["contestants"]) == {"base", "base_examples", "imitation", "trained"}
    assert phases(run) == ["warmup", "train", "imitation"]
    assert json.loads((run.path / "stages" / "warmup.json").read_text())["kind"] == "references"


def test_what_says_that_it_can_be_imitated_must_show_how(tmp_path: Path) -> None:
    code = EXAMPLE.read_text("utf-8").partition("    def demonstration(")[0]
    recipe = load_recipe(own_job(tmp_path, "shop_without", code))
    job = Job(recipe, load_data(recipe, tmp_path))
    with pytest.raises(UsageError, match=r'task lamp-2 has reference\["output"\].*`demonstration\(task\)`'):
        job.turns(job.tasks("train")[0])


def test_a_demonstration_whose_call_fails_is_told(tmp_path: Path) -> None:
    code = EXAMPLE.read_text("utf-8").replace('first = Call("price"', 'first = Call("prize"')
    recipe = load_recipe(own_job(tmp_path, "shop_failing", code))
    job = Job(recipe, load_data(recipe, tmp_path))
    with pytest.raises(DataError, match=r"lamp-2: its demonstration makes a call that fails \(error: no"):
        job.turns(job.tasks("train")[0])
    shown = code.replace('"", (first,))', '"", (first,), imitate=False)')
    recipe = load_recipe(own_job(tmp_path, "shop_mending", shown))
    job = Job(recipe, load_data(recipe, tmp_path))
    assert len(job.turns(job.tasks("train")[0])) == 5
    nothing = shown.replace('"", (second,))', '"", (second,), imitate=False)')
    nothing = nothing.replace("self.reference_text(task))]", "self.reference_text(task), imitate=False)]")
    recipe = load_recipe(own_job(tmp_path, "shop_mute", nothing))
    job = Job(recipe, load_data(recipe, tmp_path))
    with pytest.raises(DataError, match="lamp-2: its demonstration has no turn to imitate"):
        job.turns(job.tasks("train")[0])


def test_an_example_in_a_prompt_shows_no_mistake() -> None:
    """There the loss masks nothing: whatever stands in it is to be copied."""
    calls = [Message("assistant", text, imitate=text != "wrong") for text in ("wrong", "right", "end")]
    told, heard = Message("tool", "error: no"), Message("tool", "yes")
    assert [*_right([calls[0], told, calls[1], heard, calls[2]])] == [calls[1], heard, calls[2]]


def test_a_server_lets_a_client_repeat_itself() -> None:
    """It has a limit of calls of its own, and counts calls where a turn may have several."""
    recipe = load_recipe("finqa", "smoke")
    assert served_environment(recipe, sample_data(recipe, 4)).repeats is None
    assert Job(recipe, sample_data(recipe, 4)).environment.repeats == 3


@pytest.mark.parametrize("verb", ["doctor", "run"])
def test_a_fault_in_code_of_ones_own_is_told_with_its_line(verb: str, tmp_path: Path) -> None:
    code = EXAMPLE.read_text("utf-8").replace('row["item"])', 'row["product"])')
    recipe = own_job(tmp_path, "shop_faulty", code)
    done = tiny_job.fivestones(verb, str(recipe), cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    line = next(n for n, text in enumerate(code.splitlines(), 1) if '"product"' in text)
    where = f"{tmp_path / 'shop_faulty.py'}, line {line}, in task: KeyError: 'product'"
    assert f"error: a fault in code of your own: {where}" in done.stderr


@pytest.mark.parametrize(
    ("turns", "told"), [(1, "no turn after a tool's reply"), (2, "a demonstration has 3 turns; allowed: 3")]
)
def test_too_few_turns_are_told_before_any_work(model: Path, tmp_path: Path, turns: int, told: str) -> None:
    recipe = own_job(tmp_path / "job", f"shop_turns_{turns}", EXAMPLE.read_text("utf-8"))
    counts = {**tiny_job.COUNTS, **FEW, "model.source": str(model), "environment.max_turns": turns}
    with pytest.raises(UsageError, match=told):
        fivestones.run(recipe, counts, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_examples_recipe_has_its_class_and_rows() -> None:
    recipe = load_recipe(EXAMPLE.with_suffix(".yaml"))
    job = Job(recipe, load_data(recipe, Path()))
    assert len(job.tasks("train")) == 36 and len(job.tasks("test")) == 12
    assert job.turns(job.tasks("train")[0])[-1].content == job.tasks("train")[0].reference["answer"]


def test_a_job_closes_the_environment_that_it_made(tmp_path: Path) -> None:
    code = EXAMPLE.read_text("utf-8") + "\n    closed = 0\n\n    def close(self):\n        self.closed += 1\n"
    recipe = load_recipe(own_job(tmp_path, "shop_closing", code))
    Job(recipe, Data({})).close()  # makes none
    assert "shop_closing" not in sys.modules
    job = Job(recipe, load_data(recipe, tmp_path))
    environment = job.environment
    job.close()
    assert environment.closed == 1


# --- a server's ---


def test_a_run_trains_against_a_server(model: Path, tmp_path: Path, sums: Any) -> None:
    recipe = write(tmp_path, "name: remote\nevaluate: {contestants: [base, trained]}\nwarmup: {kind: none}\n")
    environment = {"kind": "openenv", "max_turns": 3, "openenv": {"url": sums.url, "train": 6, "test": 3}}
    counts = {**tiny_job.COUNTS, **FEW, "model.source": str(model), "environment": environment}
    run = fivestones.run(recipe, counts, out=tmp_path / "run")
    assert set(run.summary["contestants"]) == {"base", "trained"}
    assert run.summary["contestants"]["trained"]["total"]["n"] == 2
    assert phases(run) == ["train"]
    # the way of a model that does not know the form either
    taught = fivestones.run(recipe, {**counts, "warmup.kind": "self"}, out=tmp_path / "taught")
    assert json.loads((taught.path / "stages" / "warmup.json").read_text())["kind"] == "self"


@pytest.mark.parametrize("environment", [REMOTE, RLLM, RLLM.replace("rllm", "snorkel")])
@pytest.mark.parametrize(
    "more",
    [
        "",
        "warmup: {kind: none}",
        "evaluate: {contestants: [base, trained]}",
        "warmup: {kind: auto}\nevaluate: {contestants: [base, trained]}",
        "warmup: {kind: self}\nevaluate: {contestants: [base, base_examples, trained]}",
    ],
)
def test_what_cannot_be_imitated_is_refused_with_what_to_write(
    tmp_path: Path, environment: str, more: str
) -> None:
    base = f"name: a\nenvironment: {environment}\n"
    with pytest.raises(
        UsageError, match=r"(?s)no episodes to imitate.*write `warmup: \{kind: self\}`"
    ) as told:
        load_recipe(write(tmp_path, base + more))
    for written in ("warmup: {kind: self}", "warmup: {kind: none}"):
        contestants = "evaluate: {contestants: [base, trained]}"
        assert written in str(told.value) and contestants in str(told.value)
        load_recipe(write(tmp_path, f"{base}{written}\n{contestants}\n"))


# --- the public set's files ---


def test_a_recipe_on_the_public_sets_files_makes_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE / "environments"))
    import test_finqa_real as real

    asked = real.asked
    files = real.rllm_files([asked("q1"), asked("q2", question_type="multi_table")])
    files["data/test_finqa.csv"] = real.sheet(real.RLLM, [asked("t1")])
    real.unpacked(tmp_path / "jobs" / "real", files)
    more = "warmup: {kind: none}\nevaluate: {contestants: [base, trained]}\n"
    path = write(tmp_path / "jobs", f"name: a\nenvironment: {RLLM}\n{more}")
    monkeypatch.chdir(tmp_path)  # the data is named from the recipe's folder
    recipe = load_recipe("jobs/job.yaml")
    job = Job(recipe, load_data(recipe, tmp_path))
    assert [task.id for task in job.tasks("train")] == ["q1"]  # training asks for single tables
    assert [task.id for task in job.tasks("test")] == ["t1"]
    assert {tool["function"]["name"] for tool in job.tools} >= {"sql_query", "calculator"}
    assert path.parent.name in str(recipe.environment.finqa and recipe.environment.finqa.data)


def test_a_set_without_test_questions_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE / "environments"))
    import test_finqa_real as real

    real.unpacked(tmp_path / "real", real.rllm_files([real.asked("q1")]))
    more = "warmup: {kind: none}\nevaluate: {contestants: [base, trained]}\n"
    recipe = load_recipe(write(tmp_path, f"name: a\nenvironment: {RLLM}\n{more}"))
    with pytest.raises(DataError, match="no fit question for `test`"):
        load_data(recipe, tmp_path)


def test_levels_that_no_train_question_has_are_told() -> None:
    recipe = load_recipe("finqa", "smoke", {"environment.finqa.levels": ["L5"]})
    with pytest.raises(UsageError, match="got L5; the train questions have L0, L1, L2, L3, L4 "):
        Job(recipe, sample_data(recipe, 10)).tasks("train")


# --- env serve ---


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_env_serve_tells_a_recipe_that_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """The one of the README, with the address."""
    import fivestones.environments.openenv as openenv

    def serve(make: Any, *, started: Any, **options: Any) -> None:
        assert options["host"] == host
        assert len(list(make().tasks("train"))) == 6
        started(4321)

    monkeypatch.setattr(openenv, "serve", serve)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(own_job(tmp_path / "made", "shop_served", EXAMPLE.read_text("utf-8")).parent, "job")
    done = CliRunner().invoke(app, ["env", "serve", "job/job.yaml", "--host", host])
    assert done.exit_code == 0, done.output
    place = "[::1]:4321" if host == "::1" else "127.0.0.1:4321"
    first, _, text = done.stdout.partition("A recipe that trains against it:\n")
    assert f"ws://{place}/ws serves own" in first and f"http://{place}/health" in first
    recipe = load_recipe(write(tmp_path / "client", text))
    assert recipe.environment.openenv and recipe.environment.openenv.url == f"ws://{place}/ws"
    readme = (HERE.parent / "README.md").read_text("utf-8")
    assert recipe.environment.max_turns == 3
    text = text.replace(place, "127.0.0.1:8000").replace("max_turns: 3", "max_turns: 13")  # as of finqa
    shown = "".join(f"    {line}\n" for line in text.strip().splitlines())
    assert shown in readme


@pytest.mark.parametrize("name", ["soap", "tickets"])
def test_env_serve_refuses_a_job_without_tools_before_it_makes_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = str(tiny_job.tickets(tmp_path / "job")) if name == "tickets" else name
    done = CliRunner().invoke(app, ["env", "serve", recipe])
    assert done.exit_code == 2 and "no tools to serve" in done.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("::", "[::1]"),
        ("fe80::1", "[fe80::1]"),
        ("gpu-box", "gpu-box"),
    ],
)
def test_the_address_that_is_told_can_be_reached(host: str, place: str) -> None:
    assert reachable(host) == place


def test_the_recipe_of_the_readme_loads(tmp_path: Path) -> None:
    section = (HERE.parent / "README.md").read_text("utf-8").partition("## Tool use")[2].partition("\n## ")[0]
    lines = section[section.index("    name: remote") :].partition("\n\n")[0]
    text = "".join(line[4:] + "\n" for line in lines.splitlines())
    assert set(yaml.safe_load(text)) == {"name", "environment", "warmup", "evaluate"}
    load_recipe(write(tmp_path, text))
    real = "environment: {kind: finqa, max_turns: 20, finqa: {format: rllm, data: data.tar.gz}}"
    assert real in section
    load_recipe(write(tmp_path, "name: real\n" + real + "\n" + "\n".join(text.splitlines()[2:])))
