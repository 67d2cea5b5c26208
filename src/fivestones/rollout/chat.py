"""Messages <-> tokens: the one place where a chat template is applied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import pairwise
from typing import Any

from jinja2.exceptions import TemplateError

from fivestones.errors import DataError, ModelError
from fivestones.rollout.tools import PROBE, WORDS, Syntax, as_turn
from fivestones.types import Message

MARK = re.compile("\ue000(\\d+)\ue001")  # stands for the text of a message where the template is searched
BLANK_THOUGHT = re.compile(r"<think>\s*</think>")


class Chat:
    """A tokenizer's chat template under the generation contract."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], template: Mapping[str, Any]) -> None:
        """ends: tokens that end an assistant turn; template: extra arguments of the chat template. Among them
        `tools`, schemas in OpenAI's form: what the template cannot say of tools is said in words."""
        self.tokenizer = tokenizer
        self.ends = tuple(ends)
        self.template = {k: v for k, v in template.items() if k != "tools"}
        self.syntax = Syntax.of(self._applied, template["tools"]) if template.get("tools") else None
        # all that the tokenizer itself calls special: `all_special_tokens` lacks most of Llama 3's
        added = tokenizer.added_tokens_decoder.values()
        special = {*tokenizer.all_special_tokens, *(t.content for t in added if t.special)}
        # such as Qwen's <tool_call>: tokens of the chat that are not declared special
        written = str(tokenizer.chat_template) + WORDS
        marks = {t.content for t in added if t.content.strip() and t.content in written}
        self._special, self._control = _any(special), _any(special | marks)
        self._texts: dict[Message, str] = {}  # of messages with calls

    def prompt_ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Tokens up to where the assistant begins to write."""
        messages = self._raw(messages)
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
        What was sampled stays, also where the template would trim it or leave out a blank thought. Raises
        DataError when the template rewrites more of what came before, so that no delta exists, or when a
        delta does not begin with the end of the turn.
        """
        *past, said = self._raw(messages)
        (mark,) = _marked([said])
        before = self._render(past, generate=True)
        head, delta = _around(mark, self._render([*past, mark, *replies], generate=True), before)
        _, closing = _around(mark, self._render([*past, mark], generate=False), before)
        after = self._render([*past, said, *replies], generate=True)
        kept = after.removesuffix(delta)
        same = _gist(kept) == _gist(before + said.content)
        if kept != after and not same and _gist(head) == _gist(before):
            # an ill-formed thought may be written otherwise, if what follows does not change it
            same = self._render([*past, said], generate=False) == kept + closing
        if kept == after or not same:
            raise DataError("the chat template rewrites earlier turns: its rollouts cannot be token-exact")
        _, skeleton = _around(mark, self._render([*past, mark, *_marked(replies, 1)], generate=True), before)
        ids = self._encode(delta, skeleton, [mark, *replies])
        closed = self.tokenizer(closing, add_special_tokens=False)["input_ids"]
        said_end = next((n for n, i in enumerate(closed, 1) if i in self.ends), 0) if ended else 0
        if ids[:said_end] != closed[:said_end]:
            raise DataError(
                "the chat template ends a turn otherwise, or not at all, when a reply follows: rollouts in "
                "which the model ended it cannot be token-exact"
            )
        return tuple(ids[said_end:])

    def episode_ids(
        self, prompt: Sequence[Message], turns: Sequence[Message]
    ) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Tokens of the turns after a prompt [C], and which of them to imitate [C], what an assistant says
        but for its mistakes: what a rollout with these turns would have sampled and heard. The last turn is
        an assistant's."""
        messages, ids, mask = list(prompt), list[int](), list[bool]()
        for said, replies in _exchanges(turns):
            text = self.spoken(said)
            own = self.answer_ids(text)
            messages.append(Message("assistant", text))
            heard = self.reply_ids(messages, replies, ended=True) if replies else ()
            messages += replies
            ids += [*own, *heard]
            mask += [said.imitate] * len(own) + [False] * len(heard)
        return tuple(ids), tuple(mask)

    def spoken(self, message: Message) -> str:
        """The raw text of an assistant turn, its calls in the template's own syntax."""
        if not message.calls:
            return message.content
        # seen from behind a reply: of the last turn Qwen3's template says more, a blank thought
        asked = Message("user", "x")
        mark, reply = _marked([Message("assistant", ""), Message("tool", "")])
        head, _, rest = self._render([asked, mark, reply], generate=False).partition(mark.content)
        whole = self._render([asked, message, reply], generate=False)
        if not (rest and whole.startswith(head) and whole.endswith(rest)):
            raise ModelError("the chat template writes tool calls elsewhere than where a turn is sampled")
        return whole[len(head) : len(whole) - len(rest)]

    def check_tools(self, prompt: Sequence[Message]) -> None:
        """Raises ModelError when no episode with tools could be token-exact under this template."""
        chat = list(prompt)
        replies = [Message("tool", f"{PROBE}_{n}") for n in range(2)]
        tried, heard = copy(self), list[int]()
        if not self.ends:  # those of the model are known when it is loaded; one of these ends a turn
            tried.ends = tuple(i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special)
        try:
            self.prompt_ids(prompt)
            for _ in range(2):  # a template may rewrite what is further back
                chat.append(Message("assistant", "y"))
                heard += tried.reply_ids(chat, replies, ended=True)
                chat += replies
            shown = self._render(self._raw(chat), generate=True)
        except (DataError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"the model's chat template cannot be used with tools: {error}") from error
        texts = (shown, self.tokenizer.decode(heard))
        if any(re.findall(rf"{PROBE}_(\d)", text) != ["0", "1"] * 2 for text in texts):
            raise ModelError("the model's chat template leaves out what tools reply, or changes its order")

    def _raw(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, those with calls as the text that calls."""
        for m in messages:
            if m.calls and m not in self._texts:
                self._texts[m] = self.spoken(m)
        return [Message(m.role, self._texts[m]) if m.calls else m for m in messages]

    def _render(self, messages: Sequence[Message], *, generate: bool) -> str:
        if self.syntax:
            chat, arguments = self.syntax.prepared(messages), self.syntax.arguments
        else:
            chat, arguments = [as_turn(m, calls=False) for m in messages], {}
        try:
            return self._applied(chat, add_generation_prompt=generate, **arguments)
        except TemplateError as error:
            raise DataError(f"the model's chat template refuses the chat: {error}") from error

    def _applied(self, chat: Sequence[Mapping[str, Any]], **arguments: Any) -> str:
        text: str = self.tokenizer.apply_chat_template(chat, tokenize=False, **arguments, **self.template)
        return text

    def _encode(self, text: str, skeleton: str, messages: Sequence[Message]) -> list[int]:
        """Tokens of a rendered chat; control tokens written inside a message stay plain text.

        skeleton: the same with marks for the texts, so that a text which imitates the template cannot be
        taken for it.
        """
        if not any(self._forbidden(m).search(m.content) for m in messages):
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

    def _forbidden(self, message: Message) -> re.Pattern[str]:
        """Tokens that a message must not smuggle in; what an assistant calls a tool with is its own."""
        return self._special if message.role == "assistant" else self._control

    def _plain(self, text: str, forbidden: re.Pattern[str]) -> list[int]:
        """Tokens of a text in which the forbidden ones are mere characters: it is cut inside of each."""
        cuts = [0, *(m.start() + 1 for m in forbidden.finditer(text)), len(text)]
        ids: list[int] = []
        for start, end in pairwise(cuts):
            piece = text[start:end]
            ids += self.tokenizer(piece, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids


def _any(tokens: Iterable[str]) -> re.Pattern[str]:
    """Finds the tokens, the longest first; nothing where there are none."""
    return re.compile(
        "|".join(map(re.escape, sorted(filter(None, tokens), key=len, reverse=True))) or r"(?!)"
    )


def _gist(text: str) -> str:
    """A text without white space and blank thoughts."""
    return "".join(BLANK_THOUGHT.sub("", text).split())


def _around(mark: Message, text: str, before: str) -> tuple[str, str]:
    """What is written before the mark and behind it, which is nothing where the template leaves it out.

    before: the chat up to it, whose own texts may look like it.
    """
    parts = text.split(mark.content, n := before.count(mark.content) + 1)
    return mark.content.join(parts[:n]), parts[n] if len(parts) > n else ""


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
            if said is None:
                break
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
