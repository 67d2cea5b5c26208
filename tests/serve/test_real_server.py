"""The embedded model, really served on a CPU, answers a structured question of the judge's own client."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from fivestones.chat import Ask, ChatClient, ReplyCache, Unanswered
from fivestones.errors import JudgePausedError
from fivestones.recipe_chat import ChatPart
from fivestones.recipe_serve import ServePart
from fivestones.serve import KEY, Server, launch

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 60}, "verdict": {"enum": ["pass", "fail"]}},
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}


def as_a_page(url: str) -> int:
    """The status that a web page gets, which knows the port and sends what browsers send."""
    headers = {"Origin": "http://evil.example", "Host": "evil.example", "Content-Type": "text/plain"}
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_the_embedded_model_judges(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gguf")
    made = launch(ServePart(threads=1, context=512, parallel=1))
    with Server(made, tmp_path / "server.log", ready=120.0) as server:
        part = ChatPart.model_validate(
            {
                "endpoints": [{"url": server.url, "api_key_env": KEY}],
                "model": server.model,
                "request": {"max_tokens": 80},
                "limits": {"attempts": 2, "backoff": 0.01},
            }
        )
        client = ChatClient(part, ReplyCache(None), environ={KEY: server.key})
        assert as_a_page(server.url) == 401

        def ask(text: str) -> Ask[str]:
            body = {
                "messages": [{"role": "user", "content": text}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "v", "schema": SCHEMA}},
            }
            return Ask(
                body=body, affinity="a", about="", read=lambda said: str(json.loads(said.text)["verdict"])
            )

        assert client.complete([ask("Is a cough a symptom? Judge.")])[0] in ("pass", "fail")
        assert client.usage.input_tokens > 0
        os.killpg(server._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        server._process.wait()  # type: ignore[union-attr]
        assert client.complete([ask("And a fever?")]) == [Unanswered("no connection")]
        with pytest.raises(JudgePausedError, match="ended during the run"):
            server.check()
        client.close()
