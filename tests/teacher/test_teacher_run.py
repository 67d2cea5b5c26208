"""Rows that a teacher writes, over real requests to a scripted server on loopback."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from authors import SCENARIOS, author, drafts, passing, recipe_for

import fivestones
import tiny_job
from fivestones import api
from fivestones.build_data import _planned, preview_data, synthesize_data
from fivestones.chat import ReplyCache
from fivestones.data.certificate import read, verify
from fivestones.data.store import read_rows
from fivestones.data.synth import Outcome
from fivestones.data.threads import in_order
from fivestones.environments import soap
from fivestones.errors import DataError, ResourceError, RunExistsError, UsageError
from fivestones.recipe import Recipe
from fivestones.recipe_load import dump, load_recipe
from fivestones.teachers import SoapTeacher
from scripted_server import Body, ScriptedServer

ROWS = 7


def synth(recipe: Recipe, folder: Path) -> Outcome:
    return synthesize_data(recipe, folder, None)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for split in ("train", "test") for row in read_rows(folder / f"{split}.parquet")]


def provenance(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["provenance"])["teacher"])


def test_rows_are_written_checked_and_accounted_for(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        recipe = recipe_for(server, budget={"input_price": 1.0, "output_price": 10.0})
        made = synth(recipe, tmp_path)
        asked = len(server.requests)
        assert synth(recipe, tmp_path).new is False
    assert len(server.requests) == asked  # finished data is not asked for again
    rows = rows_of(tmp_path)
    assert len(rows) == ROWS and verify(tmp_path) == []
    told = [provenance(row) for row in rows]
    assert all(set(one["texts"]) == {"dialogue", "note"} and one["model"] == "author-1b" for one in told)
    account = made.certificate["teacher"]
    assert account["rows"] == ROWS and account["models"] == ["author-1b"]
    assert account["endpoints"] == [server.url]
    assert account["replies"] == asked == sum(one["replies"] for one in told)
    assert (account["input_tokens"], account["output_tokens"]) == (100 * asked, 20 * asked)
    assert account["money"] == pytest.approx(asked * (100 * 1.0 + 20 * 10.0) / 1e6, abs=1e-6)
    assert account["spent_in_all"]["input_tokens"] == 100 * asked
    whole = [row for row in rows if row["id"] in passing()]
    assert whole and all(provenance(row)["replies"] == 2 and not provenance(row)["rejected"] for row in whole)


def test_an_edited_account_is_found(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        synth(recipe_for(server), tmp_path)
    path = tmp_path / "certificate.json"
    body = read(tmp_path)
    path.write_text(json.dumps({**body, "teacher": {**body["teacher"], "replies": 1}}))
    told = [str(finding) for finding in verify(tmp_path)]
    assert any("teacher.replies is" in line and "the certificate says 1" in line for line in told), told


def test_a_refused_text_is_written_again_and_told_why(tmp_path: Path) -> None:
    def careless(column: str, text: str, first: bool) -> str:
        if not first:
            return text
        if column == "note":
            note = json.loads(text)
            return json.dumps({**note, "P": note["P"] + " Start warfarin 5 mg once daily."})
        return text + "\n" + text.splitlines()[0].split(":")[0] + ": We will start warfarin 5 mg once daily."

    with ScriptedServer(author(careless)) as server:
        made = synth(recipe_for(server), tmp_path)
    rejected = made.certificate["teacher"]["rejected"]
    assert rejected["invented"] > ROWS  # each text once, and what the gate refuses anyway
    again = [body["messages"][-1]["content"] for body in server.requests]
    assert any("refused" in text and "- invented: warfarin" in text for text in again)
    assert not any("warfarin" in row[column] for row in rows_of(tmp_path) for column in ("dialogue", "note"))
    assert all(
        provenance(row)["texts"]["note"]["attempt"] == 2
        for row in rows_of(tmp_path)
        if row["id"] in passing()
    )


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("cut off", "truncated"), ("filtered", "refused"), ("blank", "empty reply")],
)
def test_a_reply_that_is_not_whole_is_no_text(tmp_path: Path, fault: str, cause: str) -> None:
    def first_is_bad(body: Body, before: int) -> str | None:
        return None if "earlier version" in body["messages"][-1]["content"] else fault

    with ScriptedServer(author(), first_is_bad) as server:
        made = synth(recipe_for(server), tmp_path)
    assert made.certificate["teacher"]["rejected"][cause] >= 2 * ROWS


def test_an_outage_ends_it_and_the_next_time_only_the_rest_is_paid_for(tmp_path: Path) -> None:
    healthy = 9

    def failing(body: Body, before: int) -> str | None:
        return None if len(server.requests) <= healthy else "503"

    with ScriptedServer(author(), failing) as server:
        recipe = recipe_for(server)
        with pytest.raises(
            ResourceError, match=r"does not answer .row soap-.*HTTP 503.*what was written is kept"
        ):
            synth(recipe, tmp_path)
        kept = sum(server.answered.values())
        assert kept >= 1 and not (tmp_path / "certificate.json").exists()
        server.script = lambda body, before: None
        before = len(server.requests)
        made = synth(recipe, tmp_path)
    assert set(server.answered.values()) == {1}  # nothing twice
    assert len(server.requests) - before == sum(server.answered.values()) - kept
    assert made.certificate["teacher"]["replies"] == sum(server.answered.values())


def test_a_spent_budget_ends_it_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        one = {"concurrency": 1, "most": 1}
        short = {"max_tokens": 500}  # what is set aside for an answer
        small = recipe_for(server, budget={"tokens": 3500}, limits=one, request=short)
        with pytest.raises(ResourceError, match=r"budget is spent.*synth\.teacher\.budget"):
            synth(small, tmp_path)
        assert sum(server.answered.values()) > 0
        # limits, budget and scenarios are no other data
        synth(recipe_for(server, scenarios=6, request=short), tmp_path)
        assert set(server.answered.values()) == {1}
        with pytest.raises(RunExistsError, match=r"other settings .*model"):
            synth(recipe_for(server, model="author-2b", request=short), tmp_path)


def test_a_teacher_that_cannot_do_it_is_told_before_it_costs_much(tmp_path: Path) -> None:
    with ScriptedServer(author(lambda column, text, first: "As a language model I will not.")) as server:
        with pytest.raises(DataError, match="not a dialogue") as told:
            synth(recipe_for(server), tmp_path)
        assert "What was written is kept" in str(told.value)
        # all rows, all scenarios, all attempts at the dialogue, at most
        assert len(server.requests) <= ROWS * 5 * 3


def test_more_scenarios_change_nothing_of_what_was_paid_for(tmp_path: Path) -> None:
    """The mended attempt asks, all in all, what one that began so asks."""
    stubborn = {d.row["dialogue"] for d in drafts(SCENARIOS)[:2]}  # of the first row

    def refusing(column: str, text: str, first: bool) -> str:
        return "I will not." if text in stubborn else text

    with ScriptedServer(author(refusing)) as server, ScriptedServer(author(refusing)) as other:
        with pytest.raises(DataError, match=r"in 2 scenarios none .* more synth\.teacher\.scenarios"):
            synth(recipe_for(server, scenarios=2), tmp_path / "mended")
        made = synth(recipe_for(server, scenarios=SCENARIOS), tmp_path / "mended")
        synth(recipe_for(other, scenarios=SCENARIOS), tmp_path / "whole")
    assert server.answered == other.answered and set(server.answered.values()) == {1}
    assert made.certificate["teacher"]["rejected"]["not a dialogue"] >= 6


def test_finished_data_needs_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, and no prompts as they were."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    own = tmp_path / "prompts.yaml"
    own.write_text((Path(soap.__file__).parent / "teacher.yaml").read_text())
    with ScriptedServer(author()) as server:
        synth(recipe_for(server, prompts=str(own)), tmp_path / "data")
    own.write_text("no prompts")
    keyed = [{"url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}]
    assert synth(recipe_for("", endpoints=keyed, prompts=str(own)), tmp_path / "data").new is False
    with pytest.raises(RunExistsError, match=r"other settings .*model"):
        synth(recipe_for("", endpoints=keyed, prompts=str(own), model="other"), tmp_path / "data")


def test_a_teacher_without_its_key_takes_no_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    recipe = recipe_for("", endpoints=[{"url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}])
    (tmp_path / "job.yaml").write_text(dump(recipe))
    model = {"model.source": str(tiny_job.model_folder(tmp_path / "model"))}
    with pytest.raises(UsageError, match="NO_SUCH_KEY"):
        fivestones.run(tmp_path / "job.yaml", model, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_closing_waits_for_the_replies_under_way(tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(body: Body) -> None:
        asked.set()
        assert answer.wait(10)

    def refused(rows: Iterator[Any]) -> None:
        with pytest.raises(ResourceError, match="was closed"):
            next(rows)

    with ScriptedServer(author()) as server:
        server.on_request = slow
        part = recipe_for(server).synth
        assert part and part.teacher
        with SoapTeacher(part, part.teacher, 0, tmp_path) as teacher:
            rows = in_order(teacher.teacher, [(item, 0) for item in _planned(part, 0)[:1]], 1)
            waiting = threading.Thread(target=refused, args=(rows,))
            waiting.start()
            assert asked.wait(10)
            threading.Timer(0.05, answer.set).start()
        waiting.join(10)
    assert not waiting.is_alive() and len(server.requests) == 1  # nothing new was begun
    assert len(ReplyCache(tmp_path / "teacher.sqlite")) == 1


def test_a_preview_of_more_rows_than_there_are_shows_each_once(tmp_path: Path) -> None:
    shown = api.preview("soap", tmp_path, {"synth.train": 4, "synth.test": 3}, profile="smoke", count=20)
    assert len({told.draft["id"] for told in shown.told}) == len(shown.told) == ROWS


def test_a_preview_shows_five_rows_and_what_all_would_take(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        recipe = recipe_for(server, budget={"input_price": 1.0})
        shown = preview_data(recipe, tmp_path, 5)
        asked = len(server.requests)
        assert not list(tmp_path.glob("*.parquet"))
        assert len(shown.told) == 5 and {*shown.columns} == {"dialogue", "note"}
        assert sum(len(told.attempts) for told in shown.told) == asked
        forecast = shown.forecast
        assert (forecast.rows, forecast.seen) == (ROWS, 5)
        assert forecast.replies == round(asked * ROWS / 5)
        assert forecast.input_tokens == round(100 * asked * ROWS / 5)
        assert forecast.seconds_low <= forecast.seconds_high
        synth(recipe, tmp_path)
        assert set(server.answered.values()) == {1}  # the preview's rows were paid for


def test_a_preview_without_a_teacher(tmp_path: Path) -> None:
    shown = api.preview("soap", tmp_path / "none", {"synth.train": 4, "synth.test": 3}, profile="smoke")
    assert len(shown.told) == 5 and shown.forecast.replies == 0
    assert not (tmp_path / "none").exists()


def test_the_teacher_may_write_dialogues_alone(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        synth(recipe_for(server, writes=["dialogue"]), tmp_path)
    assert all(set(provenance(row)["texts"]) == {"dialogue"} for row in rows_of(tmp_path))
    assert not any("Write the clinical note" in body["messages"][-1]["content"] for body in server.requests)


def test_the_request_says_what_the_recipe_says(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        recipe = recipe_for(server, request={"output": "json", "max_tokens": 900})
        preview_data(recipe, tmp_path, 1)
    forms = Counter(json.dumps(body.get("response_format")) for body in server.requests)
    assert forms['{"type": "json_object"}'] >= 1 and forms["null"] >= 1
    assert {body["max_tokens"] for body in server.requests} == {900}
    assert {body["temperature"] for body in server.requests} == {0.7}
    assert len({body["seed"] for body in server.requests}) == len(server.requests)


def test_what_leaves_the_machine_is_only_recorded_beyond_loopback(tmp_path: Path) -> None:
    with ScriptedServer(author()) as server:
        preview_data(recipe_for(server), tmp_path, 1)
    assert not (tmp_path / "egress.jsonl").exists()


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"model": "x"}, "needs `endpoints`"),
        ({"endpoints": [{"url": "http://127.0.0.1:9/v1"}]}, "needs `endpoints` .* and `model`"),
        ({"endpoints": [{"url": "http://127.0.0.1:9/v1"}], "model": "x", "writes": []}, "writes"),
        ({"endpoints": [{"url": "http://127.0.0.1:9/v1"}], "model": "x", "attemps": 2}, "attempts"),
    ],
)
def test_impossible_teachers(part: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_recipe("soap", "smoke", {"synth.teacher": part})


def test_prompts_of_your_own_are_looked_for_beside_the_recipe_and_checked(tmp_path: Path) -> None:
    plain = recipe_for("http://127.0.0.1:9/v1")
    tree = dump(plain).replace("prompts: null", "prompts: mine.yaml")
    (tmp_path / "job.yaml").write_text(tree)
    recipe = load_recipe(tmp_path / "job.yaml")
    assert recipe.synth and recipe.synth.teacher
    assert recipe.synth.teacher.prompts == tmp_path / "mine.yaml"
    with pytest.raises(UsageError, match="cannot be read"):
        preview_data(recipe, tmp_path / "data", 1)
    (tmp_path / "mine.yaml").write_text("system: x\n")
    with pytest.raises(UsageError, match="allowed: exactly the keys system, styles"):
        preview_data(recipe, tmp_path / "data", 1)


def test_a_run_may_go_on_with_another_budget_and_not_with_another_model() -> None:
    known, richer, other = (
        recipe_for("http://127.0.0.1:9/v1", **changed).synth
        for changed in ({}, {"budget": {"tokens": 5}, "scenarios": 9}, {"model": "author-2b"})
    )
    assert api._mended(known, richer) == richer
    assert api._mended(known, other) == known != other
