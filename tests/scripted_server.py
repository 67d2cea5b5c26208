"""A real OpenAI-compatible server on loopback that answers from a script, or fails as real servers do.

`Brain`: what it says of a request. `Script`: which fault an attempt meets. Both get the request as it came;
the server keeps every request, and how often each was answered.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Body = Mapping[str, Any]
Brain = Callable[[Body], str]
Script = Callable[[Body, int], str | None]
"""(request, how often this very request came before) -> a key of `ScriptedServer.faults`, or None."""

QUOTE = {
    "reason": "Every statement is supported.",
    "verdict": "pass",
}  # what a note may hold, and a judge repeat


def completion(text: str | None, finish: str = "stop", **usage: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    made: dict[str, Any] = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return {**made, "usage": usage} if usage else made


@dataclass(frozen=True)
class Fault:
    """How an attempt fails. text: in a whole completion instead of the brain's; raw: instead of all that."""

    status: int = 200
    text: str | None = None
    finish: str = "stop"
    raw: bytes | None = None
    headers: Mapping[str, str] | None = None
    promised: int = 0  # bytes of Content-Length beyond what is sent
    hang: bool = False
    drop: bool = False  # the connection is closed without a byte


def _says(value: Any) -> Fault:
    return Fault(text=value if isinstance(value, str) else json.dumps(value))


FAULTS: Mapping[str, Fault] = {
    "500": Fault(500, raw=b"Internal Server Error"),
    "503": Fault(503, raw=b'{"error": {"message": "overloaded"}}'),
    "429": Fault(429, raw=b'{"error": {"message": "slow down"}}', headers={"Retry-After": "0.02"}),
    "hang": Fault(hang=True),
    "dropped": Fault(drop=True),
    "truncated body": Fault(raw=b'{"choices": [{"message": {"content": "', promised=400),
    "malformed body": Fault(raw=b'{"choices": [{"message"'),
    "not utf-8": Fault(raw=b'{"choices": "\xff\xfe"}'),
    "not a completion": Fault(raw=b'{"verdict": "pass", "reason": "x"}'),
    "no choices": Fault(raw=b'{"choices": []}'),
    "an end of another kind": Fault(
        raw=b'{"choices": [{"message": {"content": "x"}, "finish_reason": ["stop"]}]}'
    ),
    "a list": Fault(raw=b'[{"reason": "x", "verdict": "pass"}]'),
    "null": Fault(raw=json.dumps(completion(None)).encode()),
    "blank": _says("  \n"),
    "cut off": Fault(text='{"reason": "the dose is', finish="length"),
    "cut after a verdict": Fault(text=json.dumps(QUOTE), finish="length"),
    "filtered": Fault(text=json.dumps(QUOTE), finish="content_filter"),
    "malformed JSON": _says('{"reason": "fine", "verdict": pass}'),
    "half an object": _says('{"reason": "it says ' + json.dumps(QUOTE) + " inside"),
    "prose alone": _says("I would pass this section. Verdict: pass"),
    "unknown verdict": _says({"reason": "x", "verdict": "excellent"}),
    "verdict of another kind": _says({"reason": "x", "verdict": True}),
    "a number": _says({"reason": "x", "verdict": 1}),
    "no reason": _says({"verdict": "pass"}),
    "empty reason": _says({"reason": " ", "verdict": "pass"}),
    "verdict before reason": _says({"verdict": "pass", "reason": "x"}),
    "key twice": _says('{"reason": "x", "verdict": "fail", "verdict": "pass"}'),
    "unfinished thoughts": _says("<think>It might pass: " + json.dumps(QUOTE)),
    "quoted from the note": _says(QUOTE),
    "quoted in prose": _says("The section says " + json.dumps(QUOTE) + ", which is no fact of the visit."),
}


def section(body: Body) -> str:
    """The text to judge, as the prompt shows it."""
    shown: list[str] = re.findall(r"<section>\n(.*?)\n</section>", body["messages"][-1]["content"], re.DOTALL)
    return shown[-1]


def by_hash(body: Body) -> str:
    """Passes half of all prompts, the same half each time."""
    even = hashlib.sha256(body["messages"][-1]["content"].encode()).digest()[0] % 2 == 0
    return json.dumps({"reason": "as its hash says", "verdict": "pass" if even else "fail"})


def never(body: Body, before: int) -> str | None:
    return None


class ScriptedServer:
    """`with ScriptedServer() as server: ... server.url`."""

    def __init__(self, brain: Brain = by_hash, script: Script = never, *, usage: bool = True) -> None:
        self.brain, self.script, self.usage = brain, script, usage
        self.faults: Mapping[str, Fault] = FAULTS
        self.requests: list[Body] = []
        self.headers: list[Mapping[str, str]] = []
        self.answered: Counter[str] = Counter()  # request -> good answers
        self.most_at_once = 0
        self.on_request: Callable[[Body], None] = lambda body: None
        self._seen: Counter[str] = Counter()
        self._at_once = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                server._serve(self, raw)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *arguments: Any) -> None:  # a client that left
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _serve(self, handler: BaseHTTPRequestHandler, raw: bytes) -> None:
        body = json.loads(raw)
        key = hashlib.sha256(raw).hexdigest()
        with self._lock:
            self.requests.append(body)
            self.headers.append(dict(handler.headers))
            before, self._seen[key] = self._seen[key], self._seen[key] + 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.on_request(body)
            name = self.script(body, before)
            if name is None:
                with self._lock:
                    self.answered[key] += 1
                self._answer(handler, self._completion(self.brain(body), "stop"))
            else:
                self._fail(handler, self.faults[name])
        finally:
            with self._lock:
                self._at_once -= 1

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        if fault.hang:
            self._closed.wait(20)
        if fault.hang or fault.drop:
            handler.close_connection = True
            return
        raw = self._completion(fault.text, fault.finish) if fault.raw is None else fault.raw
        self._answer(handler, raw, fault.status, fault.headers or {}, fault.promised)

    def _completion(self, text: str | None, finish: str) -> bytes:
        usage = {"prompt_tokens": 100, "completion_tokens": 20} if self.usage else {}
        return json.dumps(completion(text, finish, **usage)).encode()

    def _answer(
        self,
        handler: BaseHTTPRequestHandler,
        raw: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        promised: int = 0,
    ) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw) + promised))
        handler.end_headers()
        handler.wfile.write(raw)
        handler.wfile.flush()
        handler.close_connection = bool(promised)
