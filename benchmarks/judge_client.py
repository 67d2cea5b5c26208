"""Requests a second of the judge's client against a server that answers at once, in a process of its own.

    python benchmarks/judge_client.py [--visits 100] [--group 4] [--words 200] [--repeats 3] [--json]

Measured through the judge, as training asks: prompts made, sent, read, and kept in the cache on disk. `judge`
asks for every section, `cached` for the same again. The server says the same to every request; it takes part
of the two cores. `cpu ms` is what the client's process alone spends on a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import common

SECTIONS = ("S", "O", "A", "P")
WORDS = ("cough", "fever", "daily", "tablet", "since", "denies", "left", "knee", "twice", "week", "rest")


class _Instant(asyncio.Protocol):
    """HTTP/1.1, keep-alive, requests with Content-Length; nothing is looked at."""

    def __init__(self, response: bytes) -> None:
        self._response, self._buffer = response, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(self._response)


def _serve(pipe: Connection) -> None:
    said = json.dumps({"reason": "Every statement follows from the dialogue.", "verdict": "pass"})
    body = json.dumps(
        {
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 900, "completion_tokens": 30},
        }
    ).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Instant(head + body), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _groups(visits: int, group: int, words: int, seed: int) -> list[tuple[Any, list[dict[str, str]]]]:
    """(visit, its notes): every section differs from every other."""
    from fivestones.types import Message, Task

    rng = random.Random(seed)
    made = []
    for v in range(visits):
        dialogue = _text(rng, words)
        task = Task(
            id=str(v), prompt=(Message("user", dialogue),), reference={"source": dialogue}, cluster=str(v)
        )
        notes = [{s: f"{_text(rng, 20)} {seed} {v} {g}" for s in SECTIONS} for g in range(group)]
        made.append((task, notes))
    return made


def _side(url: str, cache: Path, groups: Sequence[tuple[Any, list[dict[str, str]]]]) -> dict[str, Any]:
    from fivestones.chat import ChatClient, ReplyCache
    from fivestones.recipe_chat import ChatPart
    from fivestones.score.llm import LlmJudge, load_rubric

    part = ChatPart.model_validate({"endpoints": [{"url": url}], "model": "instant"})
    client = ChatClient(part, ReplyCache(cache))
    judge = LlmJudge(client, load_rubric("soap"), SECTIONS)
    began, cpu = time.perf_counter(), time.process_time()
    verdicts = [v for task, notes in groups for v in judge(task, notes)]
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    usage = judge.usage
    client.close()
    assert all(len(v.criteria) == len(SECTIONS) for v in verdicts), usage.unscored
    return {
        "seconds": seconds,
        "questions": usage.questions,
        "requests": usage.requests,
        "per_second": usage.questions / seconds,
        "cpu_ms": 1000 * spent / usage.questions,
        "latency_ms": 1000 * usage.seconds / usage.requests if usage.requests else 0.0,
    }


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--visits", type=common.positive, default=100, help="groups, asked one after another")
    made.add_argument("--group", type=common.positive, default=4, help="notes of a visit, asked at once")
    made.add_argument("--words", type=common.positive, default=200, help="of a dialogue")
    made.add_argument("--json", action="store_true", help="JSON instead of a table")
    common.add_repeats(made)
    args = made.parse_args()

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "judge.sqlite"

        def side(i: int) -> dict[str, Any]:
            """The i-th run's; both sides ask the same questions, `judge` first."""
            return _side(url, cache, _groups(args.visits, args.group, args.words, i))

        kept = common.interleave({"judge": side, "cached": side}, repeats=args.repeats, warmup=args.warmup)
    server.terminate()
    sides = {
        name: {key: common.seconds(answers, key) for key in answers[0]} for name, answers in kept.items()
    }
    rows = [
        [
            name,
            int(s["questions"]["median"]),
            int(s["requests"]["median"]),
            common.shown(s["per_second"], 0),
            common.shown(s["cpu_ms"]),
            common.shown(s["latency_ms"]),
        ]
        for name, s in sides.items()
    ]
    result = {
        "machine": common.machine(),
        "note": f"{args.visits} visits of {args.group} notes, dialogues of {args.words} words; "
        "target: at least 200 requests a second",
        "settings": {"visits": args.visits, "group": args.group, "words": args.words},
        "sides": sides,
    }
    head = ["side", "questions", "requests", "a second", "cpu ms each", "latency ms"]
    common.report(result, common.table(head, rows), as_json=args.json)


if __name__ == "__main__":
    main()
