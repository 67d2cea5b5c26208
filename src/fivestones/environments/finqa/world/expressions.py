"""Typed expressions over the cells of a company: their exact value, the text a calculator takes, their cells.

A value is computed from what the tables show (`Sheet.values`), with 50 digits, and rounded once at the end.
Adding asks for equal units; a share is a number without one: nonsense such as dollars plus employees is an
error at the place where it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

from fivestones.environments.finqa.world.model import Sheet, Unit, Where

DIGITS = 50
NEAR_TIE = Decimal(
    "0.001"
)  # of the last displayed digit: the calculator shows six decimals, then it is rounded
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 3}


class UnitError(Exception):
    """Two units that do not go together."""


class Undefined(Exception):
    """An expression without a value: a zero denominator, a root of a negative number, an empty cell."""


class Expr:
    """What can be computed. `unit` is None for a number without unit (a ratio, a share in percent)."""

    unit: Unit | None

    def __add__(self, other: Expr) -> Expr:
        return Op("+", self, other)

    def __sub__(self, other: Expr) -> Expr:
        return Op("-", self, other)

    def __mul__(self, other: Expr) -> Expr:
        return Op("*", self, other)

    def __truediv__(self, other: Expr) -> Expr:
        return Op("/", self, other)

    def __pow__(self, other: Expr) -> Expr:
        return Op("**", self, other)


@dataclass(frozen=True, eq=False, slots=True)
class Number(Expr):
    value: Decimal
    unit: None = None


def number(value: int) -> Number:
    return Number(Decimal(value))


@dataclass(frozen=True, eq=False, slots=True)
class Figure(Expr):
    """One cell."""

    sheet: Sheet
    key: str
    year: int

    @property
    def unit(self) -> Unit:  # type: ignore[override]
        return self.sheet.unit

    @property
    def where(self) -> Where:
        return self.key, self.year

    @property
    def value(self) -> Decimal:
        return self.sheet.values[self.where]

    @property
    def text(self) -> str:
        return self.sheet.texts[self.where] or ""

    @property
    def label(self) -> str:
        return self.sheet.line(self.key).label

    @property
    def there(self) -> bool:
        """Whether the sheet shows this cell."""
        return self.where in self.sheet.values and bool(self.sheet.texts.get(self.where))


class Op(Expr):
    """`left symbol right`. Raises UnitError."""

    __slots__ = ("left", "right", "symbol", "unit")

    def __init__(self, symbol: str, left: Expr, right: Expr) -> None:
        self.symbol, self.left, self.right = symbol, left, right
        self.unit = _unit(symbol, left.unit, right.unit)


def _unit(symbol: str, left: Unit | None, right: Unit | None) -> Unit | None:
    if symbol in "+-":
        if left != right:
            raise UnitError(f"{left} {symbol} {right}: allowed: equal units")
        return left
    plain_left, plain_right = _plain(left), _plain(right)
    if symbol == "*" and (plain_left is None or plain_right is None):
        return plain_left or plain_right
    if symbol == "/" and plain_right is None:
        return plain_left
    if symbol == "/" and plain_left == plain_right:
        return None
    if symbol == "**" and plain_left is None and plain_right is None:
        return None
    raise UnitError(f"{left} {symbol} {right}: allowed: numbers, or a quotient of equal units")


def _plain(unit: Unit | None) -> Unit | None:
    """A percentage multiplies as a number."""
    return None if unit is not None and unit.kind == "percent" else unit


class Scaled(Op):
    """A figure in another scale: 1,234 million as 1,234,000 thousand."""

    __slots__ = ()

    def __init__(self, figure: Figure, scale: int) -> None:
        down = scale > figure.unit.scale
        ratio = scale // figure.unit.scale if down else figure.unit.scale // scale
        super().__init__("/" if down else "*", figure, number(ratio))
        self.unit = Unit(figure.unit.kind, scale)


def at_scale(figure: Figure, scale: int) -> Expr:
    return figure if figure.unit.scale == scale else Scaled(figure, scale)


def percent(part: Expr, whole: Expr) -> Expr:
    return part / whole * number(100)


def total(terms: list[Expr]) -> Expr:
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


def value(expr: Expr) -> Decimal:
    """To 50 digits. Raises Undefined."""
    with localcontext(prec=DIGITS):
        return _value(expr)


def _value(expr: Expr) -> Decimal:
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Figure):
        if not expr.there:
            raise Undefined(f"no cell {expr.where} in {expr.sheet.name}")
        return expr.value
    assert isinstance(expr, Op)
    left, right = _value(expr.left), _value(expr.right)
    match expr.symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if not right:
                raise Undefined("zero denominator")
            return left / right
    if left <= 0:
        raise Undefined(f"{left} ** {right}")
    return left**right


def figures(expr: Expr) -> Iterator[Figure]:
    """Its cells from left to right, with repeats."""
    if isinstance(expr, Figure):
        yield expr
    elif isinstance(expr, Op):
        yield from figures(expr.left)
        yield from figures(expr.right)


def denominators(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Op):
        if expr.symbol == "/" and any(figures(expr.right)):
            yield expr.right
        yield from denominators(expr.left)
        yield from denominators(expr.right)


def moved(expr: Expr, move: Callable[[Figure], Figure]) -> Expr:
    """The same operation on other cells."""
    if isinstance(expr, Figure):
        return move(expr)
    if isinstance(expr, Scaled) and isinstance(expr.left, Figure) and expr.unit is not None:
        return at_scale(move(expr.left), expr.unit.scale)
    if isinstance(expr, Op):
        return Op(expr.symbol, moved(expr.left, move), moved(expr.right, move))
    return expr


def written(expr: Expr, above: int = 0, right: bool = False) -> str:
    """What a calculator takes, with the numbers as read: `(1234 - 1100) / 1100 * 100`."""
    if isinstance(expr, Number):
        return format(expr.value, "f")
    if isinstance(expr, Figure):
        text = format(expr.value, "f")
        return f"({text})" if expr.value < 0 else text
    assert isinstance(expr, Op)
    mine = _PRECEDENCE[expr.symbol]
    text = f"{written(expr.left, mine)} {expr.symbol} {written(expr.right, mine, right=True)}"
    return f"({text})" if mine < above or (mine == above and right) else text


def rounded(exact: Decimal, places: int) -> Decimal | None:
    """Half up; None near a tie, where another way to round, or to round twice, gives another answer."""
    with localcontext(prec=DIGITS):
        scaled = abs(exact).scaleb(places)
        if abs(scaled - int(scaled) - Decimal("0.5")) < NEAR_TIE:
            return None
        return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def places(expr: Expr) -> int:
    """Decimals of its most precise cell."""
    return max(max(0, -int(f.value.as_tuple().exponent)) for f in figures(expr))
