"""What a query may say, judged from its text: one SELECT, no `*`, a filter or an aggregate, a bounded size.

SQLite itself decides the rest (see sql.py). What has to be known before SQLite sees the query is here: it
prepares before any clock of ours runs, and it reads `"2024"` as text when there is no such column.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

from fivestones.environments.tool_use.tools import ToolError

LONGEST = 2000  # characters of a query
SELECTS = 8  # in one query
SOURCES = 12  # tables behind FROM, JOIN and IN: a subquery named WITH is copied into each place that reads it
NESTED = 40  # parentheses
COPIED = 1_000_000  # tokens after all copying, at most (see _copied); at most 0.2 s of SQLite's preparing
AGGREGATES = frozenset(("count", "sum", "total", "avg", "min", "max", "group_concat"))
_FILTERS = frozenset(("WHERE", "HAVING"))
_CLAUSES = frozenset(  # reserved everywhere: none of them can be a name, as WINDOW and OFFSET can
    ("WHERE", "HAVING", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "SELECT", "FROM")
)
_RESERVED = _CLAUSES | {
    *("ALL", "AND", "AS", "BETWEEN", "CASE", "COLLATE", "DISTINCT", "ELSE", "ESCAPE", "EXISTS", "IN", "IS"),
    *("ISNULL", "JOIN", "NOT", "NOTNULL", "NULL", "ON", "OR", "THEN", "USING", "VALUES", "WHEN"),
}
# what names nothing that could be filtered by; SQLite takes it for a name where it fits as nothing else
_NO_NAME = _RESERVED | {"CAST", "END", "FALSE", "GLOB", "INTEGER", "LIKE", "REAL", "TEXT", "TRUE"}
_TOKEN = re.compile(
    # White space, letters of keywords and digits are those of SQLite, all ASCII: to it any other character is
    # part of a name, a no-break space too.
    r"""[ \t\r\n\f]+|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?
      |(?P<string>[xX]?'(?:[^']|'')*')
      |(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      |(?P<number>0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
      |(?P<word>[^\W\d][\w$]*)
      |(?P<sign>\|\||<<|>>|<>|<=|>=|==|!=|->>|->|[-+*/%(),.;<>=&|~])""",
    re.VERBOSE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
Token = tuple[str, str, int]  # kind, text (a word in capitals), where it begins


def safe_text(sql: str) -> str:
    """`sql` as SQLite shall read it, each "name" written `name`: a name in double quotes that is no column
    would be taken for text. ToolError for what may not be asked."""
    if len(sql) > LONGEST:
        raise ToolError(f"the query has {len(sql):,} characters, at most {LONGEST:,} are allowed")
    if _UNPRINTABLE.search(sql):
        raise ToolError("the query holds a control character or half of a character pair; write plain text")
    tokens = _tokens(sql)
    _one_select(tokens)
    _no_star(tokens)
    _bounded(tokens)
    _filtered(tokens)
    return _backticked(sql, tokens)


def _tokens(sql: str) -> list[Token]:
    tokens: list[Token] = []
    at, end = 0, len(sql)
    while at < end:
        match = _TOKEN.match(sql, at)
        if not match:
            raise ToolError(_unreadable(sql, at))
        if kind := match.lastgroup:
            text = match[0]
            # capitals of ASCII only: UNıON is a name, though "ı".upper() is "I"
            tokens.append((kind, text.upper() if kind == "word" and text.isascii() else text, at))
        at = match.end()
    return tokens


def _unreadable(sql: str, at: int) -> str:
    char = sql[at]
    if char in "'\"`[":
        return f"the {char} at character {at + 1} is never closed"
    if char in "?:@$#":
        return f"{char!r} at character {at + 1} is a parameter: write the value itself, text as 'text'"
    return f"{char!r} at character {at + 1} is no SQL"


def _one_select(tokens: list[Token]) -> None:
    while tokens and tokens[-1][1] == ";":
        tokens.pop()
    if not tokens:
        raise ToolError("the query is empty; write SELECT <columns> FROM <table> WHERE <condition>")
    if any(kind == "sign" and text == ";" for kind, text, _ in tokens):
        raise ToolError("one statement a call: the query holds several, parted by ';'")
    first = tokens[0][1]
    if tokens[0][0] != "word" or first not in ("SELECT", "WITH"):
        raise ToolError(f"only SELECT is allowed, got {first[:40]}: tables can be read, never changed")


def _no_star(tokens: list[Token]) -> None:
    for before, (kind, text, _), after in zip(
        [("", "", 0), *tokens], tokens, [*tokens[1:], ("", "", 0)], strict=False
    ):
        starred = kind == "sign" and text == "*"
        if starred and (
            before[1] in ("SELECT", "DISTINCT", "ALL", ",", ".") or (after[1] == "FROM" and before[1] != "(")
        ):
            raise ToolError("SELECT * is refused: name the columns that you need (get_table_info lists them)")


def _bounded(tokens: list[Token]) -> None:
    depth, selects, sources, before = 0, 0, 0, ""
    regions = _regions(tokens)
    for (kind, text, _), region in zip(tokens, regions, strict=True):
        if text == "(":
            depth += 1
            if depth > NESTED:
                raise ToolError(f"nested too deeply: at most {NESTED} parentheses within one another")
        elif text == ")" and depth:
            depth -= 1
        elif kind == "word":
            selects += text in ("SELECT", "VALUES")
            sources += text in ("FROM", "JOIN")
        elif text == "," and region == "FROM":
            sources += 1
        sources += before == "IN" and text != "("  # x IN t reads the table t
        before = text
    if selects > SELECTS:
        raise ToolError(f"too many SELECTs: {selects}, at most {SELECTS} are allowed")
    if sources > SOURCES:
        raise ToolError(f"too many tables behind FROM, JOIN and IN: {sources}, at most {SOURCES} are allowed")
    if selects > 1 and _copied(tokens, regions) > COPIED:
        raise ToolError("too many names in subqueries within one another: nest less, or ask in several calls")


def _regions(tokens: list[Token]) -> list[str]:
    """The word of _CLAUSES that each token stands behind; at first in a parenthesis the one outside, for
    FROM (t, t) lists tables too."""
    inside, regions = [""], []
    for kind, text, _ in tokens:
        if text == "(":
            inside.append(inside[-1])
        elif text == ")" and len(inside) > 1:
            inside.pop()
        elif kind == "word" and text in _CLAUSES:
            inside[-1] = text
        regions.append(inside[-1])
    return regions


def _copied(tokens: list[Token], regions: list[str]) -> int:
    """A bound on the tokens that SQLite may make of the query before it runs it, when no clock is looked at.

    It copies a subquery into every place that reads it, a column of a subquery into every place that names
    it, and a column of the result into every place of WHERE, GROUP BY and ORDER BY that names or numbers it.
    So along each chain of copies every subquery counts with the names in it, the last one with those that
    read its own columns too: of n names at most n / 2 times n / 2. All but one SELECT of a UNION count as a
    name, for what reads a UNION is copied for each.
    """
    withs = {  # all names of subqueries are among them
        _name(token)
        for before, token in pairwise(tokens)
        if before[1] in ("WITH", "RECURSIVE", ",") and token[0] != "sign"
    }
    copies, largest = 1, 1
    names, asks = [0], [False]  # of each open parenthesis: names at its own level, and is it a subquery?
    before, compared = "", False
    for index, (token, region) in enumerate(zip(tokens, regions, strict=True)):
        kind, text, _ = token
        after = tokens[index + 1][1] if index + 1 < len(tokens) else ""
        if text == "(":
            names.append(0)
            asks.append(False)
        elif text == ")" and len(names) > 1:
            inside, subquery = names.pop(), asks.pop()
            if subquery:
                copies, largest = copies * max(1, inside), max(largest, inside)
            else:
                names[-1] += inside
        elif text in ("SELECT", "VALUES"):
            names[-1] += asks[-1]
            asks[-1] = True
        elif before in ("FROM", "JOIN") and not compared and kind != "sign" and _name(token) not in withs:
            pass  # a table
        elif kind == "quoted" or (kind == "word" and text not in _RESERVED):
            names[-1] += before not in (".", "AS") and after != "("  # t.line is one, a function is none
        elif kind == "string":  # a name where only a name can be
            names[-1] += before not in (".", "AS") and (region == "FROM" or before == "IN" or after == ".")
        elif kind == "number":
            names[-1] += region in ("GROUP", "ORDER")
        compared = before == "DISTINCT" and text == "FROM"  # x IS DISTINCT FROM y
        before = text
    open_ones = [max(1, count) for count in names]
    return math.prod(open_ones, start=copies) * max(largest, *open_ones) * len(tokens) // 4


def _name(token: Token) -> str:
    """The same for all ways to write one name."""
    kind, text, _ = token
    if kind in ("quoted", "string"):
        text = text[1:-1].replace(text[-1] * 2, text[-1])
    return text.upper()


def _filtered(tokens: list[Token]) -> None:
    """A WHERE that names something, or an aggregate: `WHERE 1=1` filters nothing."""
    filtering = [False]  # of each open parenthesis
    for index, (kind, text, _) in enumerate(tokens):
        grouped = [text, *(after for _, after, _ in tokens[index + 1 : index + 2])] == ["GROUP", "BY"]
        if kind == "word" and (grouped or _aggregates(tokens[index:])):
            return
        if text == "(":
            filtering.append(filtering[-1])
        elif text == ")" and len(filtering) > 1:
            filtering.pop()
        elif kind == "word" and (text in _CLAUSES or _defines_windows(tokens, index)):
            filtering[-1] = text in _FILTERS
        elif filtering[-1] and (kind == "quoted" or (kind == "word" and text not in _NO_NAME)):
            return
    raise ToolError(
        "a filter or an aggregate is required: add WHERE <column> = '...' (or LIKE '%...%'),"
        " or use COUNT, MIN, MAX, GROUP BY"
    )


def _aggregates(tokens: list[Token]) -> bool:
    """Whether they begin with an aggregate that makes one row of many: MAX(a, b) and COUNT(x) OVER () do
    not."""
    texts = [text for _, text, _ in tokens]
    name, arguments, depth = texts[0].lower(), 1, 0
    if name not in AGGREGATES or texts[1:2] != ["("]:
        return False
    for index, text in enumerate(texts):
        depth += (text == "(") - (text == ")")
        arguments += text == "," and depth == 1
        if text == ")" and depth == 0 and texts[index + 1 : index + 3] != ["FILTER", "("]:
            return texts[index + 1 : index + 2] != ["OVER"] and (arguments == 1 or name == "group_concat")
    return True  # never closed: SQLite says so


def _defines_windows(tokens: list[Token], index: int) -> bool:
    """WINDOW w AS (...): only so it is no name."""
    return tokens[index][1] == "WINDOW" and [text for _, text, _ in tokens[index + 2 : index + 3]] == ["AS"]


def _backticked(sql: str, tokens: list[Token]) -> str:
    parts, at = [], 0
    for kind, text, start in tokens:
        if kind == "quoted" and text[0] == '"':
            parts += [sql[at:start], "`", text[1:-1].replace('""', '"').replace("`", "``"), "`"]
            at = start + len(text)
    end = tokens[-1][2] + len(tokens[-1][1])  # without a ';', and without a comment behind it
    return "".join([*parts, sql[at:end]])
