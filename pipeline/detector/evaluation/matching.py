"""Which detections are right, at every IoU of COCO: the same greedy matching, kept so that it can be counted again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from pipeline.boxes import intersection_over_first
from pipeline.detector.evaluation.average_precision import IOUS
from pipeline.detector.evaluation.labeled_detections import Floats, Ints, LabeledDetections

MOST_PER_CLASS = 100
"""Detections of a class that count in an image, the surest."""
_ALMOST_ONE = 1 - 1e-10

Flags = NDArray[np.bool_]


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


def match(judged: LabeledDetections) -> Matches:
    """Match detections to true boxes as COCO does: the surest first, each with the best box of its class that is free.

    Args:
        judged: Detections beside the truth.

    Returns:
        The matches.
    """
    count, classes = len(judged.image_ids), len(judged.labels)
    right, ignored = (np.zeros((len(IOUS), len(judged.scores)), dtype=np.bool_) for _ in range(2))
    found = np.zeros((len(IOUS), len(judged.true_classes)), dtype=np.bool_)
    counted: list[Ints] = [np.zeros(0, dtype=np.int64)]
    for own, true, regions in _groups(judged):
        counted.append(own)
        overlap = box_iou(torch.from_numpy(judged.boxes[own]), torch.from_numpy(judged.true_boxes[true])).numpy()
        hits, taken = _greedy(overlap)
        right[:, own], found[:, true] = hits, taken
        if len(regions):
            ours, theirs = torch.from_numpy(judged.boxes[own]), torch.from_numpy(judged.regions[regions])
            inside = intersection_over_first(ours, theirs).numpy().max(1)
            ignored[:, own] = ~hits & (inside >= np.minimum(IOUS, _ALMOST_ONE)[:, None])
    rows = np.sort(np.concatenate(counted))
    rows = rows[np.argsort(-judged.scores[rows], kind="stable")]
    true_boxes = np.zeros((count, classes), dtype=np.int64)
    np.add.at(true_boxes, (judged.true_image, judged.true_classes - 1), 1)
    return Matches(
        judged.labels,
        rows,
        judged.image[rows],
        judged.classes[rows],
        judged.scores[rows],
        right[:, rows],
        ignored[:, rows],
        found,
        true_boxes,
    )


def _groups(judged: LabeledDetections) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Detections of an image and class, the surest first, with its true boxes and the image's ignore regions."""
    classes = len(judged.labels) + 1
    true_keys = judged.true_image * classes + judged.true_classes
    keys = judged.image * classes + judged.classes
    order = np.lexsort((-judged.scores, keys))  # stable, so that equal scores keep their order
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for own in np.split(order, starts[1:]) if len(order) else []:
        true = np.flatnonzero(true_keys == keys[own[0]])
        yield own[:MOST_PER_CLASS], true, np.flatnonzero(judged.region_image == judged.image[own[0]])


def _greedy(overlap: Floats) -> tuple[Flags, Flags]:
    """Match rows, in order, with columns that are free; of columns that overlap equally the last.

    Returns:
        bool[T, N] and bool[T, M]: what was matched.
    """
    rows, columns = overlap.shape
    hits = np.zeros((len(IOUS), rows), dtype=np.bool_)
    taken = np.zeros((len(IOUS), columns), dtype=np.bool_)
    least = np.minimum(IOUS, _ALMOST_ONE)[:, None]
    reaching = np.flatnonzero(overlap.max(1, initial=0) >= IOUS[0])
    for row in reaching.tolist():
        free = np.where(~taken & (overlap[row] >= least), overlap[row], -1.0)
        best = columns - 1 - np.argmax(free[:, ::-1], axis=1)
        hit = np.flatnonzero(free[np.arange(len(IOUS)), best] > 0)
        hits[hit, row] = True
        taken[hit, best[hit]] = True
    return hits, taken
