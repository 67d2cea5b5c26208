"""An OpenAI-compatible server as bad as real ones: `python fake_engine.py PORT NAME [WORD ...]`.

Words: `slow` never answers; `dies` ends with code 3; `mortal` ends at the tenth question; `deaf` takes no
notice of SIGTERM; `child` starts a process of its own, whose id it prints. It answers who shows the key
`secret`, and grades by the letters of the question.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, name, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
questions = 0
print("loading", name, flush=True)
print("myself", os.getpid(), flush=True)
if "child" in words:
    print("child", subprocess.Popen(["sleep", "300"]).pid, flush=True)
if "deaf" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "dies" in words:
    print("no memory for this model", flush=True)
    sys.exit(3)
if "slow" in words:
    time.sleep(300)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"data": [{"id": name}]})

    def do_POST(self) -> None:
        global questions
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        questions += 1
        if "mortal" in words and questions == 10:
            os._exit(9)
        said = json.dumps({"reason": "r", "verdict": hashlib.sha256(asked).digest()[0] % 5})
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        self._answer({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}})

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200 if self.headers["Authorization"] == "Bearer secret" else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
