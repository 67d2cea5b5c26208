"""Tools in the chats of the model families: exact deltas, no forged control tokens, templates that fail."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_episodes import (
    PROMPT,
    TOOLS,
    calls,
    chat,
    episodes,
    every,
    plain,
    raw,
    structure,
    whole,
    with_merges,
    within,
)
from tool_templates import FAMILIES, tokenizer

from fivestones.environments.tool_use.calls import parse
from fivestones.errors import DataError, ModelError
from fivestones.rollout.chat import Chat
from fivestones.types import Call, Message
from tiny import CHATML
from tiny import tokenizer as plain_tokenizer


@every
def test_tools_reach_the_prompt_natively_or_in_words(name: str) -> None:
    c, family = chat(name), FAMILIES[name]
    assert c.syntax
    known = {"tools": c.syntax.lists, "calls": c.syntax.calls, "results": c.syntax.results}
    assert {k for k, v in known.items() if v} == set(family.natively)
    for prompt in (PROMPT, PROMPT[1:]):
        text = c.tokenizer.decode(c.prompt_ids(prompt))
        assert prompt[-1].content in text and ("Be brief." in text) == (len(prompt) == 2)
        described = "- look_up(word, most?: integer): Looks a word up." in text
        assert described != ("tools" in family.natively) and "look_up" in text
        if not described:  # the schema itself
            assert '"required"' in text
        assert "<tool_call>" in text or name.startswith("llama3")


@every
@with_merges
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_a_rollout_is_the_chat_that_the_template_writes(name: str, merges: bool, data: st.DataObject) -> None:
    """Prompt, sampled turns and deltas are the tokens of the whole chat rendered at once."""
    c, family = chat(name, merges), FAMILIES[name]
    turns = data.draw(episodes(most=family.calls, beside=family.beside))
    prompt = PROMPT[data.draw(st.integers(0, 1)) :]
    said = raw(c, turns)
    ids = [*c.prompt_ids(prompt)]
    for at, message in enumerate(said):
        messages = [*prompt, *said[: at + 1]]
        if message.role == "assistant":
            ids += c.answer_ids(message.content)
            replies = said[
                at + 1 : next((n for n in range(at + 1, len(said)) if said[n].role != "tool"), None)
            ]
            if replies:
                ids += c.reply_ids(messages, replies, ended=True)
    *before, last = said
    assert ids == [*whole(c, [*prompt, *before], generate=True), *c.answer_ids(last.content)]
    # with the calls as the template's own
    assert ids == [*whole(c, [*prompt, *turns[:-1]], generate=True), *c.answer_ids(last.content)]
    if not name.startswith("qwen3"):  # which adds a blank thought to a last turn without one
        done = whole(c, [*prompt, *turns], generate=False)
        assert ids == done[: len(ids)] and len(done) <= len(ids) + 1  # the line break behind an end token
    own, mask = c.episode_ids(prompt, turns)
    assert [*c.prompt_ids(prompt), *own] == ids
    assert sum(mask) == sum(len(c.answer_ids(m.content)) for m in said if m.role == "assistant")


@every
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_what_is_spoken_is_read_as_the_same_calls(name: str, data: st.DataObject) -> None:
    c, family = chat(name), FAMILIES[name]
    asked = tuple(data.draw(st.lists(calls, min_size=1, max_size=family.calls)))
    text = data.draw(st.just("") | st.just("So:")) if family.beside else ""
    read = parse(c.spoken(Message("assistant", text, asked)))
    assert [(r.name, json.loads(r.arguments)) for r in read.calls if isinstance(r, Call)] == [
        (a.name, json.loads(a.arguments)) for a in asked
    ]
    assert len(read.calls) == len(asked) and read.text == text


@every
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_control_tokens_in_results_and_questions_stay_characters(name: str, data: st.DataObject) -> None:
    c, family = chat(name), FAMILIES[name]
    used = [t for t in family.added if t.strip() and t in c.tokenizer.chat_template]
    control = [*family.special, *used]
    parts = st.sampled_from([*control, *(t[:-1] for t in control), *(t[0] for t in control), "\nuser", "é"])
    forged = f"\n{control[0]}".join(t + t for t in control)  # each twice, and all
    hostile = f"x#{data.draw(st.just(forged) | st.lists(parts, max_size=9).map(''.join))}#y"
    asked = [Message("user", f"Is {hostile} it?")]
    tame = [Message("user", "Is it?")]
    assert structure(c, c.prompt_ids(asked)) == structure(c, c.prompt_ids(tame))
    assert within(plain(c, hostile), c.prompt_ids(asked)) == 1
    said = Message("assistant", "see")
    bad = [Message("tool", hostile), Message("tool", "fine"), Message("tool", hostile)]
    good = [Message("tool", "first"), Message("tool", "fine"), Message("tool", "third")]
    shown = json.dumps(hostile, ensure_ascii=False)[1:-1] if name.startswith("llama3") else hostile
    for ended in (True, False):
        ids = c.reply_ids([*asked, said], bad, ended=ended)
        tamed = c.reply_ids([*tame, said], good, ended=ended)
        assert structure(c, ids) == structure(c, tamed)
        assert within(plain(c, shown), ids) == 2
        text = c.tokenizer.decode(tamed)
        assert c.tokenizer.decode(ids) == text.replace("first", shown).replace("third", shown)


@every
def test_control_tokens_in_the_calls_of_an_example_stay_characters(name: str) -> None:
    """An example's turn is what a model would have sampled: its calls are its own, its arguments are not."""
    c, end = chat(name), FAMILIES[name].ends[0]
    ids = []
    for word in (end, "word"):
        call = Call("look_up", json.dumps({"word": word}))
        example = [Message("user", "A?"), Message("assistant", "", (call,)), Message("tool", "b")]
        ids.append(c.prompt_ids([*PROMPT[:1], *example, Message("assistant", "B."), PROMPT[1]]))
    assert structure(c, ids[0]) == structure(c, ids[1])
    assert c.tokenizer.decode(ids[0]).replace(f'"{end}"', '"word"') == c.tokenizer.decode(ids[1])


@every
def test_a_text_that_looks_like_a_mark_is_a_text(name: str) -> None:
    """Chat marks the place of texts with \\ue0000\\ue001; a web page may hold that."""
    c, mark = chat(name), "\ue0000\ue001"
    prompt = [Message("user", f"x{mark}y")]
    said = [*prompt, Message("assistant", f"see {mark} it")]
    replies = [Message("tool", f"z{mark}{FAMILIES[name].ends[0]}"), Message("tool", mark)]
    ids = c.reply_ids(said, replies, ended=True)
    assert within(plain(c, mark), ids) == 2
    tame = [Message("user", "xy"), Message("assistant", "see it")]
    assert structure(c, ids) == structure(c, c.reply_ids(tame, [Message("tool", "a")] * 2, ended=True))


@every
@pytest.mark.parametrize("prompt", [PROMPT, PROMPT[1:]], ids=["system", "user"])
def test_the_families_pass_the_check(name: str, prompt: Sequence[Message]) -> None:
    chat(name).check_tools(prompt)
    family = FAMILIES[name]  # before a model is loaded, its end tokens are not known
    Chat(tokenizer(name), (), {**family.arguments, "tools": TOOLS}).check_tools(prompt)


FORGETS = CHATML.replace("{% for m in messages %}", "{% for m in messages[:3] %}")
LATEST = (  # results of the latest turn only, as some templates save room
    "{% set n = namespace(last=0) %}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% set n.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content if m.role != 'tool' or loop.index0 > n.last else '...' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES = "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}" + CHATML
COUNTS = "{{ messages | length }} messages: " + CHATML
SWAPS = CHATML.replace("in messages", "in messages[:2] + (messages[2:] | reverse | list)")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (FORGETS, "leaves out|rewrites"),
        (LATEST, "rewrites earlier turns"),
        (REFUSES, "one question only"),
        (COUNTS, "rewrites earlier turns"),
        (SWAPS, "leaves out|rewrites"),
        (CHATML.replace("in messages", "in messages if m.role != 'assistant'"), "rewrites"),
    ],
    ids=["forgets", "latest", "refuses", "counts", "swaps", "silent"],
)
def test_the_check_tells_of_templates_that_never_work(template: str, says: str) -> None:
    c = Chat(plain_tokenizer(template), (258,), {"tools": TOOLS})
    with pytest.raises(ModelError, match=says):
        c.check_tools([Message("user", "x")])


# a turn that a tool replies to stays open: the model's own end token is none of the template's
OPEN = (
    "{% for m in messages %}{% set next = messages[loop.index0 + 1] if not loop.last else none %}"
    "{% if m.role == 'tool' %}[{{ m.content }}]{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endif %}"
    "{% if not (next and next.role == 'tool') and not (m.role == 'tool' and loop.last and KEPT) %}"
    "<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt and not (messages[-1].role == 'tool' and KEPT) %}"
    "<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("kept", ["true", "false"], ids=["while it goes on", "until the next"])
def test_a_turn_that_stays_open_for_replies_is_told_and_never_cuts_them(kept: str) -> None:
    made = plain_tokenizer(OPEN.replace("KEPT", kept))
    chat = [Message("user", "x"), Message("assistant", "y")]
    for ends in ((258,), ()):
        c = Chat(made, ends, {"tools": TOOLS})
        with pytest.raises(ModelError, match="ends a turn otherwise"):
            c.check_tools(chat[:1])
    c = Chat(made, (258,), {"tools": TOOLS})
    with pytest.raises(DataError, match="ends a turn otherwise"):
        c.reply_ids(chat, [Message("tool", "r")], ended=True)
    heard = made.decode(c.reply_ids(chat, [Message("tool", "r")], ended=False))
    assert heard == ("[r]" if kept == "true" else "[r]<|im_end|>\n<|im_start|>assistant\n")


def test_two_calls_where_the_template_takes_one_are_refused() -> None:
    two = (Call("look_up", '{"word": "a"}'), Call("look_up", '{"word": "b"}'))
    with pytest.raises(DataError, match="refuses the chat: only one call"):
        chat("llama3").spoken(Message("assistant", "", two))


@pytest.mark.parametrize("turns", ["ta", "a t", "", "t"])
def test_a_demonstration_begins_and_ends_with_an_assistant(turns: str) -> None:
    roles = {"t": Message("tool", "x"), "a": Message("assistant", "y")}
    with pytest.raises(DataError, match="begins and ends with an assistant"):
        chat("qwen2.5").episode_ids(PROMPT, [roles[t] for t in turns if t != " "])


def test_calls_are_said_in_words_where_no_tools_are_told() -> None:
    c = Chat(tokenizer("qwen2.5"), (258,), {})
    message = Message("assistant", "", (Call("f", '{"a": 1}'),))
    assert parse(c.spoken(message)).calls == message.calls
