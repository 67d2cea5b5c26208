"""Queries that mean harm, each with words of the refusal it must get."""

from __future__ import annotations

T = "us_gaap_DisaggregationOfRevenueTableTextBlock"
OTHER = "us_gaap_LeaseCostTableTextBlock"
ASK = f"SELECT year_2024 FROM {T} WHERE line = 'Services'"
BIG_JOIN = " ".join(f"JOIN {T} r{i} ON 1" for i in range(11))
DOUBLING = (
    f"WITH c0 AS (SELECT line FROM {T})"
    + "".join(f", c{i + 1} AS (SELECT x.line FROM c{i} x, c{i} y)" for i in range(30))
    + " SELECT COUNT(*) FROM c30"
)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
HOARD = (
    "WITH RECURSIVE n(i, s) AS (SELECT 1, 'x' UNION ALL SELECT i + 1, substr(s || s, 1, 2000) || i FROM n)"
)


def nested(part: str, depth: int = 5, name: str = "c{}") -> str:
    """Subqueries named WITH, each of which reads the one before it in `part`."""
    ctes = "".join(f", {name.format(i + 1)}(a) AS ({part.format(c=name.format(i))})" for i in range(depth))
    start = f"WITH {name.format(0)}(a) AS (SELECT line FROM {T} WHERE line > '')"
    return f"{start}{ctes} SELECT a FROM {name.format(depth)} WHERE a > ''"


def doubled(column: str, alias: str, depth: int = 6, times: int = 8, inmost: str = "line") -> str:
    """A subquery in a subquery in ..., each naming the column of the one inside it several times."""
    query = f"SELECT {inmost} AS {alias} FROM {T} WHERE line > ''"
    for _ in range(depth):
        query = f"SELECT {'||'.join([column] * times)} AS {alias} FROM ({query}) s"
    return query


MANY = ", {c}" * 30
ATTACKS = {
    # writes
    f"DELETE FROM {T} WHERE 1=1": "only SELECT",
    f"delete from {T} where line = 'Services'": "only SELECT",
    f"UPDATE {T} SET line = 'x' WHERE 1=1": "only SELECT",
    f"INSERT INTO {T} VALUES ('a', 'b', 'c', 'd')": "only SELECT",
    f"REPLACE INTO {T} VALUES ('a', 'b', 'c', 'd')": "only SELECT",
    f"DROP TABLE {T}": "only SELECT",
    "CREATE TABLE t (a)": "only SELECT",
    "CREATE TEMP TABLE t (a)": "only SELECT",
    f"CREATE TEMP TABLE t AS SELECT line FROM {T} WHERE line = 'a'": "only SELECT",
    f"CREATE VIEW v AS SELECT line FROM {T} WHERE line = 'a'": "only SELECT",
    f"CREATE INDEX i ON {T} (line)": "only SELECT",
    f"CREATE TRIGGER t AFTER INSERT ON {T} BEGIN SELECT 1; END": "one statement",
    "CREATE VIRTUAL TABLE v USING fts5(a)": "only SELECT",
    f"ALTER TABLE {T} ADD COLUMN a": "only SELECT",
    f"ALTER TABLE {T} RENAME TO a": "only SELECT",
    f"WITH t AS (SELECT line FROM {T} WHERE line = 'a') DELETE FROM {T}": "only SELECT",
    f"WITH t(a) AS (SELECT line FROM {T} WHERE line = 'a') UPDATE {T} SET line = 'b'": "only SELECT",
    f"WITH t AS (SELECT COUNT(1) FROM {T}) INSERT INTO {T} SELECT 1, 2, 3, 4": "only SELECT",
    # other statements
    "PRAGMA query_only = OFF": "only SELECT",
    "PRAGMA writable_schema = ON": "only SELECT",
    f"PRAGMA table_info({T})": "only SELECT",
    "ATTACH DATABASE '/tmp/evil.db' AS evil": "only SELECT",
    "ATTACH ':memory:' AS evil": "only SELECT",
    "DETACH main": "only SELECT",
    "VACUUM": "only SELECT",
    "VACUUM INTO '/tmp/copy.db'": "only SELECT",
    "REINDEX": "only SELECT",
    "ANALYZE": "only SELECT",
    "BEGIN EXCLUSIVE": "only SELECT",
    "COMMIT": "only SELECT",
    "SAVEPOINT a": "only SELECT",
    f"EXPLAIN {ASK}": "only SELECT",
    f"EXPLAIN QUERY PLAN {ASK}": "only SELECT",
    "VALUES (1)": "only SELECT",
    f"({ASK})": "only SELECT",
    # several statements, and hidden ones
    f"{ASK}; DELETE FROM {T}": "one statement",
    f"{ASK};{ASK}": "one statement",
    f"/* SELECT */ DELETE FROM {T}": "only SELECT",
    f"-- SELECT\nDELETE FROM {T}": "only SELECT",
    f"\ufeffDELETE FROM {T}": "no SQL",
    f"{ASK}\x00; DELETE FROM {T}": "control character",
    f"{ASK} AND line = '\ud800'": "control character",
    # everything, or nothing
    f"SELECT * FROM {T}": "SELECT * is refused",
    f"SELECT * FROM {T} WHERE line = 'Services'": "SELECT * is refused",
    f"select\n*\nfrom {T}": "SELECT * is refused",
    f"SELECT/**/*/**/FROM {T} WHERE line = 'a'": "SELECT * is refused",
    f"SELECT DISTINCT * FROM {T} WHERE line = 'a'": "SELECT * is refused",
    f"SELECT r.* FROM {T} r WHERE line = 'a'": "SELECT * is refused",
    f"SELECT line, * FROM {T} WHERE line = 'a'": "SELECT * is refused",
    f"SELECT line FROM {T}": "a filter or an aggregate",
    f"SELECT line FROM {T} LIMIT 5": "a filter or an aggregate",
    f"SELECT line FROM {T} WHERE 1=1": "a filter or an aggregate",
    f"SELECT line FROM {T} WHERE\u00a0line": "no SQL",
    f"SELECT line FROM {T} HAV\u0131NG, {T} line": "a filter or an aggregate",
    f"SELECT line FROM {T} WHERE 1=1 WINDOW w AS (ORDER BY line)": "a filter or an aggregate",
    f"SELECT line FROM {T} WHERE 1=1 window w AS (PARTITION BY line)": "a filter or an aggregate",
    f"SELECT line FROM {T} WHERE TRUE ORDER BY line": "a filter or an aggregate",
    f"SELECT MAX(line, '') FROM {T}": "a filter or an aggregate",
    f"SELECT line, COUNT(*) OVER () FROM {T}": "a filter or an aggregate",
    f"SELECT line, SUM(MAX(line, '')) OVER () FROM {T}": "a filter or an aggregate",
    f"SELECT line, COUNT(*) FILTER (WHERE 1=1) OVER () FROM {T}": "a filter or an aggregate",
    f"SELECT line, COUNT(*) OVER (ROWS UNBOUNDED PRECEDING EXCLUDE GROUP) FROM {T}": "a filter or an aggr",
    f"SELECT line, 'WHERE line = 1' FROM {T}": "a filter or an aggregate",
    f"SELECT line FROM {T} -- WHERE line = 1": "a filter or an aggregate",
    "": "empty",
    " ;; -- nothing": "empty",
    # other tables
    f"SELECT amount FROM {OTHER} WHERE line = 'Secret'": "with its own call",
    f"SELECT COUNT(*) FROM {OTHER}": "with its own call",
    f"SELECT COUNT(*) FROM {T}, {OTHER}": "with its own call",
    f"{ASK} UNION SELECT amount FROM {OTHER}": "with its own call",
    f"{ASK} AND line IN (SELECT line FROM {OTHER})": "with its own call",
    f"WITH {T} AS (SELECT line FROM {OTHER}) SELECT line FROM {T} WHERE line > ''": "its own call",
    f"SELECT (SELECT amount FROM {OTHER}) AS a FROM {T} WHERE line = 'Services'": "with its own call",
    "SELECT sql FROM sqlite_master WHERE type = 'table'": "no table `sqlite_master`",
    "SELECT name FROM sqlite_schema WHERE type = 'table'": "no table `sqlite_",
    "SELECT COUNT(*) FROM sqlite_master": "no table `sqlite_master`",
    "SELECT name FROM sqlite_temp_master WHERE type = 'table'": "no table `sqlite_temp_",
    f"SELECT name FROM pragma_table_info('{T}') WHERE name > ''": "only SELECT",
    "SELECT COUNT(*) FROM pragma_database_list": "only SELECT",
    "SELECT value FROM json_each('[1]') WHERE value = 1": "only SELECT",
    "SELECT name FROM dbstat WHERE name > ''": "only SELECT",
    "SELECT sql FROM sqlite_stmt WHERE sql > ''": "only SELECT",
    "SELECT value FROM generate_series(1, 1000000) WHERE value > 0": "generate_series",
    "SELECT line FROM no_such_table WHERE line = 1": "no table `no_such_table`",
    "SELECT line FROM temp.x WHERE line = 1": "no table `temp.x`",
    # names that do not exist
    f"SELECT \"2025\" FROM {T} WHERE line = 'Services'": "no column `2025`",
    f"SELECT line FROM {T} WHERE \"Services\" = 'Services'": "no column `Services`",
    f'SELECT line FROM {T} WHERE line = "Services"': "no column `Services`",
    f"SELECT `2025` FROM {T} WHERE line = 'Services'": "no column `2025`",
    f"SELECT [2025] FROM {T} WHERE line = 'Services'": "no column `2025`",
    f'SELECT COUNT("2025") FROM {T}': "no column `2025`",
    f"SELECT line FROM {T} WHERE line > '' ORDER BY \"2025\"": "no column `2025`",
    f"SELECT r.nope FROM {T} r WHERE line = 'Services'": "no column `nope`",
    f"SELECT 2023 FROM {T} WHERE line = 'Services'": "is a value here",
    f"SELECT '2023' FROM {T} WHERE line = 'Services'": "is a value here",
    # functions
    f"SELECT load_extension('x') FROM {T} WHERE line = 'Services'": "`load_extension` is not",
    f"SELECT readfile('/etc/passwd') FROM {T} WHERE line = 'Services'": "`readfile` is not",
    f"SELECT writefile('/tmp/x', 'y') FROM {T} WHERE line = 'Services'": "`writefile` is not",
    f"SELECT hex(randomblob(1000000000)) FROM {T} WHERE line = 'Services'": "is not available",
    f"SELECT zeroblob(1000000000) FROM {T} WHERE line = 'Services'": "`zeroblob` is not",
    f"SELECT printf('%.*c', 1000000000, 'x') FROM {T} WHERE line = 'Services'": "`printf` is not",
    f"SELECT format('%1000000000d', 1) FROM {T} WHERE line = 'Services'": "`format` is not",
    f"SELECT fts3_tokenizer('x') FROM {T} WHERE line = 'Services'": "`fts3_tokenizer` is not",
    f"SELECT sqlite_version() FROM {T} WHERE line = 'Services'": "`sqlite_version` is not",
    f"SELECT random() FROM {T} WHERE line = 'Services'": "`random` is not",
    f"SELECT current_timestamp FROM {T} WHERE line = 'Services'": "`current_timestamp` is not",
    f"SELECT date('now') FROM {T} WHERE line = 'Services'": "`date` is not",
    f"SELECT median(line) FROM {T} WHERE line = 'Services'": "`median` is not",
    f"SELECT line FROM {T} WHERE line REGEXP '(a+)+'": "is not available",
    f"SELECT line FROM {T} WHERE line MATCH 'a'": "is not available",
    f"SELECT line -> '$' FROM {T} WHERE line = 'Services'": "is not available",
    # without end, or too much
    f"{ENDLESS} SELECT MAX(i) FROM n": "was stopped",
    f"{ENDLESS} SELECT i FROM n WHERE i < 0": "was stopped",
    f"{ENDLESS} SELECT COUNT(*) FROM n a, n b, n c": "was stopped",
    f"{HOARD} SELECT MAX(s) FROM n ORDER BY s": "was stopped",
    f"{HOARD.replace('UNION ALL', 'UNION')} SELECT COUNT(*) FROM n": "was stopped",
    f"{HOARD} SELECT s FROM n WHERE i > 0 ORDER BY s DESC": "was stopped",
    f"{HOARD} SELECT group_concat(s) FROM n": "was stopped",
    f"SELECT COUNT(*) FROM {T} r {BIG_JOIN} WHERE r.line > '' AND r1.line || r2.line > r3.line": "stopped",
    DOUBLING: "too many SELECTs",
    f"SELECT COUNT(*) FROM {', '.join(f't{i}' for i in range(40))}": "too many tables",
    f"SELECT COUNT(*) FROM {T} " + " UNION SELECT COUNT(1)" * 20: "too many SELECTs",
    # copied without end before any clock is looked at: words that are clauses here and names to SQLite
    nested("SELECT 1 FROM {c} WINDOW" + MANY): "too many tables",
    nested("SELECT 1 FROM {c} WHERE\u00a0x" + MANY): "no SQL",
    nested("SELECT 1 FROM {c} WHERE\u3000x" + MANY): "no SQL",
    nested("SELECT 1 FROM {c} WHERE\u0085x" + MANY): "no SQL",
    nested("SELECT 1 FROM {c} UN\u0131ON" + MANY): "too many tables",
    nested("SELECT 1 FROM {c} INTER\u017fECT" + MANY): "too many tables",
    nested("SELECT 1 FROM {c} OFFSET" + MANY): "too many tables",
    nested("SELECT 1 FROM {c} 'WHERE'" + MANY): "too many tables",
    nested('SELECT 1 FROM {c} "WHERE"' + MANY): "too many tables",
    # and without FROM and commas
    nested("SELECT 1 FROM {c} " + "JOIN {c} " * 30): "too many tables",
    nested("SELECT 1 FROM ({c}" + MANY + ")"): "too many tables",
    nested("SELECT 1 FROM (({c}), ({c}))" + MANY): "too many tables",
    nested("SELECT 1 WHERE 1 IN {c}" + " AND 1 IN {c}" * 8): "too many tables",
    nested("SELECT 1 WHERE 1 NOT IN {c}" + " OR 1 IN '{c}'" * 8): "too many tables",
    nested("VALUES ((SELECT 1 FROM {c}" + MANY + "))"): "too many SELECTs",
    nested("VALUES (1 IN {c})" + ", (1 IN {c})" * 7, 4): "too many tables",
    # columns are copied too, whatever they are called
    **{
        doubled(column, alias): "too many names"
        for column, alias in [
            *((name, name) for name in ("a", "`a`", "[a]", "text", "END", "like", "cast", "true", "WINDOW")),
            *(("'s'.a", "a"), ("s.'a'", "a"), ("'s'.'a'", "a"), ('"s"."a"', "'a'"), ("\u017f", "\u017f")),
        ]
    },
    doubled("a", "a", 4) + " ORDER BY " + ", ".join(["a"] * 99): "too many names",
    doubled("a", "a", 4) + " ORDER BY " + ", ".join(["1"] * 99): "too many names",
    doubled("(0 IS DISTINCT FROM a)", "a", 6, 2, "||".join(["(1||1||1||1)"] * 60)): "too many tables",
    doubled("a", "a", 4) + " GROUP BY " + ", ".join(["(1)"] * 99): "too many names",
    doubled("a", "a", 4).replace("'')", "'' UNION ALL SELECT 1" + f" FROM {T}" + ")"): "too many names",
    doubled("a", "a", 4, 8, "||".join(["(1||1||1||1)"] * 60)): "too many names",
    doubled("a", "a", 4, 6, "||".join(["(1||1||1||1)"] * 5)): "too large",
    f"SELECT line FROM {T} WHERE line = " + "(" * 300 + "1" + ")" * 300: "nested too deeply",
    f"SELECT line FROM {T} WHERE line = 1" + " + 1" * 400: "too large",
    f"SELECT line FROM {T} WHERE line = " + "-" * 1500: "SQL:",
    f"SELECT line FROM {T} WHERE NOT " * 20 + "line": "too many SELECTs",
    f"SELECT line FROM {T} WHERE " + "NOT " * 400 + "line": "SQL:",
    f"SELECT line FROM {T} WHERE line LIKE '{'%a' * 400}'": "pattern too complex",
    f"SELECT coalesce({', '.join('1' * 40)}) FROM {T} WHERE line > ''": "too many arguments",
    f"SELECT {', '.join(['line'] * 200)} FROM {T} WHERE line > ''": "too many columns",
    "SELECT " + "x" * 3000: "characters, at most",
    "SELECT 'a" + "''" * 500_000: "characters, at most",
    # what is no SQL
    f"SELECT line FROM {T} WHERE line = ?": "is a parameter",
    f"SELECT line FROM {T} WHERE line = :line": "is a parameter",
    f"SELECT line FROM {T} WHERE line = @line": "is a parameter",
    f"SELECT line FROM {T} WHERE line = $line": "is a parameter",
    f"SELECT line FROM {T} WHERE line = 'Bob's total'": "is never closed",
    f'SELECT "line FROM {T} WHERE line = 1': "is never closed",
    f"SELECT line FROM {T} WHERE line = ’Services’": "no SQL",
    f"SELEC line FROM {T} WHERE line = 1": "only SELECT",
    f"SELECT line FORM {T} WHERE line = 1": "SQL: ",
    f"SELECT line, FROM {T} WHERE line = 1": "SQL: near",
    f"SELECT x'ff' AS b FROM {T} WHERE line = 'Services'": "neither text nor a number",
    f"SELECT CAST(x'ff' AS TEXT) AS b FROM {T} WHERE line = 'Services'": "SQL: Could not decode",
    f"SELECT 9e999 AS b FROM {T} WHERE line = 'Services'": "neither text nor a number",
    f"SELECT SUM(9223372036854775807) AS b FROM {T}": "SQL: integer overflow",
    f"{ASK} INTO OUTFILE '/tmp/x'": "SQL: near",
    f"{ASK} FOR UPDATE": "SQL: near",
    "What was revenue in 2024?": "is a parameter",
    "Revenue of 2024": "only SELECT",
}
