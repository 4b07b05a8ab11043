"""Records whose sum is the sum of their fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self


class Sums:
    """A dataclass that adds up, field by field."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        """Sums, field by field."""
        record: Any = self
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(record)))
