"""Numbers as annual reports display them: `$ 1,234`, `(56)`, `—`, `12.5 %`, `$1.2 billion`.

A displayed number is exact (Decimal) and keeps what its text says of unit, scale and precision; nothing is
guessed. Reading takes time linear in the text, and no text raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

LONGEST = 120  # characters of a displayed number with its unit
THOUSAND, MILLION, BILLION, TRILLION = (Decimal(10) ** k for k in (3, 6, 9, 12))
SCALES = {
    **dict.fromkeys(("k", "thousand", "thousands"), THOUSAND),
    **dict.fromkeys(("m", "mm", "mn", "million", "millions"), MILLION),
    **dict.fromkeys(("b", "bn", "billion", "billions"), BILLION),
    **dict.fromkeys(("tn", "trillion", "trillions"), TRILLION),
}
CURRENCIES = {
    **dict.fromkeys(("$", "us$", "usd", "dollar", "u.s. dollar", "us dollar"), "$"),
    **dict.fromkeys(("€", "eur", "euro"), "€"),
    **dict.fromkeys(("£", "gbp", "pound"), "£"),
    **dict.fromkeys(("¥", "jpy", "yen"), "¥"),
    **dict.fromkeys(("cad", "c$", "canadian dollar"), "CAD"),
    **dict.fromkeys(("aud", "a$", "australian dollar"), "AUD"),
    **{code.casefold(): code for code in ("CHF", "INR", "CNY", "KRW", "HKD", "SEK", "NOK", "DKK")},
}
UNITS = {
    **dict.fromkeys(("%", "percent", "per cent", "pct"), ("%", Decimal(1))),
    **dict.fromkeys(("percentage point", "percent point", "% point", "pp", "ppt", "pt"), ("pp", Decimal(1))),
    **dict.fromkeys(("basis point", "bp"), ("pp", Decimal("0.01"))),
    **dict.fromkeys(("x", "×", "time"), ("x", Decimal(1))),
}
NIL = "—–―‒-"  # alone they stand for 0
_DISPLAYED = re.compile(
    r"""(?P<open>\()?\ ?(?P<sign>[-+])?\ ?
        (?P<before>us\$|[ca]\$|[$€£¥]|(?:usd|eur|gbp|jpy|chf|cad|aud|inr|cny|krw|hkd|sek|nok|dkk)\b)?\ ?
        (?P<inner>\()?\ ?(?P<sign2>[-+])?\ ?[$]?\ ?
        (?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)
        (?:e(?P<exponent>[-+]?[0-9]{1,2}))?
        \ ?(?P<rest>[^0-9]*)""",
    re.VERBOSE,
)
_NIL = re.compile(rf"(?P<before>us\$|[$€£¥])?\ ?[{NIL}]+\ ?(?P<rest>[^0-9{NIL}]*)")
_PER_SHARE = re.compile(r"(?:/|per|a) ?(?:basic |diluted |common )?share$")
_WORDS = re.compile(r"[a-z][a-z.'’ -]*|%(?: points?)?|×")


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` is what the digits say, with their sign; times `scale` it is in units of `unit`."""

    value: Decimal
    last: Decimal  # one unit of the last displayed digit, before the scale: 0.1 for "12.5", 1 for "1,234"
    scale: Decimal = Decimal(1)  # 1,000,000 for "million"; 0.01 for basis points, in percentage points
    scaled: bool = False  # a scale is written out
    unit: str = (
        ""  # "%", "pp", "x", "$" and other currencies, else the noun: "share", "employee"; "" when bare
    )

    @property
    def base(self) -> Decimal:
        """In units of `unit`, whatever the scale was written in."""
        return self.value * self.scale

    @property
    def tolerance(self) -> Decimal:
        """Half a unit of the last displayed digit, in units of `unit`."""
        return self.last * self.scale / 2


def read(text: str) -> Quantity | None:
    """The number that `text` displays; None when it is none, or says more than a number and its unit."""
    if len(text) > 4 * LONGEST:
        return None
    plain = " ".join(text.split()).casefold().replace("−", "-").replace("\\%", "%").replace("\\$", "$")
    if len(plain) > LONGEST:
        return None
    if nil := _NIL.fullmatch(plain):
        return _quantity(Decimal(0), Decimal(1), nil["before"] or "", nil["rest"])
    match = _DISPLAYED.fullmatch(plain)
    if not match:
        return None
    opened = bool(match["open"]) + bool(match["inner"])
    rest = match["rest"]
    negative = bool(match["open"] and not match["inner"]) or bool(match["inner"])
    if opened > 1 or (negative and (match["sign"] or match["sign2"])) or (match["sign"] and match["sign2"]):
        return None
    if opened:  # the closing one follows the number or ends the text: "(5.6) %", "(5.6 %)", "$ (56) million"
        if rest.startswith(")"):
            rest = rest[1:]
        elif rest.endswith(")") and "(" not in rest:
            rest = rest[:-1]
        else:
            return None
    digits = Decimal(match["number"].replace(",", ""))
    power = Decimal(10) ** int(match["exponent"] or 0)
    last = Decimal(10) ** int(digits.as_tuple().exponent) * power
    value = digits * power
    if negative or "-" in (match["sign"], match["sign2"]):
        value = -value
    return _quantity(value, last, match["before"] or "", rest)


def _quantity(value: Decimal, last: Decimal, before: str, rest: str) -> Quantity | None:
    """With the scale, the currency and the unit that `rest`, what follows the number, names."""
    rest = rest.strip().removesuffix(".").strip()
    scale, scaled, unit = Decimal(1), False, CURRENCIES.get(before, "")
    if rest.startswith("(") and rest.endswith(")"):  # "1,234 (in millions)"
        rest = rest[1:-1].strip()
    rest = rest.removeprefix("in ")
    word, _, more = rest.partition(" ")
    if word in SCALES:
        scale, scaled, rest = SCALES[word], True, more.removeprefix("of ").strip()
    rest = _PER_SHARE.sub("", rest).strip()  # money per share is money: the question says per what
    if not rest:
        return Quantity(value, last, scale, scaled, unit)
    named = _unit(rest)
    if named is None:
        return None
    name, factor = named
    if unit and name != unit:
        return None if name in CURRENCIES.values() else Quantity(value, last, scale, scaled, f"{unit} {name}")
    return Quantity(value, last, scale * factor, scaled, name)


def _unit(words: str) -> tuple[str, Decimal] | None:
    """Canonical name of a unit and its factor; None for what is no name of one to three words."""
    if not _WORDS.fullmatch(words) or words.count(" ") > 2:
        return None
    for form in (words, words.removesuffix("s")):
        if form in UNITS:
            return UNITS[form]
        if form in CURRENCIES:
            return CURRENCIES[form], Decimal(1)
    return words.removesuffix("s"), Decimal(1)
