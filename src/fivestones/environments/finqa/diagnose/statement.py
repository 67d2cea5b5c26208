"""What an SQL text names: columns, the arguments of its aggregates, the texts it compares with.

A reader of tokens, not of grammar: torn and wrong SQL is read as far as it goes. SQLite's quoting: 'text',
"name" (also a text when there is no such column), `name`, [name].
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

AGGREGATES = frozenset({"sum", "avg", "total", "min", "max"})  # read text as numbers, or order it as text

_TOKEN = re.compile(
    r"(?P<blank>\s++|--[^\n]*+|/\*.*?(?:\*/|\Z))"
    r"|(?P<text>'(?:[^']|'')*+(?:'|\Z))"
    r'|(?P<quoted>"(?:[^"]|"")*+(?:"|\Z)|`[^`]*+(?:`|\Z)|\[[^\]]*+(?:\]|\Z))'
    r"|(?P<word>[^\W\d]\w*+)"
    r"|(?P<number>\d[\w.]*+)"
    r"|(?P<mark>.)",
    re.DOTALL,
)
_WORDS = """
select from where and or not in is null like glob between group by order asc desc limit offset having as
distinct case when then else end cast real integer text numeric join on left inner outer cross union all
exists with values collate nocase escape true false using natural except intersect over partition float int
decimal varchar double recursive
"""
_KEYWORDS = frozenset(_WORDS.split())
_NAMES_NO_COLUMN = frozenset({"from", "join", "as", "into", "update"})  # the name behind them


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # text, quoted, word, number or mark
    value: str  # without quotes, case folded


@dataclass(frozen=True, slots=True)
class Aggregate:
    """SUM(...) and the like."""

    name: str
    columns: frozenset[str]
    cleaned: bool  # REPLACE takes the separators out


@dataclass(frozen=True, slots=True)
class Statement:
    """Names and texts are case folded."""

    columns: frozenset[str]
    aliases: frozenset[str]  # names given by AS
    aggregates: tuple[Aggregate, ...]
    texts: frozenset[str]  # compared with: 'text' and "name" from the first WHERE on


def read_statement(sql: str) -> Statement:
    tokens = list(_tokens(sql))
    words = [t.value if t.kind == "word" else "" for t in tokens]
    where = words.index("where") if "where" in words else len(tokens)
    named = {t.value for t, before in zip(tokens[1:], words, strict=False) if before == "as" and _named(t)}
    aliases = named - _KEYWORDS
    cleaned = aliases if "replace" in words else set()  # a column that an inner SELECT made may be clean
    return Statement(
        columns=frozenset(_columns(tokens)),
        aliases=frozenset(aliases),
        aggregates=tuple(_aggregates(tokens, cleaned)),
        texts=frozenset(t.value.strip() for t in tokens[where:] if t.kind in ("text", "quoted")),
    )


def _tokens(sql: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(sql):
        kind, value = str(match.lastgroup), match.group()
        if kind == "blank":
            continue
        if kind in ("text", "quoted"):
            quote = {"[": "]"}.get(value[0], value[0])
            value = value[1:].removesuffix(quote).replace(quote * 2, quote)
        yield Token(kind, value.casefold())


def _named(token: Token) -> bool:
    return token.kind in ("quoted", "word")


def _columns(tokens: Sequence[Token]) -> Iterator[str]:
    """Names that can be columns: no keyword, function, table or alias."""
    for i, token in enumerate(tokens):
        before = tokens[i - 1].value if i else ""
        after = tokens[i + 1].value if i + 1 < len(tokens) else ""
        if token.kind == "quoted" and before not in _NAMES_NO_COLUMN:
            yield token.value
        if token.kind == "word" and token.value not in _KEYWORDS:
            if after in ("(", ".") or before in _NAMES_NO_COLUMN:
                continue
            yield token.value


def _aggregates(tokens: Sequence[Token], cleaned: set[str]) -> Iterator[Aggregate]:
    for i, token in enumerate(tokens[:-1]):
        if token.kind != "word" or token.value not in AGGREGATES or tokens[i + 1].value != "(":
            continue
        inside = _inside(tokens, i + 2)
        columns = frozenset(_columns(inside))
        replaced = any(t.kind == "word" and t.value == "replace" for t in inside)
        yield Aggregate(token.value, columns, replaced or (bool(columns) and columns <= cleaned))


def _inside(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    """Up to the bracket that closes the one before `start`, or to the end."""
    depth = 1
    for end in range(start, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[end].value, 0) if tokens[end].kind == "mark" else 0
        if depth == 0:
            return tokens[start:end]
    return tokens[start:]
