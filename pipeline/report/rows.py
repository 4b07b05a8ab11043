"""Rows of the columnar tables as records, for the few that a page shows one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Corners = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels."""


@dataclass(frozen=True, slots=True)
class QueuedImage:
    """A row of `QUEUE_SCHEMA`."""

    image_id: str
    rank: int
    value: float | None
    expected_corrections: float | None
    expected_missed: float | None
    boxes: int | None
    kind: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of `SELECTION_SCHEMA`: a proposal, its scores and what became of it."""

    proposal_id: str
    image_id: str
    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    score: float | None
    consistency: float | None
    checks: int | None
    p_correct: float | None
    fate: str
    reason: str | None

    @property
    def xyxy(self) -> Corners:
        """The box, in pixels of its image, corrected for localisation bias where the settings say so."""
        return (self.x1, self.y1, self.x2, self.y2)


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """A row of `PROPOSAL_SCHEMA`: where the detector put a box, which is what checks paste."""

    proposal_id: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def xyxy(self) -> Corners:
        """The box, in pixels of its image."""
        return (self.x1, self.y1, self.x2, self.y2)


@dataclass(frozen=True, slots=True)
class Check:
    """A row of `CHECK_SCHEMA`: a paste and its re-detection."""

    proposal_id: str
    number: int
    shown_id: str
    host_id: str
    paste_x1: float
    paste_y1: float
    paste_x2: float
    paste_y2: float
    margin: float
    scale: float
    hit: bool
    score: float
    iou: float
    x1: float | None
    y1: float | None
    x2: float | None
    y2: float | None

    @property
    def pasted(self) -> Corners:
        """Where the object came to lie, in pixels of the host image."""
        return (self.paste_x1, self.paste_y1, self.paste_x2, self.paste_y2)

    @property
    def redetection(self) -> Corners | None:
        """The re-detection, in pixels of the host image; None where there is none."""
        if self.x1 is None or self.y1 is None or self.x2 is None or self.y2 is None:
            return None
        return (self.x1, self.y1, self.x2, self.y2)


R = TypeVar("R", QueuedImage, Verdict, DetectedBox, Check)


def read_rows(table: pa.Table, kind: type[R]) -> list[R]:
    """Rows as records, in the table's order.

    Args:
        table: Has a column for each field of the record.
        kind: One of the records of this module.
    """
    names = [field.name for field in fields(kind)]
    return [kind(**row) for row in table.select(names).to_pylist()]


def rows_of(table: pa.Table, kind: type[R], key: str, values: Iterable[str]) -> dict[str, list[R]]:
    """Rows as records, by the value of one column.

    Args:
        table: Has a column for each field of the record.
        kind: One of the records of this module.
        key: A text column and field.
        values: Those whose rows are wanted.

    Returns:
        Rows in the table's order by value; a value without rows has an empty list.
    """
    wanted = pa.array(sorted(set(values)), pa.string())
    groups: dict[str, list[R]] = defaultdict(list)
    for row in read_rows(table.filter(pc.is_in(table[key], wanted)), kind):
        groups[getattr(row, key)].append(row)
    return groups
