"""Text to mentions: each recognised concept with the attributes that its clause gives it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fivestones.score.facts.clauses import Clause, split
from fivestones.score.facts.lexicon import Lexicon, Match
from fivestones.score.facts.numbers import Quantity, quantities, spoken_time
from fivestones.score.facts.tokens import Token, is_content, tokenize
from fivestones.types import Fact

# Which kinds of concept a quantity prefers to belong to, by its dimension.
_PREFERS = {
    "mass": ("drug",), "volume": ("drug",), "tablet": ("drug",), "puff": ("drug",), "unit": ("drug",),
    "drop": ("drug",), "rate": ("drug",), "pair": ("vital", "symptom"), "temperature": ("vital",),
    "per_minute": ("vital",), "percent": ("vital", "test", "finding"), "weight": ("vital",),
}  # fmt: skip
_LONGEST_LIST = 9  # items behind a colon; above it a number is a value
_CARRIES_NOTHING = frozenset({"body_site", "other"})  # attributes go past them, to what they qualify
_DEFAULT_SECTION = {
    "symptom": "S", "history": "S", "social": "S", "vital": "O", "finding": "O", "condition": "A",
    "drug": "P", "test": "P", "plan": "P",
}  # fmt: skip
# in brackets only roles: "[laughs]" is no speaker
BRACKETED = r"\[((?i:doctor|physician|clinician|nurse|patient|caller|caregiver|family|guest)(?:_\w+)?)\]"
# "Doctor: ..." or, as in ACI-Bench, "[doctor] ..."
_SPEAKER = re.compile(rf"^\s*(?:([A-Z][A-Za-z_]{{2,20}}) ?: ?|{BRACKETED} ?:? ?)", re.MULTILINE)
_ASKS = frozenset({"doctor", "nurse", "clinician", "guest_clinician", "physician"})
_YES = frozenset(
    [
        "yes",
        "yeah",
        "yep",
        "yup",
        "uh-huh",
        "mhm",
        "correct",
        "right",
        "definitely",
        "exactly",
        "unfortunately",
        "sure",
    ]
)
_NO = frozenset(["no", "nope", "nah", "never", "none", "not", "negative"])


@dataclass(frozen=True, slots=True)
class Mention:
    concepts: tuple[str, ...]
    polarity: str  # present, absent, asked (a question without an answer), conditional ("if fever ...")
    experiencer: str
    quantities: tuple[Quantity, ...]  # bound to this mention
    around: tuple[Quantity, ...]  # all of its clause
    sides: frozenset[str]
    stems: frozenset[str]  # stems of its clause
    near: frozenset[str]  # all concepts of its clause
    longest: bool
    start: int  # token positions
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """All that one text says, as far as the lexicon sees it."""

    tokens: tuple[Token, ...]
    mentions: tuple[Mention, ...]
    quantities: tuple[Quantity, ...]  # outside concept phrases
    terms: tuple[tuple[str, bool], ...]  # (content stem, negated) outside concept phrases and quantities
    clauses: int


def read(text: str, lexicon: Lexicon) -> Extraction:
    """Mentions, quantities and leftover content terms of a note section or any prose."""
    tokens = tokenize(text)
    matches = lexicon.matches(tokens)
    inside = {i for m in matches for i in range(m.start, m.end)}
    numbers = [q for q in quantities(text, tokens) if q.start not in inside and not _list_marker(tokens, q)]
    numeric = frozenset(i for q in numbers for i in (q.start - 1, q.end))
    # a "no" inside a phrase ("no acute distress") is part of its name and denies nothing else
    clauses = split(tokens, numeric | frozenset(inside))
    mentions: list[Mention] = []
    terms: list[tuple[str, bool]] = []
    counted = inside | {i for q in numbers for i in range(q.start, q.end)}
    for clause in clauses:
        here = [m for m in matches if clause.start <= m.start < clause.end]
        counts = [q for q in numbers if clause.start <= q.start < clause.end]
        mentions += _mentions(text, tokens, clause, here, counts, lexicon)
        terms += [
            (tokens[i].norm, clause.negated[i - clause.start])
            for i in range(clause.start, clause.end)
            if i not in counted and is_content(tokens[i]) and tokens[i].is_word
        ]
    return Extraction(tuple(tokens), tuple(mentions), tuple(numbers), tuple(terms), len(clauses))


def inside_phrases(extraction: Extraction) -> list[tuple[str, bool]]:
    """(content stem, negated) of the words inside recognised phrases."""
    return [
        (extraction.tokens[i].norm, mention.polarity == "absent")
        for mention in extraction.mentions
        for i in range(mention.start, mention.end)
        if is_content(extraction.tokens[i])
    ]


def _list_marker(tokens: Sequence[Token], q: Quantity) -> bool:
    """ "1. Hypertension" or "2) ...": the number of a list item; "HR: 88." is none."""
    if q.dimension != "number" or q.end >= len(tokens) or tokens[q.end].text not in (".", ")"):
        return False
    if q.start == 0:
        return True
    if q.value > _LONGEST_LIST and tokens[q.start - 1].text == ":":
        return False
    return tokens[q.start - 1].text in (".", "\n", ";", ":", "(", "?")


def _mentions(
    text: str,
    tokens: Sequence[Token],
    clause: Clause,
    matches: list[Match],
    counts: list[Quantity],
    lexicon: Lexicon,
) -> list[Mention]:
    if not matches:
        return []
    tops = [m for m in matches if m.longest]
    bound = _bind(tokens, tops, counts, lexicon)
    sides = _bind_sides(tokens, clause, tops, lexicon)
    stems = frozenset(tokens[i].norm for i in range(clause.start, clause.end) if tokens[i].text.isalnum())
    near = frozenset(c for m in matches for c in m.concepts)
    out = []
    for match in matches:
        top = next((t for t in tops if t.start <= match.start and match.end <= t.end), match)
        at = match.end - 1 - clause.start
        polarity = "absent" if clause.negated[min(at, len(clause.negated) - 1)] else "present"
        out.append(
            Mention(
                concepts=match.concepts,
                polarity="conditional" if clause.conditional else polarity,
                experiencer=clause.experiencer[min(at, len(clause.experiencer) - 1)],
                quantities=tuple(bound.get(top.start, ())),
                around=tuple(counts),
                sides=frozenset(sides.get(top.start, ())),
                stems=stems,
                near=near,
                longest=match.longest,
                start=match.start,
                end=match.end,
                text=text[tokens[match.start].start : tokens[match.end - 1].end],
            )
        )
    return out


def _distance(tokens: Sequence[Token], match: Match, start: int, end: int) -> float:
    """Tokens between a phrase and [start, end), with a toll for each comma or "and" on the way."""
    if start >= match.end:
        between, cost = range(match.end, start), 0.0
    elif end <= match.start:
        between, cost = range(end, match.start), 0.5  # a value usually follows its concept
    else:
        return 0.0
    for i in between:
        word = tokens[i].text
        cost += 4.0 if word in (",", "and") else 0.0 if word == "of" else 1.0
    return cost


def _bind(
    tokens: Sequence[Token], tops: list[Match], counts: list[Quantity], lexicon: Lexicon
) -> dict[int, list[Quantity]]:
    """Each quantity to one mention: the nearest of a fitting kind."""
    out: dict[int, list[Quantity]] = {}
    carriers = [m for m in tops if lexicon.kind(m.concepts[0]) not in _CARRIES_NOTHING] or tops
    for quantity in counts:
        if quantity.dimension == "age" or not carriers:
            continue
        kinds = _PREFERS.get(quantity.dimension, ())
        fitting = [m for m in carriers if lexicon.kind(m.concepts[0]) in kinds] or carriers
        best = min(fitting, key=lambda m: _distance(tokens, m, quantity.start, quantity.end))
        out.setdefault(best.start, []).append(quantity)
    return out


def _bind_sides(
    tokens: Sequence[Token], clause: Clause, tops: list[Match], lexicon: Lexicon
) -> dict[int, list[str]]:
    """Each side word to the nearest mention, and to a symptom beside the body site that it names."""
    out: dict[int, list[str]] = {}
    for position, side in clause.sides:
        ranked = sorted(tops, key=lambda m: (_distance(tokens, m, position, position + 1), m.start))
        for rank, match in enumerate(ranked):
            out.setdefault(match.start, []).append(side)
            if rank or lexicon.kind(match.concepts[0]) not in _CARRIES_NOTHING:
                break
    return out


def read_dialogue(text: str, lexicon: Lexicon) -> list[Mention]:
    """Mentions of a dialogue; a question's concepts take the polarity of the answer's first words."""
    out: list[Mention] = []
    pending: list[Mention] = []
    for speaker, line in turns(text):
        said = list(read(line, lexicon).mentions)
        if pending:
            answer = _answer(line)
            out += [replace(m, polarity=answer) if m.polarity != "conditional" else m for m in pending]
            pending = []
        if speaker in _ASKS and "?" in line:
            cut = line.rfind("?")
            head = max(line.rfind(c, 0, cut) for c in ".?!\n") + 1
            asked = [m for m in said if line.find(m.text, head) >= 0 and line.find(m.text, head) < cut]
            kept = {id(m) for m in asked}
            pending = asked
            said = [m for m in said if id(m) not in kept]
            # a question mark elsewhere in the turn: asked, answer unknown
            said = [
                replace(m, polarity="asked") if line.find(m.text) < head and "?" in line[:head] else m
                for m in said
            ]
        out += said
    return out + [replace(m, polarity="asked") for m in pending]


def turns(text: str) -> list[tuple[str, str]]:
    """(speaker in lower case, what was said) of a dialogue; prose without speakers is one turn."""
    marks = list(_SPEAKER.finditer(text))
    if not marks:
        return [("", text)]
    ends = [m.start() for m in marks[1:]] + [len(text)]
    return [((m[1] or m[2]).lower(), text[m.end() : end].strip()) for m, end in zip(marks, ends, strict=True)]


def _answer(line: str) -> str:
    first = [t.text for t in tokenize(line)[:4] if t.is_word]
    for word in first:
        if word in _YES:
            return "present"
        if word in _NO or word.endswith("n't"):
            return "absent"
    return "asked"


def extract(text: str, lexicon: Lexicon, section: str | None = None, *, dialogue: bool = False) -> list[Fact]:
    """The facts that a text states, each distinct one once, in text order.

    `section` overrides the default section of a concept. Only longest phrases count; body sites by
    themselves and conditional mentions ("if fever ...") are no statement.
    """
    mentions = read_dialogue(text, lexicon) if dialogue else read(text, lexicon).mentions
    out: dict[tuple[object, ...], Fact] = {}
    for mention in mentions:
        name = mention.concepts[0]
        kind = lexicon.kind(name)
        if not mention.longest or mention.polarity not in ("present", "absent") or kind == "body_site":
            continue
        fact = _fact(mention, name, section or _section(name, kind, lexicon), lexicon)
        key = (
            fact.section,
            fact.concept,
            fact.polarity,
            fact.value,
            fact.unit,
            fact.side,
            fact.time,
            fact.experiencer,
        )
        out.setdefault(key, replace(fact, id=f"x{len(out)}"))
    return list(out.values())


def _section(name: str, kind: str, lexicon: Lexicon) -> str:
    entry = lexicon.concepts.get(name)
    return (entry.section if entry else None) or _DEFAULT_SECTION.get(kind, "S")


def _fact(mention: Mention, name: str, section: str, lexicon: Lexicon) -> Fact:
    value = next(
        (q for q in mention.quantities if q.dimension not in ("time", "rate", "date") and not q.weak), None
    )
    time = next((q for q in mention.quantities if q.dimension in ("time", "rate")), None)
    number = None
    if value is not None:
        number = f"{value.value:g}" if value.second is None else f"{value.value:g}/{value.second:g}"
    return Fact(
        id="",
        section=section,
        concept=name,
        polarity="absent" if mention.polarity == "absent" else "present",
        value=number,
        unit=value.unit if value else None,
        side=next(iter(sorted(mention.sides)), None),
        time=spoken_time(time) if time else None,
        experiencer=mention.experiencer,
    )
