"""What a query may say, judged from its text: one SELECT, no `*`, a filter or an aggregate, a bounded size.

SQLite itself decides the rest (see sql.py). What has to be known before SQLite sees the query is here: it
prepares before any clock of ours runs, and it reads `"2024"` as text when there is no such column.
"""

from __future__ import annotations

import re

from fivestones.environments.tool_use.tools import ToolError

LONGEST = 2000  # characters of a query
SELECTS = 8  # in one query
SOURCES = 12  # tables behind FROM and JOIN: subqueries named WITH are copied into each place that reads them
NESTED = 40  # parentheses
AGGREGATES = frozenset(("count", "sum", "total", "avg", "min", "max", "group_concat"))
_FILTERS = frozenset(("WHERE", "HAVING"))
_CLAUSES = frozenset(
    ("WHERE", "HAVING", "GROUP", "ORDER", "LIMIT", "UNION", "EXCEPT", "INTERSECT", "WINDOW", "SELECT", "FROM")
)
_NO_NAME = {
    *(
        "AND",
        "OR",
        "NOT",
        "IS",
        "IN",
        "NULL",
        "TRUE",
        "FALSE",
        "LIKE",
        "GLOB",
        "BETWEEN",
        "EXISTS",
        "CASE",
        "WHEN",
    ),
    *(
        "THEN",
        "ELSE",
        "END",
        "CAST",
        "AS",
        "TEXT",
        "REAL",
        "INTEGER",
        "COLLATE",
        "ESCAPE",
        "ISNULL",
        "NOTNULL",
    ),
    "DISTINCT",
}
_TOKEN = re.compile(
    r"""\s+|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?
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
            tokens.append((kind, text.upper() if kind == "word" else text, at))
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
    depth, selects, sources = 0, 0, 0
    listing: list[bool] = [False]  # for each open parenthesis: does a comma part tables there?
    for kind, text, _ in tokens:
        if text == "(":
            depth += 1
            listing.append(listing[-1])  # FROM (t, t) lists tables too
            if depth > NESTED:
                raise ToolError(f"nested too deeply: at most {NESTED} parentheses within one another")
        elif text == ")" and depth:
            depth -= 1
            listing.pop()
        elif kind == "word":
            selects += text in ("SELECT", "VALUES")
            sources += text in ("FROM", "JOIN")
            if text in _CLAUSES:
                listing[-1] = text == "FROM"
        elif text == "," and listing[-1]:
            sources += 1
    if selects > SELECTS:
        raise ToolError(f"too many SELECTs: {selects}, at most {SELECTS} are allowed")
    if sources > SOURCES:
        raise ToolError(f"too many tables behind FROM and JOIN: {sources}, at most {SOURCES} are allowed")


def _filtered(tokens: list[Token]) -> None:
    """A WHERE that names something, or an aggregate: `WHERE 1=1` filters nothing."""
    filtering = False
    for index, (kind, text, _) in enumerate(tokens):
        opens = tokens[index + 1][1] == "(" if index + 1 < len(tokens) else False
        if kind == "word" and (text == "GROUP" or (opens and text.lower() in AGGREGATES)):
            return
        if kind == "word" and (text in _FILTERS or text in _CLAUSES):
            filtering = text in _FILTERS
        elif filtering and (kind == "quoted" or (kind == "word" and text not in _NO_NAME)):
            return
    raise ToolError(
        "a filter or an aggregate is required: add WHERE <column> = '...' (or LIKE '%...%'),"
        " or use COUNT, MIN, MAX, GROUP BY"
    )


def _backticked(sql: str, tokens: list[Token]) -> str:
    parts, at = [], 0
    for kind, text, start in tokens:
        if kind == "quoted" and text[0] == '"':
            parts += [sql[at:start], "`", text[1:-1].replace('""', '"').replace("`", "``"), "`"]
            at = start + len(text)
    end = tokens[-1][2] + len(tokens[-1][1])  # without a ';', and without a comment behind it
    return "".join([*parts, sql[at:end]])
