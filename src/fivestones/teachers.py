"""The teacher that a recipe names: a part of it -> what tells rows, with the client and cache behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
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

CACHE = "teacher.sqlite"


class SoapTeacher:
    """folder: of the data, for replies that were paid for and the record of what left the machine; it is
    made. Close it: what is under way ends, what was written is kept. Raises UsageError for prompts that are
    wrong and for a key that is not there."""

    def __init__(self, synth: SynthPart, part: TeacherPart, seed: int, folder: Path) -> None:
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
        folder.mkdir(parents=True, exist_ok=True)
        self._part = part
        self._cache = ReplyCache(part.cache or folder / CACHE)
        self._client = ChatClient(part, self._cache, egress=Egress(folder / "egress.jsonl"))
        self.prompts = prompts.digest
        self.teacher: Teacher[Draft] = Teacher(
            draft=MakeDraft(knowledge.load(), seed, synth.length),
            pieces=[pieces[name] for name in ("dialogue", "note") if name in part.writes],
            client=self._client,
            seed=seed,
            attempts=part.attempts,
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
        self._client.close()
        self._cache.close()
