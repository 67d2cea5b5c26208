"""What is promised of a world, measured on its rows alone: whoever has the files can measure it again.

A check is {"ok", "n", "faults" (how many), "first" (some of them)} and what it measured.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from math import sqrt
from typing import Any

from fivestones.environments.finqa.grader import grade
from fivestones.environments.finqa.number import read
from fivestones.environments.finqa.world.decoding import Undecodable, decode
from fivestones.environments.finqa.world.replay import (
    NOT_DISCLOSED,
    Books,
    elsewhere,
    in_base_units,
    replayed,
)

Row = Mapping[str, Any]
Questions = Mapping[str, Sequence[Row]]  # by split
Check = dict[str, Any]
VERSION = 2  # of what a certificate holds
FIRST = 5  # faults shown
GUESS = 0.05  # most that is right without looking
OTHERS = 10  # companies that a plan is tried on
ABSENT = 0.1  # most of a level that is answered by "not disclosed"; of a family, twice as much
FEW = 3  # answers of a kind that a small group may share
Tell = Callable[[int, int, str], None]


def certify(
    tables: Sequence[Row], questions: Questions, unbalanced: Sequence[str] = (), tell: Tell | None = None
) -> dict[str, Any]:
    """unbalanced: identities that did not hold when the books were made. JSON types only."""
    by_company: dict[str, list[Row]] = defaultdict(list)
    for row in tables:
        by_company[row["company"]].append(row)
    rows = [row for part in questions.values() for row in part]
    made: list[tuple[str, Callable[[], Check]]] = [
        ("balanced", lambda: _balanced(tables, unbalanced)),
        ("decodable", lambda: _decodable(tables)),
        ("distractors", lambda: _distractors(rows)),
        ("apart", lambda: _apart(questions, tables)),
        ("oracle", lambda: _oracle(rows, by_company)),
        ("no_tools", lambda: _no_tools(questions)),
        ("shuffled", lambda: _shuffled(questions, by_company)),
        ("not_disclosed", lambda: _not_disclosed(rows)),
    ]
    checks = {}
    for number, (name, make) in enumerate(made, 1):
        checks[name] = make()
        if tell:
            tell(number, len(made), f"checked: {name}")
    return {
        "version": VERSION,
        "ok": all(check["ok"] for check in checks.values()),
        "counts": {split: _counts(part, by_company) for split, part in questions.items()},
        "digest": {"tables": _digest(tables), **{split: _digest(part) for split, part in questions.items()}},
        "checks": checks,
    }


def verify(certificate: Mapping[str, Any], tables: Sequence[Row], questions: Questions) -> list[str]:
    """What does not hold, or is not what the certificate says; nothing where all is well."""
    if (version := certificate.get("version")) != VERSION:
        return [f"the certificate is of version {version}, this program reads {VERSION}: make the world anew"]
    now = certify(tables, questions)
    found = []
    for name, check in now["checks"].items():
        found += [f"{name}: {fault}" for fault in check["first"]]
        if check["faults"] > len(check["first"]):
            found.append(f"{name}: {check['faults'] - len(check['first'])} more")
        said = certificate["checks"].get(name, {})
        if said.get("n") != check["n"]:
            found.append(f"{name}: {check['n']} looked at, the certificate says {said.get('n')}")
        if not said.get("ok", False):
            found.append(f"{name}: did not hold when the certificate was made")
    for key in ("counts", "digest"):
        for part, value in now[key].items():
            if certificate[key].get(part) != value:
                found.append(f"{key} of {part}: not what the certificate says")
    return found


def _check(n: int, faults: Iterable[str], **measured: Any) -> Check:
    every = list(faults)
    return {"ok": not every, "n": n, "faults": len(every), "first": every[:FIRST], **measured}


def _balanced(tables: Sequence[Row], unbalanced: Sequence[str]) -> Check:
    """Sums that a reader finds in the tables: a total is the sum of the lines above it, in every year alike.
    The certificate keeps how many; one that no longer closes is missing from the count."""
    closing, faults = 0, list(unbalanced)
    for row in tables:
        sums, open_ = _sums(row)
        closing += sums
        faults += [f"{row['company']} {row['table']}: {place} closes in some years only" for place in open_]
    return _check(closing, faults)


def _sums(row: Row) -> tuple[int, list[str]]:
    """Number of totals that close; those that close in one year and not in another."""
    body = [[_value(text) for text in cells[1:]] for cells in json.loads(row["rows"])]
    labels = [str(cells[0]) for cells in json.loads(row["rows"])]
    kept = [n for n, numbers in enumerate(body) if any(v is not None for v in numbers)]
    grid = [body[n] for n in kept]
    names = [labels[n] for n in kept]
    if names and all(name.strip()[-4:].isdigit() for name in names):  # years as rows
        names = json.loads(row["columns"])[1:]
        grid = [list(column) for column in zip(*grid, strict=True)]
    closing, partly = 0, []
    for at, name in enumerate(names):
        if not name.strip().lower().startswith("total"):
            continue
        closed = [_closes([line[y] for line in grid[: at + 1]]) for y in range(len(grid[at]))]
        closing += sum(closed)
        if any(closed) and not all(closed):
            partly.append(name.strip())
    return closing, partly


def _closes(column: Sequence[Decimal | None]) -> bool:
    """The last is the sum of those right above it, however many, but for rounding."""
    *above, last = column
    if last is None:
        return False
    running, parts = Decimal(0), 0
    for number in reversed(above):
        if number is None:
            return False
        running, parts = running + number, parts + 1
        step = Decimal(1).scaleb(int(last.as_tuple().exponent))
        if parts > 1 and abs(running - last) <= step * (parts + 1) / 2:
            return True
    return False


def _value(text: str | None) -> Decimal | None:
    quantity = read(text) if text else None
    return None if quantity is None else quantity.value


def _decodable(tables: Sequence[Row]) -> Check:
    """One row of a label, one column of a name, one unit, years, and every figure a number."""
    faults = []
    for row in tables:
        try:
            decode(row["description"], json.loads(row["columns"]), json.loads(row["rows"]))
        except Undecodable as why:
            faults.append(f"{row['company']} {row['table']}: {why}")
    return _check(len(tables), faults)


def _distractors(rows: Sequence[Row]) -> Check:
    """None within the tolerance of the answer."""
    faults, kinds = [], Counter[str]()
    for row in rows:
        for miss in json.loads(row["distractors"]):
            kinds[miss["kind"]] += 1
            if grade(miss["answer"], row["answer"]) >= 1.0:
                faults.append(
                    f"{row['id']}: the {miss['kind']} {miss['answer']!r} passes for {row['answer']!r}"
                )
    return _check(sum(kinds.values()), faults, kinds=dict(sorted(kinds.items())))


def _apart(questions: Questions, tables: Sequence[Row]) -> Check:
    """No company, no text, no id twice over the splits, no company under two names; phrasings held out are in
    the test split only."""
    faults = []
    homes: dict[str, set[str]] = defaultdict(set)
    texts, ids = Counter[str](), Counter[str]()
    worded: dict[str, set[str]] = defaultdict(set)
    for split, part in questions.items():
        for row in part:
            homes[row["company"]].add(split)
            texts[row["question"].casefold()] += 1
            ids[row["id"]] += 1
            worded[row["phrasing"]].add(split)
            if row["split"] != split:
                faults.append(f"{row['id']}: of {row['split']}, found in {split}")
            if row["held_out"] and split != "test":
                faults.append(f"{row['id']}: held out, found in {split}")
    faults += [f"{name}: in {' and '.join(sorted(where))}" for name, where in homes.items() if len(where) > 1]
    faults += [
        f"{one} and {two}: {n} tables of the same figures" for (one, two), n in _copies(tables).items()
    ]
    faults += [f"asked {n} times: {text}" for text, n in texts.items() if n > 1]
    faults += [f"id {name}: {n} times" for name, n in ids.items() if n > 1]
    new = sum(where == {"test"} for where in worded.values())
    return _check(len(texts), faults, companies=len(homes), phrasings=len(worded), phrasings_of_test_only=new)


def _copies(tables: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Pairs of companies that share tables; one alone may be chance."""
    holders: dict[str, set[str]] = defaultdict(set)
    for row in tables:
        holders[row["rows"]].add(row["company"])
    shared = Counter(pair for held in holders.values() for pair in combinations(sorted(held), 2))
    return {pair: n for pair, n in shared.items() if n > 1}


def _oracle(rows: Sequence[Row], by_company: Mapping[str, Sequence[Row]]) -> Check:
    """The plan, replayed, gives the stored answer, in the scales that the tables name."""
    faults, books, at = [], None, ""
    for row in sorted(rows, key=lambda row: str(row["company"])):
        if books is None or at != row["company"]:
            at = row["company"]
            books = Books(by_company.get(at, ()))
        if why := _wrong(row, books):
            faults.append(f"{row['id']}: {why}")
    right = len(rows) - len(faults)
    return _check(len(rows), faults, accuracy=_share(right, len(rows)))


def _wrong(row: Row, books: Books) -> str | None:
    for table in json.loads(row["tables"]):
        if table not in books.tables:
            return f"{row['company']} has no table {table}"
    try:
        answer = replayed(row, books)
    except ValueError as error:
        return str(error)
    if grade(answer, row["answer"]) < 1.0:
        return f"the plan leads to {answer!r}, stored is {row['answer']!r}"
    steps = json.loads(row["plan"])
    if row["fewest"] != len(steps):
        return f"fewest is {row['fewest']}, the plan has {len(steps)} calls"
    return None if row["answer"] == NOT_DISCLOSED else _misscaled(row, books)


def _misscaled(row: Row, books: Books) -> str | None:
    """The answer once more from the cells in base units, whatever scales the plan goes through."""
    try:
        results = in_base_units(row, books)
    except ValueError as error:
        return str(error)
    for field, result in zip(row["answer"].split("; "), results, strict=True):
        stored = read(field.rpartition(": ")[2])
        if stored is None or abs(stored.base - result) > stored.tolerance:
            return f"in base units it comes to {result}, stored is {field!r}"
    return None


def _no_tools(questions: Questions) -> Check:
    """The best constant answer of each group, had it been known beforehand; and always "not disclosed"."""
    faults: list[str] = []
    worst: list[dict[str, Any]] = []
    groups = 0
    absent: dict[str, dict[str, float]] = {}
    for split, part in questions.items():
        told = [("all", "", row["answer"]) for row in part]
        told += [(kind, row[kind], row["answer"]) for kind in ("level", "family") for row in part]
        by_group: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for kind, name, answer in told:
            by_group[kind, name][answer] += 1
        for (kind, name), answers in sorted(by_group.items()):
            groups += 1
            n = sum(answers.values())
            chance = 3 * sqrt(GUESS * n) if kind == "family" else 0  # the best of many guesses, of a few rows
            if hits := answers.pop(NOT_DISCLOSED, 0):
                absent.setdefault(split, {})[name or "all"] = _share(hits, n)
                bound = max(FEW, 2 * ABSENT * n + chance) if kind == "family" else most_absent(n)
                if hits > bound:
                    faults.append(f"{split} {kind} {name}: {NOT_DISCLOSED!r} is right in {hits} of {n}")
            if not answers:
                continue
            answer, hits = answers.most_common(1)[0]
            worst.append({"split": split, kind: name, "n": n, "answer": answer, "share": _share(hits, n)})
            if hits > max(FEW, GUESS * n + chance):
                faults.append(f"{split} {kind} {name}: {answer!r} is right in {hits} of {n}")
    worst.sort(key=lambda group: -group["share"])
    best = [group for group in worst if group["n"] >= 20][:20]
    return _check(groups, faults, best_guesses=best, not_disclosed=absent, not_disclosed_bound=ABSENT)


def most_absent(count: int) -> int:
    """Of so many questions of a level: how many may be of a year that is not disclosed."""
    return max(1, int(ABSENT * count))


def _shuffled(questions: Questions, by_company: Mapping[str, Sequence[Row]]) -> Check:
    """The plans, replayed on the tables of the next company of the split that has such cells."""
    faults, measured, looked = [], {}, 0
    for split, part in questions.items():
        order = sorted({row["company"] for row in part})
        books = {company: Books(by_company.get(company, ())) for company in order}
        tried = right = 0
        for row in part:
            at = order.index(row["company"])
            others = [order[(at + step) % len(order)] for step in range(1, min(OTHERS + 1, len(order)))]
            answers = (elsewhere(row, books[other]) for other in others)
            answer = next((found for found in answers if found is not None), None)
            tried += answer is not None
            right += answer is not None and grade(answer, row["answer"]) >= 1.0
        looked += tried
        measured[split] = {"n": tried, "right": right, "share": _share(right, tried)}
        if right > max(FEW, GUESS * tried):
            faults.append(f"{split}: {right} of {tried} answers are right with another company's tables")
    return _check(looked, faults, splits=measured)


def _not_disclosed(rows: Sequence[Row]) -> Check:
    """Each has a partner of a reported year: the same company, table and phrasing."""
    asked = [row for row in rows if row["answer"] == NOT_DISCLOSED]
    told = {_form(row) for row in rows if row["answer"] != NOT_DISCLOSED}
    faults = [f"{row['id']}: no like question of a reported year" for row in asked if _form(row) not in told]
    return _check(len(asked), faults, share=_share(len(asked), len(rows)))


def _form(row: Row) -> tuple[str, str, str]:
    return row["company"], row["tables"], row["phrasing"]


def _counts(part: Sequence[Row], tables: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    companies = {row["company"] for row in part}
    return {
        "questions": len(part),
        "companies": len(companies),
        "tables": sum(len(tables.get(company, ())) for company in companies),
        "held_out": sum(row["held_out"] for row in part),
        "levels": dict(sorted(Counter(row["level"] for row in part).items())),
        "families": dict(sorted(Counter(row["family"] for row in part).items())),
    }


def _digest(rows: Sequence[Row]) -> str:
    text = json.dumps([dict(row) for row in rows], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
