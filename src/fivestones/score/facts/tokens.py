"""Text to tokens: offsets, a light stem, and the words that carry no content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"\d{1,2}/\d{1,2}/\d{2,4}"  # a date stays whole
    r"|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
    r"|(?!x\d)[a-z]+\d+(?:[a-z]+\d*)*(?!\.?\d)"  # HbA1c, B12, q8h
    r"|(?:[a-z]\.){2,}|[^\W\d_]+(?:['\u2019][^\W\d_]+)?|\n|[^\w\s]",
    re.IGNORECASE,
)
_POSSESSIVE = ("'s", "\u2019s")


@dataclass(frozen=True, slots=True)
class Token:
    text: str  # lower case
    norm: str  # stem
    start: int  # character offsets in the text
    end: int

    @property
    def is_word(self) -> bool:
        return self.text[0].isalpha()


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A light stem: plurals, -ing, -ed, final e, British ae/oe; the same for lexicon and text.

    It only has to be consistent, not pretty: `coughing`, `coughed`, `coughs` -> `cough`.
    """
    for tail in _POSSESSIVE:
        word = word.removesuffix(tail)
    word = word.replace(".", "") if word[:1].isalpha() else word
    if len(word) > 5:
        word = word.replace("ae", "e").replace("oe", "e")
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith("ing") and len(word) > 5:
        word = _undouble(word[:-3])
    elif word.endswith("ed") and len(word) > 4 and not word.endswith("eed"):
        word = _undouble(word[:-2])
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word


def _undouble(word: str) -> str:
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsze":
        return word[:-1]
    return word


def tokenize(text: str) -> list[Token]:
    lower = text.lower()
    if len(lower) != len(text):  # some letters grow when lowered; offsets must stay true
        lower = "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
    return [
        Token(word, stem(word), m.start(), m.end())
        for m in _TOKEN.finditer(lower)
        for word in (m.group().replace("\u2019", "'"),)
    ]


def _words(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in text.split())


FUNCTION_WORDS = _words(
    """
    a an the this that these those my his her hers your yours their theirs our its it he she they them him
    we us i me you who whom whose which what when where why how some any every each both few more most other
    another such than too very just also so then there here now and or nor but if because as until while of
    at by for with about into through during before after above below to from up down in out on off over
    under again further once only own same can will would should could may might must shall do does did
    doing done have has had having be is am are was were been being not no yes don't doesn't didn't isn't
    aren't wasn't weren't hasn't haven't hadn't can't couldn't won't wouldn't i'm i've i'd i'll it's he's
    she's that's there's they're we're we'll we've you're you've you'll let's what's however although though
    since still like well really actually okay ok um uh er hmm oh yeah yep nope right sure quite rather bit
    lot kind sort got get gets getting go goes going gone went come comes came one ones per via within
    without upon along around among between against across toward towards yet either neither none all much
    many little less least almost already always often sometimes usually
    """
)

# Words that a note uses to talk, without saying anything of the case.
NOTE_WORDS = _words(
    """
    patient pt client individual reports reported report reporting states stated state denies denied deny
    notes noted note notices noticed complains complaint complaining complained describes described presents
    presented presenting presentation endorses endorsed admits says said tells told history hx significant
    noncontributory remarkable unremarkable unchanged essentially remaining remainder
    otherwise reviewed review seen evaluated evaluation evaluate
    exam examination examined physical today visit assessment plan subjective objective impression diagnosis
    findings finding consistent likely probable possible suspected associated given including include
    includes secondary due current currently prior previous previously past recent recently known
    approximately about begin began start started starting continue continues continued discuss discussed
    recommend recommended advise advised order ordered prescribe prescribed take taking takes took use uses
    using used follow followup followed return returns monitor monitoring manage management treat treatment
    treated therapy need needed positive negative present absent normal abnormal male female man woman boy
    girl gentleman lady year years old yo day week month hour time times daily onset duration ago mr mrs ms
    dr doctor nurse show shows showed reveal revealed reveals measured measure record recorded check status
    well-appearing reading level value has been family member relative new first last next left right
    bilateral side sided
    """
)


def is_content(token: Token) -> bool:
    """True for a word or number that says something of the case."""
    if token.text[0].isdecimal():
        return True
    return (
        len(token.norm) > 2
        and token.is_word
        and token.norm not in FUNCTION_WORDS
        and token.norm not in NOTE_WORDS
    )
