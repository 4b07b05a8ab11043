"""Where the boxes of a class truly lie: how a detector misplaces them on held-back images, and the same put right.

A detector that has learnt little draws the boxes of a class too large, or cuts off the same side of each: what is wrong
in the same way again and again is measured on few boxes, and costs nothing to put right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.records import looked_up

CORNERS = ("x1", "y1", "x2", "y2")
LEAST_BOXES = 5
"""Of a class with fewer nothing is known."""
FARTHEST = 0.25
"""No side is moved by more than this share of its box."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LocalisationBias:
    """How the boxes of a detector are moved.

    Attributes:
        shifts: By class, what is added to `(x1, y1, x2, y2)`, in widths and heights of the box; without an entry, a
            class stays where it is.
    """

    shifts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def correct(self, boxes: pa.Table, sizes: pa.Table) -> pa.Table:
        """Move boxes to where they truly lie.

        Args:
            boxes: Columns `image_id`, `label` and `x1` to `y2`, in pixels.
            sizes: Columns `image_id`, `width` and `height` of their images, in pixels.

        Returns:
            The table with corners moved, cut at the edges of the images.
        """
        shifts = looked_up(boxes["label"], self.shifts, (0.0,) * 4)
        corners = xyxy_of(boxes)
        row = pc.index_in(boxes["image_id"], value_set=sizes["image_id"].combine_chunks())
        edges = np.stack([sizes[name].take(row).to_numpy() for name in ("width", "height")], axis=1)
        moved = (corners + shifts * _sides(corners)).clip(0, np.tile(edges, 2))
        for index, name in enumerate(CORNERS):
            place = boxes.schema.get_field_index(name)
            kind = boxes.schema.field(place)
            boxes = boxes.set_column(place, kind, pa.array(moved[:, index]).cast(kind.type, safe=False))
        return boxes


def fit_localisation_bias(labels: NDArray[np.str_], corners: Floats, truth: Floats) -> LocalisationBias:
    """Measure how boxes of each class are misplaced.

    Args:
        labels: str[N].
        corners: float[N, 4], `(x1, y1, x2, y2)`, pixels.
        truth: float[N, 4], those of the object that each box shows; NaN where it shows none.

    Returns:
        Medians over the boxes of a class, drawn towards nothing as far as so few boxes may differ by chance.
    """
    off, known = (truth - corners) / _sides(corners), ~np.isnan(truth[:, 0])
    shifts = {}
    for label in np.unique(labels[known]).tolist():
        own = off[known & (labels == label)]
        if len(own) >= LEAST_BOXES:
            median, noise = np.median(own, axis=0), own.var(axis=0, ddof=1) / len(own)
            trust = np.divide(median**2, median**2 + noise, out=np.zeros(4), where=median != 0)
            shifts[str(label)] = tuple((median * trust).clip(-FARTHEST, FARTHEST).tolist())
    return LocalisationBias(shifts)


def xyxy_of(boxes: pa.Table) -> Floats:
    """float64[N, 4] of a table's columns `x1` to `y2`."""
    return np.stack([boxes[name].to_numpy().astype(np.float64) for name in CORNERS], axis=1)


def _sides(corners: Floats) -> Floats:
    """Width, height, width, height of each box."""
    return np.tile(corners[:, 2:] - corners[:, :2], 2)
