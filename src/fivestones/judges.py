"""The judges that a recipe names: a part of it -> what judges, with the clients and caches behind it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from fivestones.chat import ChatClient, Egress, ReplyCache, Tally, Usage
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.facts import extra_concepts
from fivestones.own import resolve
from fivestones.protocols import Judge
from fivestones.recipe import MemberPart
from fivestones.recipe_chat import ChatPart, EndpointPart
from fivestones.recipe_serve import ServePart
from fivestones.score.ensemble import Ensemble, GateThenJudge
from fivestones.score.facts.judge import FactsJudge
from fivestones.score.facts.lexicon import Lexicon
from fivestones.score.llm import LlmJudge, load_rubric
from fivestones.score.people import PeopleJudge
from fivestones.serve import KEY, ServedJudge, Server, launch

AT_ONCE = 16  # groups that may wait for a server at the same time
PATIENCE = 1800.0  # seconds that a question to a server of our own may wait for its turn
FOR_THREADS = {"facts", "llm", "ensemble"}  # kinds that several threads may ask


def soap_lexicon() -> Lexicon:
    """All that the clinical job's facts may name."""
    return Lexicon([*knowledge.concepts(knowledge.load()), *extra_concepts()])


class Judges:
    """modules: folders of the user's own; folder: the run directory, for replies that were paid for and the
    record of what left the machine. None keeps the replies in memory, and no record. Close it: clients,
    caches and servers that were started for a judge end then."""

    def __init__(self, modules: Sequence[Path] = (), folder: Path | None = None) -> None:
        self._modules, self._folder = modules, folder
        self._clients: dict[tuple[str, bool], ChatClient] = {}
        self._caches: dict[Path | None, ReplyCache] = {}
        self._servers: dict[str, Server] = {}
        self._tally = Tally()

    @cached_property
    def lexicon(self) -> Lexicon:
        return soap_lexicon()

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="fivestones-serve-")

    @property
    def usage(self) -> Usage | None:
        """Of all that were made; None: none of them asks a server."""
        return self._tally.usage if self._clients else None

    def make(
        self, part: MemberPart, fields: Sequence[str], *, fresh: bool = False, ask: bool = True
    ) -> Judge:
        """The judge of these fields. fresh: it does not remember what it answered before; ask: people are
        asked for the labels that they have not given."""
        members = [self.make(member, fields, fresh=fresh, ask=ask) for member in part.members]
        match part.kind:
            case "facts":
                return FactsJudge(self.lexicon, fields)
            case "llm":
                rubric = load_rubric(part.rubric)
                if part.serve is None:
                    return LlmJudge(self._client(part, fresh), rubric, fields, part.request.output)
                server = self._server(part.serve)
                asked = self._client(_at(server, part, part.serve), fresh, server)
                return ServedJudge(LlmJudge(asked, rubric, fields, part.request.output), server)
            case "people":
                assert part.labels is not None  # the recipe sees to it
                return PeopleJudge(part.labels, fields, *members, ask=ask)
            case "ensemble":
                if part.rule == "gate":
                    gate, judge = members
                    return GateThenJudge(gate, judge, fields, part.threshold)
                names = [f"{member.kind} {i}" for i, member in enumerate(part.members, 1)]
                named = dict(zip(names, members, strict=True))
                return Ensemble(named, part.rule, fields, part.threshold)
        made: Judge = resolve("judge.kind", part.kind, {**part.options, "fields": fields}, self._modules)
        return made

    def at_once(self, part: MemberPart) -> int:
        """How many groups it may be asked about at the same time: a server has time for several, and a user's
        own judge need not be safe for several threads. One group is more than a server of our own works on
        at once: the others would only wait, while their deadlines run."""
        kinds = {p.kind for p in part.judges}
        if any(p.serve for p in part.judges):
            return 1
        return AT_ONCE if "llm" in kinds and kinds <= FOR_THREADS else 1

    def close(self) -> None:
        """What is still asked is lost; what was answered is kept. Nothing can be asked any more."""
        with ExitStack() as last_first:  # each, whatever the others raise
            for server in self._servers.values():
                last_first.callback(server.stop)
            for cache in self._caches.values():
                last_first.callback(cache.close)
            for client in self._clients.values():
                last_first.callback(client.close)

    def _server(self, part: ServePart) -> Server:
        """One for all that name the same model and settings; it starts with the first question."""
        key = part.model_dump_json()
        if key not in self._servers:
            # without a run directory the log goes with this object
            folder = self._folder or Path(self._scratch.name)
            log = folder / f"server-{len(self._servers) + 1}.log"
            self._servers[key] = Server(launch(part), log, ready=part.ready)
        return self._servers[key]

    def _client(self, part: ChatPart, fresh: bool, server: Server | None = None) -> ChatClient:
        """One for all that ask the same model at the same place: they share its limits. server: that is to
        be started for it."""
        key = (part.model_dump_json(include=set(ChatPart.model_fields)), fresh)
        if key not in self._clients:
            path = part.cache or (self._folder / "judge.sqlite" if self._folder else None)
            self._clients[key] = ChatClient(
                part,
                self._caches.setdefault(path, ReplyCache(path)),
                egress=Egress(self._folder / "egress.jsonl" if self._folder else None),
                remember=not fresh,
                tally=self._tally,
                environ={KEY: server.key} if server else os.environ,
                before=server.start if server else None,
            )
        return self._clients[key]


def _at(server: Server, part: ChatPart, served: ServePart) -> ChatPart:
    """The part, asked of a server of our own: as many questions at once as it works on. The others wait for
    their turn, which is no reason to give them up: each attempt has a time limit, and a server that has ended
    is noticed."""
    at_once = {"concurrency": served.parallel, "most": served.parallel}
    patience = max(part.limits.deadline, PATIENCE)
    limits = part.limits.model_copy(update={**at_once, "deadline": patience})
    endpoint = EndpointPart(url=server.url, api_key_env=KEY)
    here = {"endpoints": (endpoint,), "model": server.model, "limits": limits}
    return part.model_copy(update=here)
