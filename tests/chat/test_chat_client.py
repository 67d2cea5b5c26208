from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from chat_clients import client, part
from fivestones.chat import Ask, ChatClient, ReplyCache, Said, Unanswered, Unreadable, Usage
from fivestones.chat.endpoint import _retry_after, is_loopback
from fivestones.errors import DataError, ResourceError, UsageError
from fivestones.recipe_chat import ChatPart
from scripted_server import Body, Fault, ScriptedServer

SLOW = {"timeout": 20.0, "deadline": 2.0}


def ask(text: str, affinity: str = "") -> Ask[str]:
    def read(said: Said) -> str:
        if not said.text.startswith("echo "):
            raise Unreadable("no echo")
        return said.text.removeprefix("echo ")

    return Ask({"messages": [{"role": "user", "content": text}]}, affinity or text, "test", read)


def echo(body: Body) -> str:
    return f"echo {body['messages'][0]['content']}"


def answers(of: ChatClient, count: int, start: int = 0) -> list[str | Unanswered]:
    return of.complete([ask(str(i)) for i in range(start, start + count)])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_answers_come_in_the_order_of_the_questions() -> None:
    with ScriptedServer(echo) as server:
        assert answers(client(server), 40) == [str(i) for i in range(40)]
        assert client(server).complete([]) == []


def test_a_part_without_endpoint_or_model_is_refused() -> None:
    with pytest.raises(UsageError, match="`endpoints`"):
        ChatClient(ChatPart(model="x"), ReplyCache(None))
    with pytest.raises(UsageError, match="`model`"):
        ChatClient(part("http://127.0.0.1:9").model_copy(update={"model": None}), ReplyCache(None))


# time


def test_a_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    with ScriptedServer(echo, lambda body, before: "hang") as server:
        assert answers(client(server, limits=SLOW), 20) == [Unanswered("deadline")] * 20
        assert 0 < len(server.requests) <= 8  # the others never had a turn


def test_one_slow_answer_is_a_timeout_and_asked_again() -> None:
    with ScriptedServer(echo, lambda body, before: "hang" if before == 0 else None) as server:
        slow = client(server, limits={"timeout": 1.0})
        assert answers(slow, 3) == ["0", "1", "2"]
        assert slow.usage.retries >= 3


def test_retry_after_is_honoured() -> None:
    arrived: list[float] = []
    with ScriptedServer(echo) as server:
        server.on_request = lambda body: arrived.append(time.monotonic())
        server.faults = {"later": Fault(429, raw=b"{}", headers={"Retry-After": "0.3"})}
        server.script = lambda body, before: "later" if len(server.requests) == 1 else None
        assert answers(client(server, limits={"concurrency": 1}), 2) == ["0", "1"]
    assert arrived[1] - arrived[0] >= 0.3  # of the other question too


def test_a_server_that_asks_for_more_than_there_is_gets_no_more_requests() -> None:
    with ScriptedServer(echo) as server:
        server.faults = {"later": Fault(429, raw=b"{}", headers={"Retry-After": "3600"})}
        server.script = lambda body, before: "later"
        patient = client(server, limits={"concurrency": 1, "deadline": 30.0})
        assert answers(patient, 1) == [Unanswered("asked to wait beyond the deadline")]
        assert answers(patient, 3) == [Unanswered("asked to wait beyond the deadline")] * 3
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        (formatdate(1_000_090, usegmt=True), 90.0),
        (formatdate(900_000, usegmt=True), 0.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert _retry_after(value, 1_000_000.0) == seconds


# concurrency


def test_no_more_requests_at_once_than_the_limit_which_falls_on_429() -> None:
    with ScriptedServer(echo) as server:
        assert answers(client(server, limits={"concurrency": 3, "most": 3}), 60) == [
            str(i) for i in range(60)
        ]
        assert 1 <= server.most_at_once <= 3
    with ScriptedServer(echo, lambda body, before: "429" if before == 0 else None) as server:
        refused = client(server, limits={"concurrency": 8, "most": 8})
        assert answers(refused, 8) == [str(i) for i in range(8)]
        assert refused._endpoints[0].limit.value == 6  # a burst is one cut
        assert answers(refused, 60, 100) == [str(i) for i in range(100, 160)]
        assert refused._endpoints[0].limit.value < 6


# several endpoints


def sections(dialogue: int) -> list[Ask[str]]:
    return [ask(f"{dialogue}-{s}", affinity=f"dialogue {dialogue}") for s in "SOAP"]


def where(*servers: ScriptedServer) -> dict[str, list[int]]:
    """Dialogue -> servers that were asked about it."""
    found: dict[str, list[int]] = {}
    for number, server in enumerate(servers):
        for body in server.requests:
            found.setdefault(body["messages"][0]["content"].partition("-")[0], []).append(number)
    return found


def test_the_sections_of_a_dialogue_land_on_one_server() -> None:
    with ScriptedServer(echo) as a, ScriptedServer(echo) as b, ScriptedServer(echo) as c:
        client(a, b, c).complete([q for d in range(60) for q in sections(d)])
        landed = where(a, b, c)
        assert all(len(set(servers)) == 1 and len(servers) == 4 for servers in landed.values())
        shares = Counter(servers[0] for servers in landed.values())
        assert len(shares) == 3 and min(shares.values()) >= 8
        client(c, a, b).complete([q for d in range(60) for q in sections(d)])  # in any order of the recipe
        assert all(len(set(servers)) == 1 and len(servers) == 8 for servers in where(a, b, c).values())


def test_without_one_server_only_its_dialogues_move() -> None:
    with ScriptedServer(echo) as a, ScriptedServer(echo) as b:
        both = part(a, b)
        questions = [q for d in range(40) for q in sections(d)]
        ChatClient(both, ReplyCache(None)).complete(questions)
        before = where(a, b)
        a.script = lambda body, times: "500"
        a.requests.clear()
        b.requests.clear()
        wounded = ChatClient(both, ReplyCache(None))
        assert wounded.complete(questions) == [f"{d}-{s}" for d in range(40) for s in "SOAP"]
        assert {d for d, servers in before.items() if servers[0] == 1} <= set(where(b))
        assert all(d in where(b) for d in before)
        assert len(a.requests) < len(questions) // 2  # a server that is down is left alone for a while


def test_no_server_at_all() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert answers(client(url, limits={"attempts": 2}), 2) == [Unanswered("no connection")] * 2


# privacy


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.8.8/v1", True),
        ("http://localhost:1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example.com/v1", False),
        ("https://127.0.0.1.example.com/v1", False),
    ],
)
def test_loopback(url: str, inside: bool) -> None:
    assert is_loopback(url) == inside


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://a/b", "http://", "http://u:p@host/v1", "http://h/v1?key=1", "http://h:x/v1"],
)
def test_an_endpoint_is_a_plain_url(url: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        part(url)


def test_the_same_endpoint_is_named_once() -> None:
    with pytest.raises(ValueError, match="given twice"):
        part("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/")


def test_a_loopback_server_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(echo) as server:
        assert answers(client(server), 1) == ["0"]


def test_a_redirect_is_not_followed() -> None:
    with ScriptedServer(echo) as elsewhere, ScriptedServer(echo) as server:
        target = {"Location": f"{elsewhere.url}/chat/completions"}
        server.faults = {"moved": Fault(307, raw=b"", headers=target)}
        server.script = lambda body, before: "moved"
        assert answers(client(server), 1) == [Unanswered("HTTP 307")]
        assert elsewhere.requests == [] and len(server.requests) == 1


def test_what_leaves_the_machine_is_recorded_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "egress.jsonl"
    with ScriptedServer(echo, lambda body, before: "500" if before == 0 else None) as server:
        assert answers(client(server, egress=log), 2) == ["0", "1"]
        assert not log.exists()  # loopback is no egress
        monkeypatch.setattr("fivestones.chat.endpoint.is_loopback", lambda url: False)
        assert answers(client(server, egress=log), 2, 50) == ["50", "51"]
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [set(row) for row in rows] == [{"at", "endpoint", "bytes", "sha256"}] * 4  # every attempt
    assert {row["endpoint"] for row in rows} == {server.url}
    assert len({row["sha256"] for row in rows}) == 2


def test_a_key_is_taken_from_the_environment_and_told_to_nobody_else(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with ScriptedServer(echo) as server:
        keyed = {"endpoints": [{"url": server.url, "api_key_env": "JUDGE_KEY"}], "model": "m"}
        made = ChatPart.model_validate(keyed)
        for environ, said in (({}, "is not set"), ({"JUDGE_KEY": "käse"}, "holds no usable key")):
            with pytest.raises(
                UsageError, match=f"api_key_env.: the environment variable JUDGE_KEY {said}"
            ) as told:
                ChatClient(made, ReplyCache(None), environ=environ)
            assert "käse" not in str(told.value)
        cache = ReplyCache(tmp_path / "c")
        secret = ChatClient(made, cache, environ={"JUDGE_KEY": "sk-very-secret"})
        assert answers(secret, 1) == ["0"]
        assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
        # some servers repeat the key
        server.faults = {"401": Fault(401, raw=b'{"error": "Incorrect API key: sk-very-secret"}')}
        server.script = lambda body, before: "401"
        with caplog.at_level(logging.WARNING):
            assert answers(secret, 1, 1) == [Unanswered("HTTP 401")]
        assert len(server.requests) == 2  # another attempt would not help
    assert "HTTP 401" in caplog.text and "Incorrect API key: ***" in caplog.text
    assert "sk-very-secret" not in caplog.text + repr(secret._part) + repr(vars(cache))
    assert b"sk-very-secret" not in (tmp_path / "c").read_bytes()


# money


BUDGET = {"tokens": 1000, "input_price": 2.0, "output_price": 10.0}


def test_over_budget_is_unscored_and_asks_nothing(tmp_path: Path) -> None:
    """A request costs 120 tokens here, and is taken to cost up to 512 of answer before it is made."""
    with ScriptedServer(echo) as server:
        first = client(server, cache=tmp_path / "c", budget=BUDGET, limits={"concurrency": 1, "most": 1})
        got = answers(first, 12)
        assert got == ["0", "1", "2", "3"] + [Unanswered("over budget")] * 8
        assert len(server.requests) == 4
        assert first.usage.unscored == {"over budget": 8}
        assert first.usage.money == pytest.approx(4 * (100 * 2 + 20 * 10) / 1e6)
        resumed = client(server, cache=tmp_path / "c", budget=BUDGET)  # goes on counting
        assert answers(resumed, 12) == got
        assert len(server.requests) == 4
        raised = client(server, cache=tmp_path / "c", budget={**BUDGET, "tokens": 100_000})
        assert answers(raised, 12) == [str(i) for i in range(12)]
        assert len(server.requests) == 12


def test_a_budget_of_money() -> None:
    with ScriptedServer(echo) as server:
        poor = client(
            server, budget={"money": 0.007, "output_price": 10.0}, limits={"concurrency": 1, "most": 1}
        )
        assert answers(poor, 12).count(Unanswered("over budget")) == 2  # 0.0002 each, 0.00512 held back
    with pytest.raises(ValueError, match="money needs a price"):
        part("http://127.0.0.1:1", budget={"money": 1.0})


def test_an_answer_without_a_count_is_taken_to_have_cost_the_most() -> None:
    with ScriptedServer(echo, usage=False) as server:
        silent = client(server, request={"max_tokens": 200})
        answers(silent, 1)
        assert silent.usage.output_tokens == 200
        assert silent.usage.input_tokens > 32


def test_what_a_failure_may_have_cost_is_counted_and_what_it_cannot_is_not() -> None:
    with ScriptedServer(echo, lambda body, before: "truncated body" if before == 0 else None) as server:
        cut = client(server, request={"max_tokens": 200})
        assert answers(cut, 1) == ["0"]
        assert cut.usage.output_tokens == 220
    with ScriptedServer(echo, lambda body, before: "500" if before == 0 else None) as server:
        refused = client(server, request={"max_tokens": 200})
        assert answers(refused, 1) == ["0"]
        assert refused.usage.output_tokens == 20


# usage and the end


def test_usage_is_a_value_whose_difference_is_a_step() -> None:
    with ScriptedServer(echo, lambda body, before: "500" if before == 0 else None) as server:
        used = client(server)
        answers(used, 3)
        before = used.usage
        answers(used, 5)
        step = used.usage - before
    assert (step.questions, step.cache_hits, step.requests, step.retries, step.answers) == (5, 3, 4, 2, 2)
    assert step.input_tokens == 200 and step.unscored == {}
    assert step.seconds > 0 and step.longest > 0
    assert before == before and before != used.usage
    assert isinstance(before, Usage)


def test_an_answer_that_is_not_readable_is_not_kept(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: "no such thing") as server:
        assert answers(client(server, cache=tmp_path / "c", limits={"attempts": 2}), 1) == [
            Unanswered("no echo")
        ]
        assert len(server.requests) == 2
        server.brain = echo
        assert answers(client(server, cache=tmp_path / "c"), 1) == ["0"]


def test_equal_questions_of_several_callers_are_asked_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ScriptedServer(echo, lambda body, before: "500" if before < 2 else None) as server:
        shared = client(server)
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda _: answers(shared, 5), range(8)))
        assert got == [[str(i) for i in range(5)]] * 8
        assert set(server.answered.values()) == {1}


def test_a_client_without_memory_asks_anew_and_pays_all_the_same(tmp_path: Path) -> None:
    with ScriptedServer(echo) as server:
        remembering = client(server, cache=tmp_path / "c")
        assert answers(remembering, 3) == ["0", "1", "2"]
        path = tmp_path / "c"
        fresh = ChatClient(part(server), ReplyCache(path), remember=False)
        for _ in range(2):
            assert answers(fresh, 3) == ["0", "1", "2"]
        assert fresh.usage.requests == 6 and fresh.usage.cache_hits == 0
        assert ReplyCache(path).spent("scripted-1b").tokens == 9 * 120
        assert len(ReplyCache(path)) == 3


def test_a_broken_cache_is_told_by_the_call_that_needs_it(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"no database at all" * 100)
    with ScriptedServer(echo) as server:
        broken = client(server, cache=tmp_path / "c")
        with pytest.raises(DataError, match="move it away"):
            answers(broken, 1)
        assert server.requests == []


def test_ctrl_c_leaves_at_once_and_keeps_the_answers_that_still_come(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    with ScriptedServer(echo) as server:
        left = client(server, cache=cache, limits={"timeout": 20.0})

        first = iter([True])

        def interrupt(body: Body) -> None:
            if next(first, False):
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the answer comes after the interrupt

        server.on_request = interrupt
        with pytest.raises(KeyboardInterrupt):
            answers(left, 3)
        kept = ReplyCache(cache)
        end = time.monotonic() + 10
        while len(kept) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        server.requests.clear()
        assert answers(client(server, cache=cache), 3) == ["0", "1", "2"]
        assert server.requests == []


def test_a_closed_client_ends_its_connections() -> None:
    before = threading.active_count()
    with ScriptedServer(echo) as server:
        done = client(server)
        answers(done, 3)
        done.close()
        done.close()
        with pytest.raises(ResourceError, match="was closed"):
            answers(done, 1)
    assert done._thread is not None and not done._thread.is_alive()
    assert threading.active_count() <= before + 1  # the server's own ends on its own


def test_close_waits_for_what_is_paid_for(tmp_path: Path) -> None:
    """What is under way comes, is told and is kept; without waiting it is lost."""
    arrived, go = threading.Event(), threading.Event()

    def slow(body: Body) -> None:
        arrived.set()
        go.wait(30)

    for wait, kept in ((30.0, 1), (0.0, 0)):
        arrived.clear()
        go.clear()
        with ScriptedServer(echo) as server:
            server.on_request = slow
            cache = tmp_path / str(wait)
            asked = client(server, cache=cache)
            got: list[Any] = []
            caller = threading.Thread(target=lambda: got.extend(_tried(asked)))  # noqa: B023
            caller.start()
            assert arrived.wait(30)
            threading.Timer(0.2, go.set).start()
            asked.close(wait)
            caller.join(30)
            assert got == (["0"] if kept else ["lost"])
            assert len(ReplyCache(cache)) == kept
            go.set()


def _tried(asked: ChatClient) -> list[Any]:
    try:
        return answers(asked, 1)
    except CancelledError:
        return ["lost"]


def test_something_happens_once_before_the_first_request() -> None:
    """And not for a question that the cache answers, nor within its deadline."""
    told: list[int] = []

    def before() -> None:
        time.sleep(1.0)
        told.append(1)

    with ScriptedServer(echo) as server:
        cache = ReplyCache(None)
        patient = ChatClient(part(server, limits={"deadline": 0.9, "timeout": 0.9}), cache, before=before)
        assert answers(patient, 2) == ["0", "1"]
        assert answers(patient, 3) == ["0", "1", "2"]
        assert told == [1]
        patient.close()
        kept = ChatClient(part(server), cache, before=before)
        assert answers(kept, 3) == ["0", "1", "2"] and told == [1]
        kept.close()


def test_a_limit_of_rate_is_waited_out() -> None:
    with ScriptedServer(echo, lambda body, before: "429" if before < 9 else None) as server:
        limited = client(server, limits={"attempts": 2})
        assert answers(limited, 1) == ["0"]
        assert limited.usage.requests == 10


def test_an_outage_may_be_long() -> None:
    with ScriptedServer(echo, lambda body, before: "500") as server:
        down = client(server, limits={"attempts": 1})
        answers(down, 1)
        down._endpoints[0]._failures = 5000
        assert answers(down, 1, 1) == [Unanswered("HTTP 500")]


def test_of_servers_that_are_all_unwell_the_one_that_is_back_first_is_asked() -> None:
    with ScriptedServer(echo) as a, ScriptedServer(echo) as b:
        both = client(a, b, limits={"deadline": 5.0})
        away, soon = both._endpoints
        away.closed_until = time.monotonic() + 3600  # it asked for patience
        soon._down_until = time.monotonic() + 3600  # it failed several times
        assert answers(both, 8) == [str(i) for i in range(8)]
        assert len(b.requests) == 8 and not a.requests


@pytest.mark.parametrize(
    ("extra", "ok"),
    [
        ({"seed": 1}, True),
        ({"temperature": None}, True),
        ({"max_tokens": None, "max_completion_tokens": 9}, True),
        ({"max_tokens": None}, False),
        ({"max_tokens": 8000}, False),
        ({"temperature": 1.0}, False),
        ({"n": 4}, False),
        ({"stream": True}, False),
        ({"model": "another"}, False),
    ],
)
def test_a_request_may_say_more_and_nothing_else(extra: dict[str, Any], ok: bool) -> None:
    if ok:
        part("http://127.0.0.1:1", request={"extra": extra})
    else:
        with pytest.raises(ValueError, match="is not for `extra`; allowed"):
            part("http://127.0.0.1:1", request={"extra": extra})


def test_a_url_that_cannot_be_asked_is_told_at_once() -> None:
    with pytest.raises((UsageError, ValueError), match=r"999|allowed"):
        client("http://[999::zz]/v1")
