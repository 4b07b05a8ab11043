"""Which types of error a detector makes and what each costs (TIDE, arXiv 2008.08115)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from pipeline.artefacts import ERROR_TYPES, ErrorCost
from pipeline.detector.evaluation.curves import average_precision
from pipeline.detector.evaluation.labeled_detections import Floats, Ints, LabeledDetections
from pipeline.detector.evaluation.matching import Flags, Matches

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a place is right, and up to which there is nothing: t_f and t_b of the paper."""
_RIGHT = "right"

Names = NDArray[np.str_]


@dataclass(frozen=True)
class Errors:
    """What a detector gets wrong.

    Attributes:
        costs: By type, in the order of `ERROR_TYPES`.
        confusions: By class of the object and class that a detection in its place has instead, how many detections, at
            any confidence; names ascending, zeros left out.
    """

    costs: dict[str, ErrorCost]
    confusions: dict[str, dict[str, int]]


def measure_errors(detections: LabeledDetections, matches: Matches) -> Errors:
    """Sort the errors, put each type right by itself, and count which classes are taken for which.

    Args:
        detections: Detections beside the truth.
        matches: Of these.
    """
    kinds, aims = _sort(detections, matches)
    return Errors(_costs(detections, matches, kinds, aims), _confusions(detections, matches, kinds, aims))


def _confusions(detections: LabeledDetections, matches: Matches, kinds: Names, aims: Ints) -> dict[str, dict[str, int]]:
    wrong = kinds == "classification"
    pairs = np.stack([detections.true_classes[aims[wrong]], matches.classes[wrong]], axis=1)
    found: dict[str, dict[str, int]] = {}
    for (true, named), number in zip(
        *(part.tolist() for part in np.unique(pairs, axis=0, return_counts=True)), strict=True
    ):
        found.setdefault(matches.labels[true - 1], {})[matches.labels[named - 1]] = number
    return {label: dict(sorted(own.items())) for label, own in sorted(found.items())}


def _costs(detections: LabeledDetections, matches: Matches, kinds: Names, aims: Ints) -> dict[str, ErrorCost]:
    """What each type costs.

    As in the paper, a detection of the wrong class is given the right one and one in the wrong place is moved, unless
    its object was found anyway, when it is removed as the other kinds are; a missed object no longer counts.
    """
    right, counts = matches.right[0], matches.true_boxes
    missed = ~matches.found[0]
    fixable = np.isin(kinds, ("classification", "localisation"))
    missed[aims[fixable]] = False
    base = _mean_ap50(matches.classes, right, ~matches.ignored[0], counts.sum(0))
    costs = {}
    for kind in list(ERROR_TYPES)[:-1]:
        own = kinds == kind
        fixed = (
            own & _firsts(own, aims, matches.found[0]) if kind in {"classification", "localisation"} else own & False
        )
        classes = np.where(fixed, detections.true_classes[aims], matches.classes) if fixed.any() else matches.classes
        kept = ~matches.ignored[0] & (~own | fixed)
        better = _mean_ap50(classes, right | fixed, kept, counts.sum(0))
        costs[kind] = ErrorCost(int(own.sum()), better - base)
    left = counts.sum(0) - np.bincount(detections.true_classes[missed] - 1, minlength=counts.shape[1])
    better = _mean_ap50(matches.classes, right, ~matches.ignored[0], left)
    return {**costs, "missed": ErrorCost(int(missed.sum()), better - base)}


def _sort(detections: LabeledDetections, matches: Matches) -> tuple[Names, Ints]:
    """The kind of each detection (`right` and empty for those that are none), and the true box that it is about."""
    kinds = np.where(matches.right[0], _RIGHT, "").astype("<U16")
    aims = np.zeros(len(kinds), dtype=np.int64)
    wrong = ~matches.right[0] & ~matches.ignored[0]
    for image in np.unique(matches.image[wrong]).tolist():
        rows = np.flatnonzero(wrong & (matches.image == image))
        true = np.flatnonzero(detections.true_image == image)
        found = torch.from_numpy(detections.boxes[matches.rows[rows]])
        overlap = box_iou(found, torch.from_numpy(detections.true_boxes[true])).numpy()
        same = matches.classes[rows][:, None] == detections.true_classes[true]
        kinds[rows], places = _kinds(overlap, same, matches.found[0][true])
        if len(true):
            aims[rows] = true[places]
    return kinds, aims


def _kinds(overlap: Floats, same: Flags, found: Flags) -> tuple[Names, Ints]:
    """Kinds of one image's wrong detections, in the order in which the paper asks, and the column of each."""
    if overlap.shape[1] == 0:
        return np.full(len(overlap), "background"), np.zeros(len(overlap), dtype=np.int64)
    of_class, of_others = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    near, other = of_class.max(1), of_others.max(1)
    again = np.where(found, of_class, 0.0).max(1)
    conditions = [
        (near >= BACKGROUND) & (near < FOREGROUND),
        other >= FOREGROUND,
        again >= FOREGROUND,
        overlap.max(1) <= BACKGROUND,
    ]
    kinds = np.select(conditions, ["localisation", "classification", "duplicate", "background"], "both")
    places = np.where(conditions[0], of_class.argmax(1), of_others.argmax(1))
    return kinds, places


def _firsts(own: Flags, aims: Ints, found: Flags) -> Flags:
    """The surest detection about each true box that was not found; rows are sorted by confidence."""
    rows = np.flatnonzero(own)
    rows = rows[~found[aims[rows]]]
    _, first = np.unique(aims[rows], return_index=True)
    flags = np.zeros(len(own), dtype=np.bool_)
    flags[rows[first]] = True
    return flags


def _mean_ap50(classes: Ints, right: Flags, kept: Flags, true_boxes: Ints) -> float:
    """Mean over classes with true boxes of COCO's AP at IoU 0.5."""
    levels = [
        _ap50(right[kept & (classes == number)], count) for number, count in enumerate(true_boxes.tolist(), 1) if count
    ]
    return float(np.mean(levels)) if levels else 0.0


def _ap50(right: Flags, true_boxes: int) -> float:
    once, none = np.ones((1, len(right)), dtype=np.int64), np.zeros(len(right), dtype=np.bool_)
    return float(average_precision(once, right, none, np.array([true_boxes]))[0])
