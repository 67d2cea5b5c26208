"""Clauses, and what they say about their words: denied or not, left or right, whose, conditional or not.

A rule-based scope model in the spirit of NegEx (Chapman et al., 2001): a cue opens a
scope, a terminator closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fivestones.score.facts.tokens import Token

_ENDS = frozenset(".;?!\n\u2022")
_CONTRAST = frozenset(["but", "however", "although", "though", "except", "yet", "whereas"])
# Once open, these negate a whole list across commas.
_DENIES = frozenset(["denies", "denied", "deny", "denying", "negative", "never", "nor", "neither"])
_NO = frozenset(["no", "without", "not", "non", "cannot", "free", "nope", "absence"])
_NEG_AFTER = frozenset(["absent", "denied", "negative", "none", "excluded", "no", "denies"])
_NEG_AFTER_NOT = frozenset(
    ["present", "reported", "noted", "seen", "found", "observed", "appreciated", "evident", "felt"]
)
_RESETS = frozenset(
    [
        "reports",
        "reported",
        "has",
        "had",
        "complains",
        "presents",
        "presented",
        "endorses",
        "admits",
        "notes",
        "noted",
        "states",
        "takes",
        "describes",
        "developed",
        "positive",
        "shows",
        "showed",
        "is",
        "was",
        "are",
        "were",
        "will",
        "continue",
        "start",
        "recommend",
    ]
)
_NEUTRAL_AFTER_NO = frozenset(
    [
        "change",
        "changes",
        "only",
        "increase",
        "decrease",
        "longer",
        "doubt",
        "problem",
        "problems",
        "worries",
        "one",
    ]
)
_CONDITIONAL = frozenset(["if", "unless", "risk", "precautions"])
_SIDES = {
    "left": "left", "l": "left", "right": "right", "r": "right", "both": "both", "bilateral": "both",
    "bilaterally": "both", "left-sided": "left", "right-sided": "right",
}  # fmt: skip
_NOT_A_SIDE = frozenset(
    ["now", "away", "after", "before", "there", "here", "then", "when", "at", ",", ".", "?", "!", ";", "\n"]
)
_THE = frozenset(["the", "my", "his", "her", "their", "your", "on"])
RELATIVES = {
    "mother": "mother", "mom": "mother", "mum": "mother", "mama": "mother", "father": "father",
    "dad": "father", "brother": "brother", "brothers": "brother", "sister": "sister", "sisters": "sister",
    "son": "son", "daughter": "daughter", "aunt": "aunt", "uncle": "uncle", "cousin": "cousin",
    "grandmother": "grandmother", "grandma": "grandmother", "grandfather": "grandfather",
    "grandpa": "grandfather", "wife": "wife", "husband": "husband", "parent": "parent", "parents": "parent",
    "sibling": "sibling", "siblings": "sibling", "family": "family", "maternal": "family",
    "paternal": "family",
}  # fmt: skip
# A relative who speaks, helps or lives with the patient is not the one who is ill.
_BESIDE = frozenset(
    [
        "with",
        "by",
        "and",
        "says",
        "said",
        "reports",
        "reported",
        "states",
        "brought",
        "lives",
        "live",
        "drove",
        "told",
        "thinks",
        "noticed",
        "worried",
    ]
)
_SELF = frozenset(["patient", "pt", "i", "i've", "i'm", "i'd", "he", "she", "my"])


@dataclass(frozen=True, slots=True)
class Clause:
    """Token positions [start, end) between strong boundaries, with a label for each token."""

    start: int
    end: int
    negated: tuple[bool, ...]
    conditional: bool
    experiencer: tuple[str, ...]
    sides: tuple[tuple[int, str], ...]  # (absolute token position, left | right | both)


def split(tokens: Sequence[Token], quiet: frozenset[int] = frozenset()) -> list[Clause]:
    """Clauses of a text. In `quiet` positions (inside a phrase, beside a number) "no" opens no denial."""
    out: list[Clause] = []
    start = 0
    for i, token in enumerate(tokens):
        if token.text in _ENDS or token.text in _CONTRAST:
            if i > start:
                out.append(_label(tokens, start, i, quiet))
            start = i + 1
    if start < len(tokens):
        out.append(_label(tokens, start, len(tokens), quiet))
    return out


def _label(tokens: Sequence[Token], start: int, end: int, quiet: frozenset[int]) -> Clause:
    words = [tokens[i].text for i in range(start, end)]
    return Clause(
        start=start,
        end=end,
        negated=tuple(_negation(words, frozenset(i - start for i in quiet if start <= i < end))),
        conditional=_conditional([t if start + i not in quiet else "" for i, t in enumerate(words)]),
        experiencer=tuple(_experiencer(words)),
        sides=tuple((start + i, side) for i, side in _sides(words)),
    )


def _conditional(words: list[str]) -> bool:
    return any(w in _CONDITIONAL for w in words) or _follow(words, ("watch", "for"), ("should", "you"))


def _follow(words: list[str], *pairs: tuple[str, str]) -> bool:
    return any(pair in pairs for pair in pairwise(words))


def _negates(words: list[str], i: int) -> str:
    """ "list" or "item" when the word at i opens a denial, else ""."""
    word = words[i]
    if word in _DENIES:
        if word in ("negative", "denied") and i + 1 == len(words):
            return ""
        return "list" if word != "negative" or "for" in words[i + 1 : i + 2] else ""
    if word.endswith("n't") or word in ("dont", "doesnt", "didnt", "havent", "hasnt"):
        return "list"
    if word in _NO:
        nxt = words[i + 1] if i + 1 < len(words) else ""
        if nxt in _NEUTRAL_AFTER_NO or (nxt in (",", "") and word == "no"):
            return ""  # "no change in ..."; "no, it is ..." answers a question
        if word == "free" and nxt != "of":
            return ""
        return "list" if word in ("not", "cannot") else "item"
    return ""


def _negation(words: list[str], quiet: frozenset[int]) -> list[bool]:
    out = [False] * len(words)
    scope = ""
    for i in range(len(words)):
        opened = "" if i in quiet else _negates(words, i)
        if opened:
            scope = opened
            continue
        if scope and not (i in quiet and words[i] in _RESETS) and _closes(words, i, scope):
            scope = ""
        out[i] = bool(scope)
    _negate_backwards(words, out)
    return out


def _closes(words: list[str], i: int, scope: str) -> bool:
    """Does the word at i end an open denial?"""
    word, nxt = words[i], words[i + 1] if i + 1 < len(words) else ""
    if word in _RESETS:
        return not (i and _negates(words, i - 1))  # "has not had fever" goes on
    if word == "," and scope == "item":
        return not _continues(words, i)
    if word == "other":
        return nxt == "than"
    if word in ("besides", "beyond", "excluding") or (word in ("aside", "apart") and nxt == "from"):
        return True
    if word in (",", "and"):
        return nxt in ("some", "positive", "with", "just")
    return word == ":" and nxt not in _NEG_AFTER


def _continues(words: list[str], comma: int) -> bool:
    """Does a "no a" scope run on past this comma? Yes in "no a, b or c" and in a bare list "no a, b"."""
    rest = words[comma + 1 :]
    if "or" in rest or "nor" in rest:
        until = rest.index("or") if "or" in rest else rest.index("nor")
        if not any(w in _RESETS or w[0].isdecimal() for w in rest[:until]):
            return True
    item = rest[: rest.index(",")] if "," in rest else rest
    item = [w for w in item if w != "and"]
    return 0 < len(item) <= 3 and not any(w[0].isdecimal() or w in _RESETS or w in _SIDES for w in item)


def _negate_backwards(words: list[str], out: list[bool]) -> None:
    """ "fever absent", "chills: none", "murmur not present"."""
    for i, word in enumerate(words):
        last = i + 1 == len(words) or words[i + 1] in (",", ":", ")", "by", "at", "on", "today")
        after = word in _NEG_AFTER and last and i > 0 and words[i - 1] != ","
        if word in ("no", "none") and i and words[i - 1] not in (":", "-", "is", "="):
            after = False
        after = after or (word in _NEG_AFTER_NOT and i > 0 and words[i - 1] == "not")
        after = after or (word == "out" and i > 0 and words[i - 1] == "ruled")
        if after:
            for k in range(i - 1, -1, -1):
                if words[k] in _RESETS - {"is", "was", "are", "were"} or words[k] == ";":
                    break
                out[k] = True


def _experiencer(words: list[str]) -> list[str]:
    who, out = "patient", []
    for i, word in enumerate(words):
        base = word.removesuffix("'s")
        relative = RELATIVES.get(base)
        before = words[i - 1] if i else ""
        nxt = words[i + 1] if i + 1 < len(words) else ""
        if relative and relative != "family":
            two_back = words[i - 2] if i > 1 else ""
            beside = nxt in _BESIDE - {"with"} or (
                before in ("with", "by")
                or (before in ("my", "her", "his", "their", "the") and two_back in ("with", "by"))
            )
            if not beside:
                who = relative
        elif (
            relative == "family"
            and nxt in ("history", "hx")
            and not (i and words[i - 1] in ("no", "negative"))
        ):
            who = "family"
        elif base in _SELF and nxt not in RELATIVES and word not in ("my", "he", "she"):
            who = "patient"
        out.append(who)
    # "stroke in his father", "family history of diabetes (mother)": the relative comes last
    named = next((RELATIVES[w] for i, w in enumerate(words) if w in RELATIVES and RELATIVES[w] != "family"
                  and _trailing(words, i)), None)  # fmt: skip
    if named:
        out = [named if w in ("patient", "family") else w for w in out]
    return out


def _trailing(words: list[str], i: int) -> bool:
    if i and words[i - 1] in ("in", "(", "-"):
        return True
    return (
        i > 1 and words[i - 1] in ("the", "his", "her", "my", "their", "a") and words[i - 2] in ("in", "for")
    )


def _sides(words: list[str]) -> list[tuple[int, str]]:
    out = [(i, _SIDES[word]) for i, word in enumerate(words) if word in _SIDES and _is_side(words, i)]
    pairs = zip(words, words[1:], words[2:], strict=False)
    if any({a, c} == {"left", "right"} and b in ("and", "&", "/") for a, b, c in pairs):
        return [(i, "both") for i, _ in out]
    return out


def _is_side(words: list[str], i: int) -> bool:
    """Not "right now", "right, so ...", "2 L"."""
    word, before = words[i], words[i - 1] if i else ""
    nxt = words[i + 1] if i + 1 < len(words) else "."
    if word in ("l", "r"):
        return nxt not in (".", ",", "/") and before != "/" and not before[:1].isdecimal()
    if word != "right" or before in _THE or nxt not in _NOT_A_SIDE:
        return True
    return nxt in (",", ".") and before not in ("all", "that's", "")
