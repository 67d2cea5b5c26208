"""Criteria that need no judge: a field of the output against the same field of the reference, in [0, 1].

Both ignore case, Unicode compatibility forms and spacing. Neither rewards meaning: `exact` suits labels,
numbers and lists of labels, `overlap` short text whose words matter more than their order. Longer prose wants
a judge.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?([eE][+-]?\d{1,3})?")
# Scripts written without spaces count by the character: Japanese, Chinese, Korean, Thai.
_TOKEN = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\d+(?:[.,]\d+)*|[^\W\d_\u0e00-\u0e7f\u3040-\ud7af]+"
)


def exact(reference: object, value: object) -> float:
    """1.0 when equal after normalisation, else 0.0.

    Numbers are equal to the same number in other writing (3, 3.0, "3", "1,200" and 1200); text ignores case,
    spacing and a final full stop; lists of text are labels and ignore order, other lists do not; objects need
    the same keys. True and False equal only themselves.
    """
    return float(_equal(reference, value))


def overlap(reference: object, value: object) -> float:
    """F1 of the words (with multiplicity) of the two values; of lists and objects, the text in them."""
    expected, got = Counter(tokens(reference)), Counter(tokens(value))
    if not expected or not got:
        return float(expected == got)
    shared = (expected & got).total()
    return 2 * shared / (expected.total() + got.total())


def tokens(value: object) -> list[str]:
    """Lower-case words and numbers of every text and number inside the value, in order."""
    return [token for text in _texts(value) for token in _TOKEN.findall(_normal(text))]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _texts(value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        number = _number(value)
        yield str(value) if number is None else f"{number:.15g}"


def _equal(a: object, b: object) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if all(isinstance(item, str) for item in (*a, *b)):
            return Counter(map(_label, a)) == Counter(map(_label, b))
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    x, y = _number(a), _number(b)
    if x is not None and y is not None:
        return math.isclose(x, y, rel_tol=1e-9)
    return isinstance(a, str) and isinstance(b, str) and _label(a) == _label(b)


def _number(value: object) -> float | None:
    """The number that a value is or writes; None for anything else, and for what is beyond a float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 40 or not _NUMBER.fullmatch(text):
            return None
        # A leading zero is a code (00123, 007), not a quantity.
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits[1] not in ".eE":
            return None
        value = float(text.replace(",", ""))
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _label(text: str) -> str:
    return _normal(text).removesuffix(".").rstrip()
