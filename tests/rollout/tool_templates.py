"""Chat templates of the families that call tools, and byte-level tokenizers with their control tokens.

The templates here are written anew: they write turns, calls and results as the families' own do, without
their prose. Where the package `trl` is installed, its copies of the originals are tested beside them, word
for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SMOLLM2 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_QWEN_TOOLS = (
    "{{ '\n\nFunctions:\n<tools>' }}{% for t in tools %}{{ '\n' + (t | tojson) }}{% endfor %}"
    '{{ \'\n</tools>\nTo call one:\n<tool_call>\n{"name": ..., "arguments": ...}\n</tool_call>\' }}'
)
_QWEN_CALLS = (  # `said`: what is before them, `gap`: between that and the first
    "{% for c in m.tool_calls or [] %}{{ '\n' if not loop.first or gap else '' }}"
    '{{ \'<tool_call>\n{"name": "\' + c.function.name + \'", "arguments": \' }}'
    "{{ (c.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"
)
_QWEN_RESULT = (  # those of one turn share a user's turn
    "{% if not loop.previtem or loop.previtem.role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
    "{% if not loop.nextitem or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}"
)

QWEN25 = (
    "{% set s = messages[0].content if messages[0].role == 'system' else 'You help.' %}"
    "{{ '<|im_start|>system\n' + s }}{% if tools %}" + _QWEN_TOOLS + "{% endif %}{{ '<|im_end|>\n' }}"
    "{% for m in messages %}{% if m.role == 'tool' %}" + _QWEN_RESULT + "{% elif m.role == 'assistant' %}"
    "{% set gap = m.content or not m.tool_calls %}"
    "{{ '<|im_start|>assistant\n' + m.content }}" + _QWEN_CALLS + "{{ '<|im_end|>\n' }}"
    "{% elif not (loop.first and m.role == 'system') %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# An assistant's thought is kept while its question lasts; the last turn gets a blank one where it has none.
QWEN3 = (
    "{% set s = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% if tools %}{{ '<|im_start|>system\n' + s }}" + _QWEN_TOOLS + "{{ '<|im_end|>\n' }}"
    "{% elif s %}{{ '<|im_start|>system\n' + s + '<|im_end|>\n' }}{% endif %}"
    "{% set asked = namespace(at=messages | length - 1, found=false) %}"
    "{% for m in messages | reverse %}{% set told = m.content.startswith('<tool_response>')"
    " and m.content.endswith('</tool_response>') %}"
    "{% if m.role == 'user' and not told and not asked.found %}"
    "{% set asked.at = messages | length - 1 - loop.index0 %}{% set asked.found = true %}"
    "{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'tool' %}" + _QWEN_RESULT + "{% elif m.role == 'assistant' %}"
    "{% set thought = '' %}{% set said = m.content %}"
    "{% if '</think>' in said %}{% set parts = said.split('</think>') %}"
    "{% set thought = parts[0].split('<think>')[-1].strip('\n') %}"
    "{% set said = parts[-1].lstrip('\n') %}{% endif %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.index0 > asked.at and (loop.last or thought) %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' + said.lstrip('\n') }}{% else %}{{ said }}{% endif %}"
    "{% set gap = said %}" + _QWEN_CALLS + "{{ '<|im_end|>\n' }}"
    "{% elif not (loop.first and m.role == 'system') %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}"
    "{% endif %}{% endif %}"
)

# Tools stand in the first question, results are JSON strings, texts are trimmed; one call a turn.
LLAMA3 = (
    "{{ bos_token }}{% macro turn(role, text) %}"
    "{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + text + '<|eot_id|>' }}{% endmacro %}"
    "{% set first = messages[0] %}{% set rest = messages %}{% set s = '' %}"
    "{% if first.role == 'system' %}"
    "{% set s = first.content | trim %}{% set rest = messages[1:] %}{% endif %}"
    "{% set place = 'Environment: ipython\n' if tools else '' %}"
    "{{ turn('system', place + 'Today: ' + (date_string or '') + '\n\n' + s) }}"
    "{% if tools %}{% set listed %}{{ 'Functions:\n\n' }}"
    "{% for t in tools %}{{ (t | tojson(indent=4)) + '\n\n' }}{% endfor %}{% endset %}"
    "{{ turn('user', listed + (rest[0].content | trim)) }}{% set rest = rest[1:] %}{% endif %}"
    "{% for m in rest %}{% if m.role == 'tool' %}{{ turn('ipython', m.content | tojson) }}"
    "{% elif 'tool_calls' in m %}"
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('only one call a turn') }}{% endif %}"
    "{% set f = m.tool_calls[0].function %}{% set a = f.arguments | tojson %}"
    "{{ turn('assistant', '{\"name\": \"' + f.name + '\", \"parameters\": ' + a + '}') }}"
    "{% else %}{{ turn(m.role, m.content | trim) }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

# Knows neither tools nor a system: that stands before the first question. Texts are trimmed.
GEMMA3 = (
    "{{ bos_token }}{% set s = '' %}{% set rest = messages %}{% if messages[0].role == 'system' %}"
    "{% set s = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') == (loop.index0 % 2 == 1) %}"
    "{{ raise_exception('user and assistant must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ s if loop.first else '' }}"
    "{{ (m.content | trim) + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_QWEN_ADDED = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|file_sep|>")
_LLAMA = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|reserved_special_token_0|>"),
)


@dataclass(frozen=True)
class Family:
    name: str
    template: str
    special: tuple[str, ...]
    added: tuple[str, ...]  # in the vocabulary, but not declared special
    ends: tuple[str, ...]
    natively: tuple[str, ...]  # of tools, calls, results: what the template knows
    calls: int = 3  # in a turn
    beside: bool = True  # a text can stand before calls
    begin: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _families() -> list[Family]:
    known = ("tools", "calls", "results")
    qwen3 = (*_QWEN_ADDED, "<tool_response>", "</tool_response>", "<think>", "</think>")
    date = {"date_string": "26 Jul 2024"}
    chat = ("<|im_end|>", "<|endoftext|>")
    llama: dict[str, Any] = {"calls": 1, "beside": False, "begin": "<|begin_of_text|>", "arguments": date}
    turns = ("<eos>", "<end_of_turn>")
    gemma = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>")
    files = ("<repo_name>", "<file_sep>", "<jupyter_code>")
    over = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")

    def of(name: str, template: str) -> Family:
        match name.partition("-")[0]:
            case "smollm2":
                return Family(name, template, (*_CHATML, *files), (), chat, ("results",))
            case "qwen2.5":
                return Family(name, template, _CHATML, _QWEN_ADDED, chat, known)
            case "qwen3":
                return Family(name, template, _CHATML, qwen3, chat, known)
            case "llama3":
                return Family(name, template, _LLAMA, (), over, known, **llama)
            case _:
                return Family(name, template, gemma, ("<table>", "\n\n"), turns, (), begin="<bos>")

    made = {"smollm2": SMOLLM2, "qwen2.5": QWEN25, "qwen3": QWEN3, "llama3": LLAMA3, "gemma3": GEMMA3}
    return [of(name, text) for name, text in (*made.items(), *_originals().items())]


def _originals() -> dict[str, str]:
    found = find_spec("trl")
    folder = (
        Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else Path()
    )
    files = {"qwen2.5": "qwen2_5", "qwen3": "qwen3", "llama3-1": "llama3_1", "llama3-2": "llama3_2"}
    paths = {
        name: folder / "chat_templates" / f"{file}.jinja"
        for name, file in (*files.items(), ("gemma3", "gemma3"))
    }
    return {f"{name}-original": p.read_text() for name, p in paths.items() if found and p.is_file()}


# How Llama 3 and Qwen cut a text before anything is merged.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_CALL = '\n<tool_call>\n{"name": "look_up", "arguments": {"word": "%s", "most": -%d}}\n</tool_call>\n\n\n'
_TEXTS = [
    *(SMOLLM2, QWEN25, QWEN3, LLAMA3, GEMMA3),  # their words and marks
    *(_CALL % (a + b, i) for i, a in enumerate(' \n\t"\\{}<>|/:abTé語0') for b in ' \n"{}<>|/:abTé語0'),
    *(
        f"user\n\n\nx{a}{b}y\n<tool_response>\nx{b}{a}y\n</tool_response>"
        for a in "<>|/:ab\n "
        for b in "{}Té語0"
    ),
]

FAMILIES = {family.name: family for family in _families()}


@cache
def tokenizer(name: str, merges: bool = False) -> Any:
    """One token a byte, or one learned from texts of such chats, and the family's control tokens behind."""
    family = FAMILIES[name]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    if merges:
        words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
        raw.pre_tokenizer = pre_tokenizers.Sequence([words, raw.pre_tokenizer])
        trainer = trainers.BpeTrainer(
            vocab_size=2000, initial_alphabet=alphabet, special_tokens=[], show_progress=False
        )
        raw.train_from_iterator(_TEXTS, trainer)
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in family.special])
    raw.add_tokens([AddedToken(t, special=False, normalized=False) for t in family.added])
    # as in the families' own configurations, few of the special tokens have a role
    roles = {"eos_token": family.ends[0]} | ({"bos_token": family.begin} if family.begin else {})
    made = PreTrainedTokenizerFast(tokenizer_object=raw, clean_up_tokenization_spaces=False, **roles)
    made.chat_template = family.template
    return made
