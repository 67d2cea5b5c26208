"""Number words and units: the tables behind `numbers` and `frequency`."""

from __future__ import annotations

_TO_NINETEEN = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
ONES = {word: n for n, word in enumerate(_TO_NINETEEN)}
_DECADES = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
TENS = {word: 10 * n for n, word in enumerate(_DECADES, start=2)}
WORDS = {**ONES, **TENS}

# surface forms -> (canonical unit, factor to the base of its dimension, dimension)
_UNITS = (
    ("mg milligram milligrams mgs", ("mg", 1.0, "mass")),
    ("g gram grams gm gms", ("g", 1000.0, "mass")),
    ("mcg microgram micrograms ug µg", ("mcg", 0.001, "mass")),
    ("ml milliliter milliliters millilitre millilitres cc", ("ml", 1.0, "volume")),
    ("l liter liters litre litres", ("l", 1000.0, "volume")),
    ("unit units iu", ("unit", 1.0, "unit")),
    ("puff puffs", ("puff", 1.0, "puff")),
    ("tablet tablets pill pills tab tabs capsule capsules", ("tablet", 1.0, "tablet")),
    ("drop drops", ("drop", 1.0, "drop")),
    ("spray sprays", ("spray", 1.0, "spray")),
    ("meq", ("meq", 1.0, "meq")),
    ("pack packs", ("pack", 1.0, "pack")),
    ("drink drinks beer beers", ("drink", 1.0, "drink")),
    ("% percent pct", ("%", 1.0, "percent")),
    ("f fahrenheit", ("F", 1.0, "temperature")),
    ("c celsius centigrade", ("C", 1.0, "temperature")),
    ("bpm beats", ("bpm", 1.0, "per_minute")),
    ("breaths rpm", ("/min", 1.0, "per_minute")),
    ("mmhg", ("mmHg", 1.0, "pressure")),
    ("lb lbs pound pounds", ("lb", 0.45359, "weight")),
    ("kg kgs kilogram kilograms kilo kilos", ("kg", 1.0, "weight")),
    ("cm centimeter centimeters centimetre centimetres", ("cm", 1.0, "length")),
    ("mm millimeter millimeters millimetre millimetres", ("mm", 0.1, "length")),
    ("inch inches", ("in", 2.54, "length")),
    ("ft foot feet", ("ft", 30.48, "length")),
    ("minute minutes min mins", ("minute", 1 / 1440, "time")),
    ("hour hours hr hrs h", ("hour", 1 / 24, "time")),
    ("day days", ("day", 1.0, "time")),
    ("week weeks wk wks", ("week", 7.0, "time")),
    ("month months", ("month", 30.44, "time")),
    ("year years yr yrs", ("year", 365.25, "time")),
)
UNITS: dict[str, tuple[str, float, str]] = {name: entry for names, entry in _UNITS for name in names.split()}
PER = frozenset({"dl", "l", "ml", "kg", "h", "hr", "min", "hpf", "day"})  # second half of mg/dl and the like
