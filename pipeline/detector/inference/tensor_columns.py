"""Records of tensors that have one row for each of the same things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor


class TensorColumns:
    """A dataclass whose fields are tensors of equally many rows, the first of them always, others or None."""

    def __len__(self) -> int:
        """How many rows."""
        record: Any = self
        return len(getattr(self, fields(record)[0].name))

    def __getitem__(self, which: Tensor | slice) -> Self:
        """Some of the rows, by mask, index or slice."""
        record: Any = self
        columns = (getattr(self, field.name) for field in fields(record))
        return type(self)(*(None if column is None else column[which] for column in columns))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of several records, at least one, in order."""
        kind: Any = cls
        columns = ([getattr(part, field.name) for part in parts] for field in fields(kind))
        return cls(*(None if any(part is None for part in column) else torch.cat(column) for column in columns))
