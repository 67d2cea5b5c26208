"""Messages <-> tokens: the one place where a chat template is applied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from fivestones.errors import DataError, ModelError
from fivestones.rollout.tools import Syntax
from fivestones.types import Message

MARK = re.compile("\ue000(\\d+)\ue001")  # stands for the text of a message where the template is searched


class Chat:
    """A tokenizer's chat template under the generation contract."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], template: Mapping[str, Any]) -> None:
        """ends: tokens that end an assistant turn; template: extra arguments of the chat template. Among them
        `tools`, schemas in OpenAI's form: what the template cannot say of tools is said in words."""
        self.tokenizer = tokenizer
        self.ends = tuple(ends)
        self.template = {k: v for k, v in template.items() if k != "tools"}
        self.syntax = Syntax.of(self._applied, template["tools"]) if template.get("tools") else None
        special = [t for t in tokenizer.all_special_tokens if t]
        # such as Qwen's <tool_call>: tokens of the template that are not declared special
        written = str(tokenizer.chat_template)
        added = [t for t in tokenizer.get_added_vocab() if t.strip() and t in written and t not in special]
        self._special, self._added = tuple(special), tuple(added)
        self._control = re.compile("|".join(map(re.escape, (*special, *added)))) if special or added else None

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
        Raises DataError when the template rewrites what came before, so that no delta exists.
        """
        (mark,) = _marked(messages[-1:])
        tail = self._render([*messages[:-1], mark], generate=False).rpartition(mark.content)[2]
        before = self._render(messages, generate=False)
        after = self._render([*messages, *replies], generate=True)
        cut = len(before) - len(tail)
        if not before.endswith(tail) or after[:cut] != before[:cut]:
            raise DataError("the chat template rewrites earlier turns: its rollouts cannot be token-exact")
        skeleton = self._render([*messages[:-1], mark, *_marked(replies, 1)], generate=True)
        ids = self._encode(after[cut:], skeleton.partition(mark.content)[2], [messages[-1], *replies])
        closing = self.tokenizer(tail, add_special_tokens=False)["input_ids"]
        if ended and any(i in self.ends for i in closing):
            ids = ids[1 + next(n for n, i in enumerate(ids) if i in self.ends) :]
        return tuple(ids)

    def episode_ids(
        self, prompt: Sequence[Message], turns: Sequence[Message]
    ) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Tokens of the turns after a prompt [C], and which of them an assistant says [C]: what a rollout
        with these turns would have sampled and heard. The last turn is an assistant's."""
        messages, ids, mask = list(prompt), list[int](), list[bool]()
        for said, replies in _exchanges(turns):
            text = self.spoken(said)
            own = self.answer_ids(text)
            messages.append(Message("assistant", text))
            heard = self.reply_ids(messages, replies, ended=True) if replies else ()
            messages += replies
            ids += [*own, *heard]
            mask += [True] * len(own) + [False] * len(heard)
        return tuple(ids), tuple(mask)

    def spoken(self, message: Message) -> str:
        """The raw text of an assistant turn, its calls in the template's own syntax."""
        if not message.calls:
            return message.content
        start = [Message("user", "x")]
        head = self._render(start, generate=True)
        whole = self._render([*start, message], generate=False)
        closing = self._render([*start, *_marked([message])], generate=False).rpartition("\ue001")[2]
        last = self.tokenizer.decode([self.end]) if self.ends else closing
        text, found, _ = whole[len(head) :].rpartition(last)
        if not whole.startswith(head) or (last and not found):
            raise ModelError("the chat template writes tool calls elsewhere than where a turn is sampled")
        return text

    def check_tools(self, prompt: Sequence[Message]) -> None:
        """Raises ModelError when no episode with tools could be token-exact under this template."""
        said = [*prompt, Message("assistant", "y")]
        replies = [Message("tool", "first"), Message("tool", "second")]
        try:
            self.prompt_ids(prompt)
            self.reply_ids(said, replies, ended=True)
        except (DataError, TemplateError, TypeError, ValueError) as error:
            raise ModelError(f"the model's chat template cannot be used with tools: {error}") from error
        shown = self._render([*said, *replies], generate=True)
        if not all(r.content in shown for r in replies):
            raise ModelError("the model's chat template leaves out what tools reply")

    def _render(self, messages: Sequence[Message], *, generate: bool) -> str:
        if self.syntax:
            return self._applied(
                self.syntax.prepared(messages), add_generation_prompt=generate, **self.syntax.arguments
            )
        chat = [{"role": m.role, "content": m.content} for m in messages]
        return self._applied(chat, add_generation_prompt=generate)

    def _applied(self, chat: Sequence[Mapping[str, Any]], **arguments: Any) -> str:
        text: str = self.tokenizer.apply_chat_template(chat, tokenize=False, **arguments, **self.template)
        return text

    def _encode(self, text: str, skeleton: str, messages: Sequence[Message]) -> list[int]:
        """Tokens of a rendered chat; control tokens written inside a message stay plain text.

        skeleton: the same with marks for the texts, so that a text which imitates the template cannot be
        taken for it.
        """
        if not any(t in m.content for m in messages for t in self._forbidden(m)):
            ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids
        first, *rest = MARK.split(skeleton)
        out, at = list(self.tokenizer(first, add_special_tokens=False)["input_ids"]), len(first)
        for index, fixed in zip(rest[::2], rest[1::2], strict=True):
            message = messages[int(index)]
            found = next((c for c in _written(message.content) if text.startswith(c + fixed, at)), None)
            if found is None:
                raise DataError(
                    "a message holds special tokens, and the chat template rewrites it: "
                    f"{message.content[:80]!r}"
                )
            out += self._plain(found, self._forbidden(message))
            out += self.tokenizer(fixed, add_special_tokens=False)["input_ids"]
            at += len(found) + len(fixed)
        return out

    def _forbidden(self, message: Message) -> tuple[str, ...]:
        """Tokens that a message must not smuggle in; what an assistant calls a tool with is its own."""
        return self._special if message.role == "assistant" else (*self._special, *self._added)

    def _plain(self, text: str, forbidden: Sequence[str]) -> list[int]:
        """Tokens of a text in which the forbidden ones are mere characters: it is cut inside of each."""
        cuts = [0]
        if self._control:
            cuts += [m.start() + 1 for m in self._control.finditer(text) if m[0] in forbidden]
        pieces = [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]
        ids: list[int] = []
        for piece in pieces:
            ids += self.tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids


def _exchanges(turns: Sequence[Message]) -> Iterator[tuple[Message, list[Message]]]:
    """Each assistant turn with the replies to it."""
    said: Message | None = None
    replies: list[Message] = []
    for turn in turns:
        if turn.role == "assistant":
            if said:
                yield said, replies
            said, replies = turn, []
        else:
            replies.append(turn)
    if said is None or replies:
        raise DataError("a demonstration begins and ends with an assistant turn")
    yield said, replies


def _marked(messages: Sequence[Message], first: int = 0) -> list[Message]:
    """The messages with a mark in place of each text."""
    return [Message(m.role, f"\ue000{i}\ue001", m.calls) for i, m in enumerate(messages, first)]


def _written(content: str) -> Iterator[str]:
    """How templates write a text: as it is, trimmed, or as a JSON string."""
    yield content
    yield content.strip()
    yield json.dumps(content, ensure_ascii=False)[1:-1]
