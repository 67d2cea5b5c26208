"""What the parts of a recipe have in common."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fivestones.errors import nearest

Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0, le=1.0)]
NAME = r"^[A-Za-z0-9_.-]+$"  # of what becomes a file


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def known(kind: str, built_in: Collection[str]) -> str:
    """`kind`, which is built in or the user's own module:attribute. Raises ValueError."""
    if kind not in built_in and not re.fullmatch(r"[\w.]+:\w+", kind):
        allowed = ", ".join(built_in)
        raise ValueError(f"got `{kind}`; allowed: {allowed}, or module:attribute.{nearest(kind, built_in)}")
    return kind
