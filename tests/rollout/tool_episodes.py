"""Chats with tools of the model families, and scripted rollouts in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st
from tool_templates import FAMILIES, tokenizer

from fivestones.rollout.chat import Chat
from fivestones.rollout.collect import collect
from fivestones.types import Call, Completion, Finish, Generation, Message, Rollout, Task

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks a word up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}, "most": {"type": "integer"}},
                "required": ["word"],
            },
        },
    }
]
PROMPT = (Message("system", "Be brief."), Message("user", "What is it?"))
every = pytest.mark.parametrize("name", FAMILIES)
with_merges = pytest.mark.parametrize("merges", [False, True], ids=["bytes", "merges"])
qwens = pytest.mark.parametrize("name", [n for n in FAMILIES if n.startswith("qwen3")])


def chat(name: str, merges: bool = False, **template: Any) -> Chat:
    made, family = tokenizer(name, merges), FAMILIES[name]
    ends = [made.convert_tokens_to_ids(t) for t in family.ends]
    return Chat(made, ends, {**family.arguments, "tools": TOOLS, **template})


def whole(c: Chat, messages: Sequence[Message], *, generate: bool) -> list[int]:
    """The tokens of a chat, written by the template at once."""
    assert c.syntax
    turns = c.syntax.prepared(messages)
    told = {"add_generation_prompt": generate, **c.syntax.arguments, **c.template}
    text = c.tokenizer.apply_chat_template(turns, tokenize=False, **told)
    return list(c.tokenizer(text, add_special_tokens=False)["input_ids"])


def plain(c: Chat, text: str) -> list[int]:
    """No matter which control tokens are in a text, its bytes."""
    return [i for letter in text for i in c.tokenizer(letter, add_special_tokens=False)["input_ids"]]


def within(part: Sequence[int], ids: Sequence[int]) -> int:
    """How often the one is in the other."""
    size = len(part)
    return sum(list(ids[at : at + size]) == list(part) for at in range(len(ids) - size + 1))


# Texts without control tokens that white space neither begins nor ends. JSON of a call takes any text.
inner = st.text(st.sampled_from(' \n\t"\\{}<>|/:abTé語0'), max_size=8)
texts = inner.map(lambda t: f"x{t}y")
calls = st.builds(
    lambda word, most: Call("look_up", json.dumps({"word": word, "most": most}, ensure_ascii=False)),
    inner,
    st.integers(-3, 3) | st.none(),
)


@st.composite
def episodes(draw: Any, *, most: int, beside: bool) -> list[Message]:
    """1 to 5 turns of an assistant, each but the last with replies; the last may call too.

    most: calls in a turn; beside: a text can stand before calls."""
    turns: list[Message] = []
    for left in reversed(range(draw(st.integers(1, 5)))):
        asked = tuple(draw(st.lists(calls, max_size=most)))
        text = draw(texts) if not asked or (beside and draw(st.booleans())) else ""
        turns.append(Message("assistant", text, asked))
        if left:
            turns += [Message("tool", t) for t in draw(st.lists(texts, min_size=1, max_size=3))]
    return turns


def raw(c: Chat, turns: Sequence[Message]) -> list[Message]:
    """The calls of a demonstration as the text that a model samples."""
    return [Message(m.role, c.spoken(m)) for m in turns]


def structure(c: Chat, ids: Sequence[int]) -> list[int]:
    """The control tokens."""
    return [i for i in ids if i >= 256 and c.tokenizer.decode([i]).strip()]


class Sampler:
    """Says the texts of a script, an end token behind each, or what the script says of its end."""

    def __init__(self, c: Chat, script: Sequence[Sequence[str | Completion]]) -> None:
        self.chat, self.script = c, script
        self.asked: list[tuple[int, tuple[int, ...]]] = []

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        generation: Generation,
        seeds: Sequence[int],
        ended: Callable[[int, Completion], None] | None = None,
    ) -> list[Completion]:
        """seeds: 10 * row + turn."""
        out = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            said = self.script[seed // 10][seed % 10]
            self.asked.append((seed, tuple(prompt)))
            out.append(said if isinstance(said, Completion) else completion(self.chat.answer_ids(said), said))
        for place, done in enumerate(out):
            if ended:
                ended(place, done)
        return out

    def sync(self, weights: Any, version: int) -> None: ...


def completion(ids: Sequence[int], text: str, finish: Finish = "stop") -> Completion:
    return Completion(text=text, token_ids=tuple(ids), logprobs=(-1.0,) * len(ids), finish=finish)


class World:
    """Replies to a turn with what the script says, an exception included."""

    def __init__(self, replies: Sequence[Sequence[Sequence[Message] | Exception]]) -> None:
        self.replies = replies

    def reply(self, task: Task, messages: Sequence[Message]) -> Sequence[Message]:
        turn = sum(m.role == "assistant" for m in messages) - 1
        script = self.replies[int(task.id)]
        said = script[turn] if turn < len(script) else ()
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def gates(self) -> dict[str, Any]:
        return {}

    def tasks(self, split: str) -> list[Task]:
        return []


def rolled(
    c: Chat,
    world: World,
    script: Sequence[Sequence[str | Completion]],
    prompt: Sequence[Message] = PROMPT,
    max_turns: int = 9,
    context: int = 1 << 20,
) -> list[Rollout]:
    tasks = [Task(id=str(i), prompt=tuple(prompt), reference={}, cluster="c") for i in range(len(script))]
    return collect(
        world,
        tasks,
        Sampler(c, script),
        c,
        Generation(max_tokens=40),
        lambda task, member, turn: 10 * int(task.id) + turn,
        group_size=1,
        max_turns=max_turns,
        context=context,
    )


def exchanges(turns: Sequence[Message]) -> tuple[list[str], list[list[Message]]]:
    """What an assistant says in turn, and what it hears of each."""
    said, heard = list[str](), list[list[Message]]()
    for turn in turns:
        if turn.role == "assistant":
            said.append(turn.content)
            heard.append([])
        else:
            heard[-1].append(turn)
    return said, heard
