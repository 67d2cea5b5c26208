"""A script: the blocks of a dialogue in order, and how talk is put between them until the length is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from fivestones.environments.soap.realise_talk import distract, exchange
from fivestones.environments.soap.realise_voice import Turn, Voice

T = TypeVar("T")

# Where an exchange of each bank may stand: after a block of one of these phases.
_AFTER = {
    "small": ("open", "S"), "exam": ("O",), "explain": ("A", "P"), "aside": ("open", "S", "O", "P"),
    "cut": ("S", "O", "P"), "distractor": ("S", "A", "P"),
}  # fmt: skip


@dataclass(slots=True)
class Script:
    """Blocks stay whole: nothing comes between a question and its answer."""

    v: Voice
    blocks: list[tuple[str, list[Turn]]] = field(default_factory=list)  # (phase, turns)

    def add(self, phase: str, *turns: Turn) -> None:
        if turns:
            self.blocks.append((phase, list(turns)))

    def words(self) -> int:
        """Upper bound of the words of the dialogue: one speaker label for each turn."""
        return sum(1 + text.count(" ") + 1 for _, turns in self.blocks for _, text in turns)

    def pad(self, target: int, limit: int, weights: Mapping[str, float], distractors: int) -> None:
        """Add distractors and other talk until there are `target` words, never more than `limit`."""
        length = self.words()
        for turns in distract(self.v)[:distractors]:
            length += self._insert("distractor", turns, limit - length)
        weights = dict(weights)
        while length < target and weights:
            bank = self.v.rng.choices(list(weights), list(weights.values()))[0]
            turns = exchange(self.v, bank)
            if added := self._insert(bank, turns, limit - length):
                length += added
            else:
                weights.pop(bank)  # used up, or nothing of it fits any more

    def _insert(self, bank: str, turns: list[Turn], room: int) -> int:
        size = sum(text.count(" ") + 2 for _, text in turns)
        places = [n for n, (phase, _) in enumerate(self.blocks) if phase in _AFTER[bank]]
        if not turns or size > room or not places:
            return 0
        at = places[int(self.v.rng.random() * len(places))]
        self.blocks.insert(at + 1, (self.blocks[at][0], turns))
        return size

    def text(self, labels: Mapping[str, str]) -> str:
        """The dialogue, one turn a line; neighbouring turns of one speaker become one."""
        lines: list[tuple[str, list[str]]] = []
        for _, turns in self.blocks:
            for speaker, words in turns:
                if lines and lines[-1][0] == speaker:
                    lines[-1][1].append(words)
                else:
                    lines.append((speaker, [words]))
        return "\n".join(f"{labels[speaker]}: {' '.join(words)}" for speaker, words in lines)


def chunks(rng: Random, items: Sequence[T], low: int, high: int) -> list[list[T]]:
    """Split into runs of `low` to `high` items."""
    out, at = [], 0
    while at < len(items):
        n = rng.randint(low, high)
        out.append(list(items[at : at + n]))
        at += n
    return out
