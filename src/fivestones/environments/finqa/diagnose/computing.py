"""Errors of computing: numbers that come from nowhere, or from the model's own arithmetic."""

from __future__ import annotations

from fivestones.environments.finqa.diagnose.figures import Figure, figures, sizes
from fivestones.environments.finqa.diagnose.reading import CALCULATE, Asked, Reading

# what a formula brings along, without a source: small counts, shares of 100, months, days, scales; and their
# reciprocals
CONSTANTS = (*map(float, range(11)), 12.0, 100.0, 360.0, 365.0, 1e3, 1e6, 1e9)
_FREE = tuple(sorted({*CONSTANTS, *(1 / c for c in CONSTANTS if c)}))


def mental_arithmetic(reading: Reading) -> float | None:
    """The answer takes an operation, the calculator was not called, and a number of the final answer is in
    no reply of a tool. None where no operation is needed, and for final answers without a number."""
    if not reading.figures or not reading.operates:
        return None
    computed = any(reading.of(CALCULATE))
    return float(not computed and not all(_shown(f, reading.calls) for f in reading.figures))


def ungrounded_operand(reading: Reading) -> float | None:
    """A number in an expression for the calculator that neither the question nor a reply to an earlier turn
    shows (`figures`: up to sign, percent, thousands, displayed digits) and that is none of CONSTANTS. None
    without a calculator call."""
    calls = list(reading.of(CALCULATE))
    if not calls:
        return None
    asked = sizes(figures(reading.question))
    return float(any(_ungrounded(reading, call, asked) for call in calls))


def ungrounded_final(reading: Reading) -> float | None:
    """A number of the final answer that no reply of a tool shows, to the digits it is written with, up to the
    sign and a factor of 100, 10^3, 10^6 or 10^9. None for final answers without a number."""
    if not reading.figures:
        return None
    return float(not all(_shown(f, reading.calls) for f in reading.figures))


def ignored_output(reading: Reading) -> float | None:
    """Not right, and none of the final answer's numbers is in any reply of the calculator, to the digits it
    is written with. None without such a reply, and for final answers without a number."""
    results = [call for call in reading.of(CALCULATE) if call.answered]
    if not reading.figures or not results:
        return None
    return float(not reading.right and not any(_shown(f, results) for f in reading.figures))


def _shown(figure: Figure, calls: list[Asked] | tuple[Asked, ...]) -> bool:
    return any(figure.shown_in(call.figures) for call in calls)


def _ungrounded(reading: Reading, call: Asked, asked: tuple[float, ...]) -> bool:
    expression = call.arguments.get("expression")
    if not isinstance(expression, str):
        return False
    earlier = [c for c in reading.calls if c.turn < call.turn]
    return any(
        not (operand.shown_in(_FREE, factors=(1.0,)) or operand.shown_in(asked) or _shown(operand, earlier))
        for operand in figures(expression)
    )
