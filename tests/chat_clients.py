"""Clients of scripted servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from fivestones.chat import ChatClient, Egress, ReplyCache
from fivestones.recipe_chat import ChatPart
from scripted_server import ScriptedServer

# nothing here depends on the machine's speed: a test about time sets its own limits
QUICK: Mapping[str, Any] = {"timeout": 30.0, "deadline": 60.0, "attempts": 4, "backoff": 0.001}
MADE: list[ChatClient] = []  # closed after each test, by a fixture


def part(*servers: ScriptedServer | str, **keys: Any) -> ChatPart:
    """keys: of ChatPart; `limits` is merged over QUICK."""
    urls = [s if isinstance(s, str) else s.url for s in servers]
    limits = {**QUICK, **keys.pop("limits", {})}
    return ChatPart.model_validate(
        {"endpoints": [{"url": u} for u in urls], "model": "scripted-1b", "limits": limits, **keys}
    )


def client(
    *servers: ScriptedServer | str, cache: Path | None = None, egress: Path | None = None, **keys: Any
) -> ChatClient:
    made = ChatClient(part(*servers, **keys), ReplyCache(cache), egress=Egress(egress), rng=Random(0))
    MADE.append(made)
    return made
