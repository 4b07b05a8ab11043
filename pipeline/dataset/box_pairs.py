"""Boxes that one version lacks and another has, paired where they are one object: moved, relabelled or taken over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SAME_OBJECT_IOU = 0.5
"""A box that overlaps one of the other version so much is the same object."""
_SAME_PLACE_IOU = 0.999

_CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class PairCount:
    """Boxes that became others in one way.

    Attributes:
        change: `moved`, `relabelled` (and perhaps moved), or `taken over` (the same box from another source or person).
        old_source: Of the old boxes.
        new_source: Of those that they became.
        old_label: Of the old boxes.
        new_label: Of those that they became.
        number: How many.
        iou: Mean overlap of old and new.
    """

    change: str
    old_source: str
    new_source: str
    old_label: str
    new_label: str
    number: int
    iou: float

    @property
    def source(self) -> str:
        """`pseudo->corrected`, or one name where both are equal."""
        return _became(self.old_source, self.new_source)

    @property
    def label(self) -> str:
        """`bolt->nut`, or one name where both are equal."""
        return _became(self.old_label, self.new_label)


def pair_boxes(gone: pa.Table, new: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pair boxes of one image, each at most once: those of the same label first, then those that overlap most.

    Args:
        gone: Boxes that only the old version has, with `image_id` and `box_id`.
        new: Boxes that only the new version has.

    Returns:
        Rows of `gone`, rows of `new` and their IoU, at least `SAME_OBJECT_IOU`; empty arrays for no pairs.
    """
    left, right, iou = overlaps_in_images(gone, new)
    keep = iou >= SAME_OBJECT_IOU
    left, right, iou = left[keep], right[keep], iou[keep]
    # Most boxes have one candidate, which has no other either: only the rest has to be settled pair by pair.
    free = (np.bincount(left, minlength=1)[left] == 1) & (np.bincount(right, minlength=1)[right] == 1)
    rest = np.flatnonzero(~free)
    settled = rest[_settled(gone.take(left[rest]), new.take(right[rest]), left[rest], right[rest], iou[rest])]
    chosen = np.sort(np.concatenate([np.flatnonzero(free), settled]))
    return left[chosen], right[chosen], iou[chosen]


def _settled(
    gone: pa.Table,
    new: pa.Table,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    iou: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Which of some pairs are taken, the best first."""
    same = texts_of(gone, "label") == texts_of(new, "label")
    # Ids settle ties, so that the order of rows does not matter.
    order = np.lexsort((texts_of(new, "box_id"), texts_of(gone, "box_id"), -iou, ~same))
    chosen, used_left, used_right = [], set(), set()
    for place in order.tolist():
        one, other = int(left[place]), int(right[place])
        if one not in used_left and other not in used_right:
            used_left.add(one)
            used_right.add(other)
            chosen.append(place)
    return np.array(chosen, dtype=np.int64)


def count_pairs(gone: pa.Table, new: pa.Table, iou: NDArray[np.float64]) -> tuple[PairCount, ...]:
    """Count pairs by what they became.

    Args:
        gone: The old boxes.
        new: The new ones, row by row.
        iou: Their overlaps.

    Returns:
        Counts by change, sources and labels, ascending.
    """
    moved = pc.if_else(pa.array(iou < _SAME_PLACE_IOU, pa.bool_()), "moved", "taken over")
    changes = pc.if_else(pc.not_equal(gone["label"], new["label"]), "relabelled", moved)
    names = [(age, name) for name in ("source", "label") for age in ("old", "new")]
    sides = {f"{age}_{name}": (gone if age == "old" else new)[name] for age, name in names}
    rows = pa.table({"change": changes, **sides, "iou": iou})
    keys = ["change", *sides]
    groups = rows.group_by(keys).aggregate([([], "count_all"), ("iou", "mean")])
    found = groups.sort_by([(key, "ascending") for key in keys]).to_pylist()
    return tuple(_pair_count(row) for row in found)


def _pair_count(row: dict[str, Any]) -> PairCount:
    number, iou = row.pop("count_all"), row.pop("iou_mean")
    return PairCount(**row, number=number, iou=round(iou, 4))


def _became(old: str, new: str) -> str:
    return new if old == new else f"{old}->{new}"


def pairs_in_images(gone: pa.Table, new: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of all pairs within an image, in order."""
    images = gone["image_id"].combine_chunks().dictionary_encode()
    left, ours = _valid_rows(images.indices)
    right, theirs = _valid_rows(pc.index_in(new["image_id"].combine_chunks(), images.dictionary))
    right = right[np.argsort(theirs, kind="stable")]
    numbers = np.bincount(theirs, minlength=len(images.dictionary))
    # Each of our rows meets the run of their rows that has its image.
    partners, starts = numbers[ours], (np.cumsum(numbers) - numbers)[ours]
    within = np.arange(partners.sum()) - np.repeat(np.cumsum(partners) - partners, partners)
    return np.repeat(left, partners), right[np.repeat(starts, partners) + within]


def _valid_rows(codes: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows that have a code, and their codes."""
    rows = np.flatnonzero(pc.is_valid(codes).to_numpy(zero_copy_only=False))
    return rows, codes.drop_null().to_numpy().astype(np.int64)


def overlaps_in_images(
    one: pa.Table, other: pa.Table
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows of all pairs within an image, in order, and the IoU of each."""
    left, right = pairs_in_images(one, other)
    return left, right, iou_by_row(corners_of(one)[left], corners_of(other)[right])


def corners_of(boxes: pa.Table) -> NDArray[np.float64]:
    """float64[N, 4], `(x1, y1, x2, y2)` in pixels."""
    return np.stack([boxes[name].to_numpy().astype(np.float64) for name in _CORNERS], axis=1).reshape(-1, 4)


def texts_of(boxes: pa.Table, name: str) -> NDArray[np.str_]:
    """A column of texts."""
    return np.asarray(boxes[name].to_numpy(), dtype=str)


def iou_by_row(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap of boxes row by row; both have an area."""
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.prod(np.clip(sides, 0, None), axis=1)
    areas = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other))
    return np.asarray(shared / (sum(areas) - shared))
