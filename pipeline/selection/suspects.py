"""Labels that are perhaps wrong: by themselves, beside others of their class, and beside held-back detections.

Held-back detections come from a detector that has not learnt the image, with p(correct), which is fitted on labels as
they are. With the share `e` of boxes for which people make one kind of mistake:

- a box is missing where nothing is labelled, with probability `q e / (q e + 1 - q)`; `q = p / (1 - e)` is the
  probability that the detection is right;
- a label is of the wrong class, given that an object is there, with probability `e p / (e p + (1 - e) p_own)`, of
  the likeliest other class and of the label's own;
- a label is badly placed with probability `p e / f`, where a share `f` of the detections of its class lie so far off.

The scores of `cleanlab.object_detection` rank whole images from raw detector scores. They name neither a probability
nor a box, which the gain per second of a person needs, so these rules stand on p(correct) instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dataset.box_pairs import corners_of, overlaps_in_images, pairs_in_images, texts_of

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]
Sides = Mapping[str, tuple[float, float]]
"""By class, between which sides (square root of the area, pixels) boxes are usual."""


class Suspicion(StrEnum):
    """What may be wrong with a label."""

    DUPLICATE = "duplicate"
    TWO_CLASSES = "two_classes"
    TINY = "tiny"
    HUGE = "huge"
    WRONG_CLASS = "wrong_class"
    MISPLACED = "misplaced"
    MISSING = "missing"
    DISPUTED = "disputed"


_CORNERS = ("x1", "y1", "x2", "y2")
SUSPECT_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("box_id", pa.string()),
        *((name, pa.float32()) for name in _CORNERS),
        ("label", pa.string()),
        ("suspicion", pa.string()),
        ("rival", pa.string()),
        ("p_wrong", pa.float64()),
    ]
)
"""One row per suspicion. `box_id`: the label; of a missing one the proposal that found it, with its corners and class.
`rival`: the class that it may be of; empty for none. `p_wrong`: probability that a person would mend it. An image that
two sources label differently is one suspicion of no box, whose `rival` is the other source."""

BOX_SCHEMA = pa.schema([SUSPECT_SCHEMA.field(name) for name in ("image_id", "box_id", *_CORNERS, "label")])
"""Boxes of labels; those of detections have `p_correct` beside."""
DETECTION_SCHEMA = BOX_SCHEMA.append(pa.field("p_correct", pa.float32()))

SAME_CLASS_IOU = 0.8
"""Two boxes of a class that overlap so much are one object twice."""
IDENTICAL_IOU = 0.9
"""Two boxes of different classes that overlap so much are one object."""
_P_TWICE = 0.9
_P_UNUSUAL = 0.3
"""What the rules without a detector are taken to be worth."""
MISTAKES = 0.03
"""Share of boxes for which people make any one kind of mistake, the `e` above."""
_SURELY = 0.999
_SURE = 0.5
LEAST_P = 0.02
"""A weaker suspicion is none."""
_LEAST_OWN = 0.05
"""p(correct) of a class that no detection names: the detector proposes none that is less likely."""
_MOST = 0.9
_ONE_OBJECT_IOU = 0.5
_ANY_OBJECT_IOU = 0.3
"""A detection that overlaps no label so much shows an object without one."""
_IN_PLACE_IOU = 0.65
"""A label that a detection of its class overlaps so much is in place."""
_IGNORED_SHARE = 0.5
_LEAST_BOXES = 20
"""Of a class, before any of its boxes is called unusual."""
_FENCES = 3.0
"""Interquartile ranges of the logarithm of the side (Tukey's far out)."""
_LEAST_RANGE = 0.1


@dataclass(frozen=True)
class Usual:
    """What is usual in all labelled images.

    Attributes:
        sides: Of `usual_sides`.
        far_off: Share of sure detections that lie far off the label of their class, see `far_off`.
    """

    sides: Sides = field(default_factory=dict)
    far_off: float = 1.0


def usual_sides(labels: pa.Array, sides: Floats) -> dict[str, tuple[float, float]]:
    """Tell which sizes are usual in a class.

    Args:
        labels: Class of each box.
        sides: float[N], square root of its area.

    Returns:
        (least, greatest) by class; classes of fewer than 20 boxes are left out.
    """
    names, codes = np.unique(np.asarray(labels.to_numpy(zero_copy_only=False), dtype=str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    parts = np.split(np.log(sides[order]), np.flatnonzero(np.diff(codes[order])) + 1)
    return {str(name): _fences(part) for name, part in zip(names, parts, strict=False) if len(part) >= _LEAST_BOXES}


def suspects(boxes: pa.Table, detections: pa.Table, ignored: pa.Table, usual: Usual) -> pa.Table:
    """Find labels that are perhaps wrong.

    Args:
        boxes: Labels of some images, columns of `BOX_SCHEMA`.
        detections: Held-back detections of these images, columns of `DETECTION_SCHEMA`; images may have none.
        ignored: Regions of these images where nothing is missing: `image_id` and corners.
        usual: What is usual in all labelled images.

    Returns:
        Columns of `SUSPECT_SCHEMA`, each box once for each suspicion, at least `LEAST_P`.
    """
    likeliest = _likeliest(detections)
    found = pa.concat_tables(
        [
            *_twice(boxes),
            *_unusual(boxes, usual.sides),
            *_disagreeing(boxes, detections, usual.far_off),
            _missing(boxes, likeliest, ignored),
        ]
    )
    keys = ["image_id", "box_id", "suspicion"]
    best = found.sort_by([*((key, "ascending") for key in keys), ("p_wrong", "descending"), ("rival", "ascending")])
    return best.take(_firsts(best, keys)).filter(pc.field("p_wrong") >= LEAST_P)


def far_off(boxes: pa.Table, detections: pa.Table) -> tuple[int, int]:
    """Count sure detections beside a label of their class, and those of them that lie far off.

    Args:
        boxes: Columns of `BOX_SCHEMA`.
        detections: Columns of `DETECTION_SCHEMA`.
    """
    shown, label, iou = overlaps_in_images(detections, boxes)
    same = texts_of(detections, "label")[shown] == texts_of(boxes, "label")[label]
    best = _greatest(np.where(same, iou, 0.0), shown, len(detections))
    sure = best[(_numbers(detections, "p_correct") >= _SURE) & (best >= _ANY_OBJECT_IOU)]
    return len(sure), int((sure < _IN_PLACE_IOU).sum())


def p_swapped(p_rival: Floats, p_own: Floats) -> Floats:
    """The probability that a person gave an object the wrong class, by p(correct) of another and of its own."""
    swapped = MISTAKES * p_rival
    return np.asarray(swapped / (swapped + (1 - MISTAKES) * np.maximum(p_own, _LEAST_OWN)))


def p_mistake(p_correct: Floats) -> Floats:
    """The probability that a person left out the object of a detection that lies where no label is."""
    right = np.minimum(p_correct / (1 - MISTAKES), _SURELY)
    return np.asarray(right * MISTAKES / (right * MISTAKES + 1 - right))


def _fences(logs: Floats) -> tuple[float, float]:
    low, high = np.quantile(logs, [0.25, 0.75])
    beyond = _FENCES * max(high - low, _LEAST_RANGE)
    return float(np.exp(low - beyond)), float(np.exp(high + beyond))


def _twice(boxes: pa.Table) -> list[pa.Table]:
    """Boxes that repeat an earlier one of their image."""
    left, right, iou = overlaps_in_images(boxes, boxes)
    left, right, iou = left[left < right], right[left < right], iou[left < right]
    label = texts_of(boxes, "label")
    same = label[left] == label[right]
    double, other = same & (iou >= SAME_CLASS_IOU), ~same & (iou >= IDENTICAL_IOU)
    return [
        _rows(boxes, right[double], Suspicion.DUPLICATE, _P_TWICE),
        _rows(boxes, right[other], Suspicion.TWO_CLASSES, _P_TWICE, label[left[other]]),
    ]


def _unusual(boxes: pa.Table, usual: Sides) -> list[pa.Table]:
    corners, label = corners_of(boxes), texts_of(boxes, "label")
    side = np.sqrt(np.prod(corners[:, 2:] - corners[:, :2], axis=1))
    names, codes = np.unique(label, return_inverse=True)
    fences = np.array([usual.get(str(name), (0.0, np.inf)) for name in names]).reshape(-1, 2)[codes]
    return [
        _rows(boxes, np.flatnonzero(side < fences[:, 0]), Suspicion.TINY, _P_UNUSUAL),
        _rows(boxes, np.flatnonzero(side > fences[:, 1]), Suspicion.HUGE, _P_UNUSUAL),
    ]


def _disagreeing(boxes: pa.Table, detections: pa.Table, far_off: float) -> list[pa.Table]:
    """Labels of another class than the detection at their place, or beside the detection of their class."""
    shown, label, iou = overlaps_in_images(detections, boxes)
    same = texts_of(detections, "label")[shown] == texts_of(boxes, "label")[label]
    p_correct = _numbers(detections, "p_correct")
    agreed = _greatest(np.where(same & (iou >= _ONE_OBJECT_IOU), p_correct[shown], 0.0), label, len(boxes))
    in_place = _greatest(np.where(same, iou, 0.0), label, len(boxes)) >= _IN_PLACE_IOU
    matches = _greatest(np.where(same, iou, 0.0), shown, len(detections))
    nearest = iou >= _greatest(iou, shown, len(detections))[shown]
    wrong = ~same & nearest & (iou >= _ONE_OBJECT_IOU) & (matches[shown] < _ONE_OBJECT_IOU)
    moved = same & (iou >= matches[shown]) & (iou >= _ANY_OBJECT_IOU) & (iou < _IN_PLACE_IOU) & ~in_place[label]
    rivals = texts_of(detections, "label")[shown[wrong]]
    p_moved = min(_MOST, MISTAKES / max(far_off, MISTAKES))
    return [
        _rows(boxes, label[wrong], Suspicion.WRONG_CLASS, p_swapped(p_correct[shown], agreed[label])[wrong], rivals),
        _rows(boxes, label[moved], Suspicion.MISPLACED, (p_correct[shown] * p_moved)[moved]),
    ]


def _missing(boxes: pa.Table, detections: pa.Table, ignored: pa.Table) -> pa.Table:
    """Detections where no label is and nothing is ignored."""
    shown, _, iou = overlaps_in_images(detections, boxes)
    overlap = _greatest(iou, shown, len(detections))
    within, region = pairs_in_images(detections, ignored)
    covered = _covered(corners_of(detections)[within], corners_of(ignored)[region])
    alone = (overlap < _ANY_OBJECT_IOU) & (_greatest(covered, within, len(detections)) < _IGNORED_SHARE)
    rows = np.flatnonzero(alone)
    return _rows(detections, rows, Suspicion.MISSING, p_mistake(_numbers(detections, "p_correct"))[rows])


def _likeliest(detections: pa.Table) -> pa.Table:
    """Of detections of one object, of any class, the likeliest; of equals the one that comes first."""
    left, right, iou = overlaps_in_images(detections, detections)
    p_correct = _numbers(detections, "p_correct")
    behind = (p_correct[left] < p_correct[right]) | ((p_correct[left] == p_correct[right]) & (left > right))
    kept = np.ones(len(detections), dtype=bool)
    kept[left[behind & (iou >= _ONE_OBJECT_IOU)]] = False
    return detections.filter(pa.array(kept))


def _covered(boxes: Floats, regions: Floats) -> Floats:
    """Share of each box that lies in its region."""
    sides = np.minimum(boxes[:, 2:], regions[:, 2:]) - np.maximum(boxes[:, :2], regions[:, :2])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(np.prod(np.clip(sides, 0, None), axis=1) / area)


def _greatest(values: Floats, rows: Rows, count: int) -> Floats:
    """The greatest value of each row, 0 for none."""
    most = np.zeros(count)
    np.maximum.at(most, rows, values)
    return most


def _rows(
    boxes: pa.Table, rows: Rows, kind: Suspicion, p_wrong: float | Floats, rivals: NDArray[np.str_] | None = None
) -> pa.Table:
    of = boxes.select(BOX_SCHEMA.names).take(pa.array(rows, pa.int64()))
    added = {
        "suspicion": pa.array([str(kind)] * len(rows), pa.string()),
        "rival": pa.array(np.full(len(rows), "") if rivals is None else rivals, pa.string()),
        "p_wrong": pa.array(np.broadcast_to(np.asarray(p_wrong, dtype=np.float64), len(rows))),
    }
    columns = [added[name] if name in added else of[name] for name in SUSPECT_SCHEMA.names]
    return pa.table(columns, names=SUSPECT_SCHEMA.names).cast(SUSPECT_SCHEMA)


def _firsts(table: pa.Table, keys: list[str]) -> pa.Array:
    """The first row of each run of equal keys."""
    new = np.zeros(len(table), dtype=bool)
    new[:1] = True
    for key in keys:
        values = texts_of(table, key)
        new[1:] |= values[1:] != values[:-1]
    return pa.array(np.flatnonzero(new))


def _numbers(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
