"""The one rule for "this box is right": COCO's greedy matching.

The surest box first, each takes the best true box of its class that is still free and overlaps it enough; what finds
none is wrong. Average precision, p(correct), certificates, audits and the simulated annotator all follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import intersection_over_first
from pipeline.detector.evaluation.labeled_detections import Floats, Ints, LabeledDetections

IOUS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10, dtype=np.float64)
"""COCO's ten thresholds."""
MOST_PER_CLASS = 100
"""Detections of a class that count in an image, the surest."""
_ALMOST_ONE = 1 - 1e-10

Flags = NDArray[np.bool_]


def match_greedily(overlap: Floats, thresholds: Floats) -> Ints:
    """Match boxes, in order, with true boxes that are free.

    Args:
        overlap: float[N, M], IoU of boxes, the surest first, with true boxes of their class; 0 for those of another.
        thresholds: float[T], least overlaps; boxes that do not touch never match.

    Returns:
        int[T, N]: the true box of each box at each threshold, -1 for none. Of true boxes that a box overlaps equally
        it takes the last, as COCO's evaluation does.
    """
    rows, columns = overlap.shape
    levels = np.arange(len(thresholds))
    matched = np.full((len(thresholds), rows), -1, dtype=np.int64)
    taken = np.zeros((len(thresholds), columns), dtype=np.bool_)
    least = np.minimum(thresholds, _ALMOST_ONE)[:, None]
    reaching = overlap.max(1, initial=0) >= thresholds.min(initial=1)
    for row in np.flatnonzero(reaching) if columns else ():
        free = np.where(~taken & (overlap[row] >= least), overlap[row], 0.0)
        best = columns - 1 - np.argmax(free[:, ::-1], axis=1)
        hit = np.flatnonzero(free[levels, best] > 0)
        matched[hit, row] = best[hit]
        taken[hit, best[hit]] = True
    return matched


def same_class_iou(boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor) -> Tensor:
    """Overlap of boxes with the true boxes of their class, in double, as COCO does: 0.7 rounds to less in float32.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        labels (Tensor[N]): int64.
        true_boxes (Tensor[M, 4]): likewise.
        true_labels (Tensor[M]): int64.

    Returns:
        Tensor[N, M] float64, 0 for boxes of another class.
    """
    overlap: Tensor = box_iou(boxes.double(), true_boxes.double())
    return overlap * (labels[:, None] == true_labels)


def match_boxes(overlap: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Match boxes of one image to its true boxes.

    Args:
        overlap (Tensor[N, M]): of `same_class_iou`.
        scores (Tensor[N]): higher = surer; among equals the first wins.
        iou_threshold: Least overlap; boxes that do not touch never match.

    Returns:
        Tensor[N] int64: index of the true box, -1 for wrong boxes and duplicates.
    """
    order = scores.argsort(descending=True, stable=True)
    matched = match_greedily(overlap[order].numpy(), np.array([iou_threshold]))
    return torch.full((len(overlap),), -1, dtype=torch.int64).scatter(0, order, torch.from_numpy(matched[0]))


@dataclass(frozen=True)
class Matches:
    """Detections that count, the surest first.

    Attributes:
        labels: Class names.
        rows: int[N], each detection's place among those of `LabeledDetections`.
        image: int[N], its image.
        classes: int[N], from 1.
        scores: float[N], descending.
        right: bool[T, N], at each IoU of `IOUS`.
        ignored: bool[T, N]: neither right nor wrong, since it lies in an ignore region.
        found: bool[T, M]: true boxes that some detection is right about.
        true_boxes: int[I, K], number in each image of each class.
    """

    labels: tuple[str, ...]
    rows: Ints
    image: Ints
    classes: Ints
    scores: Floats
    right: Flags
    ignored: Flags
    found: Flags
    true_boxes: Ints


def match(detections: LabeledDetections) -> Matches:
    """Match the detections of many images at every IoU of COCO.

    Args:
        detections: What was found, beside the truth.

    Returns:
        The matches.
    """
    count, classes = len(detections.image_ids), len(detections.labels)
    right, ignored = (np.zeros((len(IOUS), len(detections.scores)), dtype=np.bool_) for _ in range(2))
    found = np.zeros((len(IOUS), len(detections.true_classes)), dtype=np.bool_)
    counted: list[Ints] = [np.zeros(0, dtype=np.int64)]
    for own, true, regions in _groups(detections):
        counted.append(own)
        ours = torch.from_numpy(detections.boxes[own])
        matched = match_greedily(box_iou(ours, torch.from_numpy(detections.true_boxes[true])).numpy(), IOUS)
        right[:, own] = matched >= 0
        levels, boxes = np.nonzero(matched >= 0)
        found[levels, true[matched[levels, boxes]]] = True
        if len(regions):
            inside = intersection_over_first(ours, torch.from_numpy(detections.regions[regions])).numpy().max(1)
            ignored[:, own] = (matched < 0) & (inside >= np.minimum(IOUS, _ALMOST_ONE)[:, None])
    rows = np.sort(np.concatenate(counted))
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    true_boxes = np.zeros((count, classes), dtype=np.int64)
    np.add.at(true_boxes, (detections.true_image, detections.true_classes - 1), 1)
    return Matches(
        detections.labels,
        rows,
        detections.image[rows],
        detections.classes[rows],
        detections.scores[rows],
        right[:, rows],
        ignored[:, rows],
        found,
        true_boxes,
    )


def _groups(detections: LabeledDetections) -> Iterator[tuple[Ints, Ints, Sequence[int]]]:
    """Detections of an image and class, the surest first, with its true boxes and the image's ignore regions."""
    classes = len(detections.labels) + 1
    true_keys = detections.true_image * classes + detections.true_classes
    keys = detections.image * classes + detections.classes
    order = np.lexsort((-detections.scores, keys))  # stable, so that equal scores keep their order
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for own in np.split(order, starts[1:]) if len(order) else []:
        true = np.flatnonzero(true_keys == keys[own[0]])
        regions = np.flatnonzero(detections.region_image == detections.image[own[0]])
        yield own[:MOST_PER_CLASS], true, regions.tolist()
