"""The judges that a recipe names: a part of it -> what judges, with the clients and caches behind it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
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

    @property
    def usage(self) -> Usage | None:
        """Of all that were made; None: none of them asks a server."""
        return self._tally.usage if self._clients else None

    def make(self, part: MemberPart, fields: Sequence[str], *, fresh: bool = False) -> Judge:
        """The judge of these fields. fresh: it does not remember what it answered before."""
        members = [self.make(member, fields, fresh=fresh) for member in part.members]
        match part.kind:
            case "facts":
                return FactsJudge(self.lexicon, fields)
            case "llm":
                rubric = load_rubric(part.rubric)
                if part.serve is None:
                    return LlmJudge(self._client(part, fresh), rubric, fields, part.request.output)
                server = self._server(part.serve)
                asked = self._client(_at(server, part, part.serve), fresh, {KEY: server.key})
                return ServedJudge(LlmJudge(asked, rubric, fields, part.request.output), server)
            case "people":
                assert part.labels is not None  # the recipe sees to it
                return PeopleJudge(part.labels, fields, *members)
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
        own judge need not be safe for several threads."""
        kinds = {p.kind for p in part.judges}
        return AT_ONCE if "llm" in kinds and kinds <= FOR_THREADS else 1

    def close(self) -> None:
        """What is still asked is lost; what was answered is kept. Nothing can be asked any more."""
        for client in self._clients.values():
            client.close()
        for cache in self._caches.values():
            cache.close()
        for server in self._servers.values():
            server.stop()

    def _server(self, part: ServePart) -> Server:
        """One for all that name the same model and settings; it starts with the first question."""
        key = part.model_dump_json()
        if key not in self._servers:
            folder = self._folder or Path(tempfile.mkdtemp(prefix="fivestones-serve-"))
            log = folder / f"server-{len(self._servers) + 1}.log"
            self._servers[key] = Server(launch(part), log, ready=part.ready)
        return self._servers[key]

    def _client(self, part: ChatPart, fresh: bool, environ: Mapping[str, str] = os.environ) -> ChatClient:
        """One for all that ask the same model at the same place: they share its limits. environ: where its
        keys are."""
        key = (part.model_dump_json(include=set(ChatPart.model_fields)), fresh)
        if key not in self._clients:
            path = part.cache or (self._folder / "judge.sqlite" if self._folder else None)
            self._clients[key] = ChatClient(
                part,
                self._caches.setdefault(path, ReplyCache(path)),
                egress=Egress(self._folder / "egress.jsonl" if self._folder else None),
                remember=not fresh,
                tally=self._tally,
                environ=environ,
            )
        return self._clients[key]


def _at(server: Server, part: ChatPart, served: ServePart) -> ChatPart:
    """The part, asked of a server of our own: as many questions at once as it works on."""
    limits = part.limits.model_copy(update={"concurrency": served.parallel, "most": served.parallel})
    endpoint = EndpointPart(url=server.url, api_key_env=KEY)
    here = {"endpoints": (endpoint,), "model": server.model, "limits": limits}
    return part.model_copy(update=here)
