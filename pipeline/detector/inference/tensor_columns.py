"""Records of tensors that have one row for each of the same things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor


class TensorColumns:
    """A dataclass whose fields are tensors of equally many rows."""

    def __len__(self) -> int:
        """How many rows."""
        record: Any = self
        return len(getattr(self, fields(record)[0].name))

    def __getitem__(self, which: Tensor | slice) -> Self:
        """Some of the rows, by mask, index or slice."""
        record: Any = self
        return type(self)(*(getattr(self, field.name)[which] for field in fields(record)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of several records, at least one, in order."""
        kind: Any = cls
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(kind)))
