"""Messages <-> tokens: the one place where a chat template is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fivestones.types import Message


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
        return tuple(self._encode(self._render(messages, generate=True), messages))

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

    def reply_ids(self, messages: Sequence[Message], replies: Sequence[Message]) -> tuple[int, ...]:
        """Tokens that the template adds for `replies` after a finished assistant turn, up to the next one.

        Raises ValueError when the template rewrites what came before, so that no delta exists.
        """
        before = self._render(messages, generate=False)
        after = self._render([*messages, *replies], generate=True)
        answer = messages[-1].content.strip()
        cut = before.rfind(answer) + len(answer)
        if after[:cut] != before[:cut]:
            raise ValueError("the chat template rewrites earlier turns: its rollouts cannot be token-exact")
        delta = after[cut:]
        ids = self._encode(delta, replies)
        # the sampled turn ended with its own end token
        return tuple(ids[1:] if ids and ids[0] in self.ends else ids)

    def _render(self, messages: Sequence[Message], *, generate: bool) -> str:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        text: str = self.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=generate, **self.template
        )
        return text

    def _encode(self, text: str, messages: Sequence[Message]) -> list[int]:
        """Tokens of a rendered chat; special tokens written inside a message stay plain text."""
        unsafe = sorted({s for s in self._special for m in messages if s in m.content}, key=len, reverse=True)
        if not unsafe:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        out: list[int] = []
        for m in messages:
            content = m.content if m.content in text else m.content.strip()
            before, _, text = text.partition(content)
            out += self.tokenizer(before, add_special_tokens=False)["input_ids"]
            out += self.tokenizer(content, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return out + list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
