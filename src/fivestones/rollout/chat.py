"""Messages <-> tokens: the one place where a chat template is applied."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.errors import DataError
from fivestones.types import Message

MARK = re.compile("\ue000(\\d+)\ue001")  # stands for the text of a message where the template is searched


class Chat:
    """A tokenizer's chat template under the generation contract."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], template: Mapping[str, Any]) -> None:
        """ends: tokens that end an assistant turn; template: extra arguments of the chat template."""
        self.tokenizer = tokenizer
        self.ends = tuple(ends)
        self.template = dict(template)
        self._special = tuple(t for t in tokenizer.all_special_tokens if t)

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Tokens up to where the assistant begins to write."""
        text = self._render(messages, generate=True)
        return tuple(self._encode(text, self._render(_marked(messages), generate=True), messages))

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """Tokens of an assistant turn that says `text`, end token included: what imitation trains on."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return (*ids, self.end)

    @property
    def end(self) -> int:
        """The end token that the template itself writes after an assistant turn."""
        text = self._render([Message("user", "x"), Message("assistant", "y")], generate=False)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return next((i for i in reversed(ids) if i in self.ends), self.ends[0])

    def reply_ids(
        self, messages: Sequence[Message], replies: Sequence[Message], *, ended: bool
    ) -> tuple[int, ...]:
        """Tokens that the template adds for `replies` after a finished assistant turn, up to the next one.

        ended: the turn was sampled with an end token, which then stands for the template's own; else, as
        after a stop string, the tokens begin with what the template writes at the end of a turn.
        Raises ValueError when the template rewrites what came before, so that no delta exists.
        """
        (mark,) = _marked(messages[-1:])
        tail = self._render([*messages[:-1], mark], generate=False).rpartition(mark.content)[2]
        before = self._render(messages, generate=False)
        after = self._render([*messages, *replies], generate=True)
        cut = len(before) - len(tail)
        if not before.endswith(tail) or after[:cut] != before[:cut]:
            raise ValueError("the chat template rewrites earlier turns: its rollouts cannot be token-exact")
        skeleton = self._render([*messages[:-1], mark, *_marked(replies, 1)], generate=True)
        ids = self._encode(after[cut:], skeleton.partition(mark.content)[2], [messages[-1], *replies])
        closing = self.tokenizer(tail, add_special_tokens=False)["input_ids"]
        if ended and any(i in self.ends for i in closing):
            ids = ids[1 + next(n for n, i in enumerate(ids) if i in self.ends) :]
        return tuple(ids)

    def _render(self, messages: Sequence[Message], *, generate: bool) -> str:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        text: str = self.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=generate, **self.template
        )
        return text

    def _encode(self, text: str, skeleton: str, messages: Sequence[Message]) -> list[int]:
        """Tokens of a rendered chat; special tokens written inside a message stay plain text.

        skeleton: the same with marks for the texts, so that a text which imitates the template cannot be
        taken for it.
        """
        if not any(s in m.content for s in self._special for m in messages):
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        first, *rest = MARK.split(skeleton)
        out, at = list(self.tokenizer(first, add_special_tokens=False)["input_ids"]), len(first)
        for index, fixed in zip(rest[::2], rest[1::2], strict=True):
            content = messages[int(index)].content
            found = next((c for c in (content, content.strip()) if text.startswith(c + fixed, at)), None)
            if found is None:
                raise DataError(
                    f"a message holds special tokens, and the chat template rewrites it: {content[:80]!r}"
                )
            out += self.tokenizer(found, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            out += self.tokenizer(fixed, add_special_tokens=False)["input_ids"]
            at += len(found) + len(fixed)
        return out


def _marked(messages: Sequence[Message], first: int = 0) -> list[Message]:
    """The messages with a mark in place of each text."""
    return [Message(m.role, f"\ue000{i}\ue001") for i, m in enumerate(messages, first)]
