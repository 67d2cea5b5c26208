"""A calculator of numbers: its own tokens and grammar over Decimal; nothing is ever evaluated as code.

    sum     := product (("+" | "-") product)*
    product := signed (("*" | "/") signed)*
    signed  := ("+" | "-")* power
    power   := percent (("**" | "^") signed)?       right to left: -2 ** 2 is -4
    percent := atom "%"?                            12.5% is 0.125; there is no modulo
    atom    := currency? number | name "(" sum ("," sum)* ")" | currency? "(" sum ")"

Every bound is checked before the work it bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext

from fivestones.environments.tool_use.tools import ToolError

LONGEST = 300  # characters
DEEPEST = 30  # parentheses and powers within one another
DIGITS = 40  # of one number
LARGEST_EXPONENT = 100  # of a power, of 1e100, and of every intermediate value
PLACES = 6  # decimals of a result; significant digits of one below 1
ALLOWED = "numbers, + - * / ** ^ %, parentheses, round, abs, min, max"
_TOKEN = re.compile(
    r"""\ *(?:(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?
                |\.[0-9]+(?:[eE][+-]?[0-9]+)?)
          |(?P<name>[A-Za-z_][A-Za-z_0-9]*)
          |(?P<sign>\*\*|[-+*/^%(),$€£¥]))""",
    re.VERBOSE,
)
_CURRENCIES = frozenset("$€£¥")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, sign or end
    text: str
    place: int  # 1 for the first character


def calculate(expression: str) -> str:
    """The value of `expression`, as plain decimal text of up to 6 decimals (6 significant digits below 1),
    rounded half up. ToolError says what is wrong, where, and what is allowed."""
    if len(expression) > LONGEST:
        raise ToolError(f"the expression has {len(expression):,} characters, at most {LONGEST} are allowed")
    with localcontext(_context()):
        return _plain(_Parser(_tokens(expression)).value())


def _context() -> Context:
    return Context(
        prec=60,
        rounding=ROUND_HALF_UP,
        Emin=-9999,
        Emax=9999,
        traps=[InvalidOperation, DivisionByZero, Overflow],
    )


def _tokens(expression: str) -> list[_Token]:
    tokens, at = [], 0
    end = len(expression.rstrip(" \t\n"))
    if not end:
        raise ToolError("the expression is empty; write for example (1,250 - 1,000) / 1,000")
    spaced = expression.replace("\t", " ").replace("\n", " ")
    while at < end:
        match = _TOKEN.match(spaced, at, end)
        if not match:
            at += len(spaced[at:end]) - len(spaced[at:end].lstrip(" "))
            raise ToolError(f"{spaced[at]!r} at character {at + 1} cannot be used; allowed: {ALLOWED}")
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, _Token("end", "the end", end + 1)]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._in_call = False

    def value(self) -> Decimal:
        value = self._sum()
        if self._peek.kind != "end":
            raise self._unexpected("an operator or the end")
        return value

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str:
        """The sign that comes next when it is one of `signs`, else ''."""
        token = self._peek
        if token.kind == "sign" and token.text in signs:
            self._at += 1
            return token.text
        return ""

    def _sum(self) -> Decimal:
        value = self._product()
        while sign := self._take("+", "-"):
            right = self._product()
            value = _bounded(value + right if sign == "+" else value - right)
        return value

    def _product(self) -> Decimal:
        value = self._signed()
        while sign := self._take("*", "/"):
            place, right = self._peek.place, self._signed()
            if sign == "/" and not right:
                raise ToolError(f"division by zero: the divisor at character {place} is 0")
            value = _bounded(value * right if sign == "*" else value / right)
        return value

    def _signed(self) -> Decimal:
        negative = False
        while sign := self._take("+", "-"):
            negative ^= sign == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Decimal:
        base = self._percent()
        place = self._peek.place
        if not self._take("**", "^"):
            return base
        self._deeper(place)
        exponent = self._signed()
        self._depth -= 1
        return _raised(base, exponent, place)

    def _percent(self) -> Decimal:
        value = self._atom()
        return value / 100 if self._take("%") else value

    def _atom(self) -> Decimal:
        currency = self._take(*_CURRENCIES)
        token = self._peek
        if token.kind == "number":
            self._at += 1
            return _number(token, self._in_call)
        if self._take("("):
            return self._group(token.place)
        if token.kind == "name" and not currency:
            return self._call()
        raise self._unexpected("a number" if currency else "a number, a function or '('")

    def _group(self, place: int) -> Decimal:
        outer, self._in_call = self._in_call, False
        self._deeper(place)
        value = self._sum()
        self._close(place)
        self._in_call = outer
        return value

    def _call(self) -> Decimal:
        name = self._peek
        function = FUNCTIONS.get(name.text.lower())
        if function is None:
            raise ToolError(
                f"`{name.text[:40]}` at character {name.place} is no number and no function;"
                f" allowed: {ALLOWED}. Write values out in digits"
            )
        self._at += 1
        opening = self._peek.place
        if not self._take("("):
            raise self._unexpected(f"'(' behind {name.text}")
        outer, self._in_call = self._in_call, True
        self._deeper(opening)
        arguments = [self._sum()]
        while self._take(","):
            arguments.append(self._sum())
        self._close(opening)
        self._in_call = outer
        return _bounded(function(arguments))

    def _deeper(self, place: int) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ToolError(f"nested too deeply at character {place}: at most {DEEPEST} levels")

    def _close(self, place: int) -> None:
        if not self._take(")"):
            raise self._unexpected(f"an operator or the ')' of the '(' at character {place}")
        self._depth -= 1

    def _unexpected(self, wanted: str) -> ToolError:
        token = self._peek
        got = token.text if token.kind == "end" else f"`{token.text[:40]}`"
        return ToolError(f"expected {wanted} at character {token.place}, got {got}; allowed: {ALLOWED}")


def _number(token: _Token, in_call: bool) -> Decimal:
    text = token.text
    if in_call and "," in text:  # max(100,200) is two numbers to one reader, and one to another
        raise ToolError(
            f"`{text[:40]}` at character {token.place} could be one number or several arguments;"
            " in a function leave thousands separators out and write a space behind the comma"
        )
    mantissa, _, exponent = text.lower().replace(",", "").partition("e")
    if sum(c.isdigit() for c in mantissa) > DIGITS:
        raise ToolError(f"the number at character {token.place} has more than {DIGITS} digits")
    if len(exponent) > 4 or abs(int(exponent or 0)) > LARGEST_EXPONENT:
        raise ToolError(f"the exponent at character {token.place} must be within {LARGEST_EXPONENT}")
    return _bounded(Decimal(f"{mantissa}e{exponent or 0}"))


def _raised(base: Decimal, exponent: Decimal, place: int) -> Decimal:
    if abs(exponent) > LARGEST_EXPONENT:
        raise ToolError(f"the exponent at character {place} must be within {LARGEST_EXPONENT}")
    if not base:
        if exponent <= 0:
            raise ToolError(f"0 has no power of {_plain(exponent)} (character {place})")
        return base
    if base < 0 and exponent != exponent.to_integral_value():
        raise ToolError(f"a negative number has no power with a fraction (character {place})")
    # The size of the result is known before it is computed.
    if abs(base.adjusted() * exponent) > 2 * LARGEST_EXPONENT:
        raise ToolError(f"the power at character {place} is too large or too small")
    return _bounded(base**exponent)


def _bounded(value: Decimal) -> Decimal:
    if value and abs(value.adjusted()) > LARGEST_EXPONENT:
        raise ToolError(f"a value is too large or too small: its exponent must be within {LARGEST_EXPONENT}")
    return value


def _rounded(arguments: list[Decimal]) -> Decimal:
    if len(arguments) > 2:
        raise ToolError(f"round takes a number and how many decimals, got {len(arguments)} arguments")
    places = arguments[1] if len(arguments) == 2 else Decimal(0)
    if places != places.to_integral_value() or abs(places) > 20:
        raise ToolError(f"round keeps a whole number of decimals, at most 20, got {_plain(places)}")
    value, step = arguments[0], Decimal(1).scaleb(-int(places))
    if value.adjusted() + int(places) > 50:  # nothing that far behind its digits to round
        return value
    return value.quantize(step)


def _absolute(arguments: list[Decimal]) -> Decimal:
    if len(arguments) != 1:
        raise ToolError(f"abs takes one number, got {len(arguments)}")
    return abs(arguments[0])


FUNCTIONS: Mapping[str, Callable[[list[Decimal]], Decimal]] = {
    "round": _rounded,
    "abs": _absolute,
    "min": min,
    "max": max,
}


def _plain(value: Decimal) -> str:
    if not value:
        return "0"
    size = value.adjusted()
    if size >= 21 or size < -15:
        return f"{value:.{PLACES - 1}e}"
    places = PLACES if size >= 0 else PLACES - 1 - size
    text = f"{value:.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
