"""The teacher that a recipe names: a part of it -> what tells rows, with the client and cache behind it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from fivestones.chat import ChatClient, Egress, ReplyCache
from fivestones.data.synth import Teaching
from fivestones.data.teacher import Piece, Teacher
from fivestones.environments.soap import knowledge
from fivestones.environments.soap.spec import SECTIONS
from fivestones.environments.soap.teacher import Dialogue, Draft, MakeDraft, Note, load_prompts
from fivestones.judges import soap_lexicon
from fivestones.recipe import SynthPart
from fivestones.recipe_chat import TeacherPart
from fivestones.score.facts.judge import FactsJudge
from fivestones.score.facts.realised import dialogue_faults, note_faults
from fivestones.types import Fact

log = logging.getLogger(__name__)
CACHE = "teacher.sqlite"


class SoapTeacher:
    """folder: of the data, for replies that were paid for and the record of what left the machine; it is
    made. None keeps the replies in memory, and no record. Close it, or use it as a context: what was written
    is kept. Raises UsageError for prompts that are wrong and for a key that is not there."""

    def __init__(self, synth: SynthPart, part: TeacherPart, seed: int, folder: Path | None) -> None:
        prompts = load_prompts(part.prompts)
        lexicon = soap_lexicon()
        judge = FactsJudge(lexicon, SECTIONS)

        def of_dialogue(facts: Sequence[Fact], dialogue: str, allowed: Sequence[str]) -> Sequence[str]:
            return dialogue_faults(facts, dialogue, lexicon, allowed)

        def of_note(facts: Sequence[Fact], note: Mapping[str, str], context: str) -> Sequence[str]:
            return note_faults(judge, facts, note, context)

        pieces: dict[str, Piece[Draft]] = {
            "dialogue": Dialogue(prompts=prompts, find_faults=of_dialogue),
            "note": Note(prompts=prompts, find_faults=of_note, form=part.request.output),
        }
        self._part = part
        self._cache = ReplyCache(part.cache or (folder / CACHE if folder else None))
        egress = Egress(folder / "egress.jsonl" if folder else None)
        self._client = ChatClient(part, self._cache, egress=egress)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self.prompts = prompts.digest
        self.teacher: Teacher[Draft] = Teacher(
            draft=MakeDraft(knowledge.load(), seed, synth.length),
            pieces=[pieces[name] for name in ("dialogue", "note") if name in part.writes],
            client=self._client,
            seed=seed,
            attempts=part.attempts,
            scenarios=part.scenarios,
        )

    @property
    def at_once(self) -> tuple[int, int]:
        """Requests under way at all endpoints: to begin with, and when all goes well."""
        limits, servers = self._part.limits, len(self._part.endpoints)
        return servers * limits.concurrency, servers * limits.most

    @property
    def teaching(self) -> Teaching:
        return Teaching(make=self.teacher, threads=self.at_once[1], spent=self._spent)

    def _spent(self) -> Mapping[str, Any]:
        """By the model's name, in all that shares the cache: rows that were dropped and previews too."""
        return asdict(self._cache.spent(self._client.model))

    def close(self) -> None:
        """Waits for the replies under way, which are paid for, as long as a request may take."""
        try:
            self._client.close(self._part.limits.timeout)
        finally:
            self._cache.close()

    def __enter__(self) -> SoapTeacher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            log.warning(
                "stopping when the replies under way are there, in %g s at most; Ctrl-C again loses them",
                self._part.limits.timeout,
            )
        self.close()
