"""Curves of a detector as a few numbers each: precision against recall, and how far confidence can be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.detector.evaluation.bootstrap import RECALLS
from pipeline.detector.evaluation.labeled_detections import Floats
from pipeline.detector.evaluation.matching import Flags, Matches

EVERY = 5
"""The curve that is kept has every fifth of COCO's 101 recalls."""
BINS = 10


def precision_at_recalls(right: Flags, true_boxes: int) -> Floats:
    """Best precision at each of COCO's 101 recalls or beyond.

    Args:
        right: bool[N], detections that count, the surest first.
        true_boxes: How many there are, above 0.

    Returns:
        float[101]; 0 beyond the recall that is reached.
    """
    found = np.cumsum(right)
    precision = found / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / true_boxes, RECALLS, side="left")
    return np.append(precision, 0.0)[places]


def average_precision_of(right: Flags, true_boxes: int) -> float:
    """COCO's average precision at one IoU, 0 to 1; see `precision_at_recalls`."""
    return float(precision_at_recalls(right, true_boxes).mean())


def precision_recall(matches: Matches) -> dict[str, list[float]]:
    """Precision at recall 0, 0.05, ..., 1 of each class that has true boxes, at IoU 0.5."""
    counts = matches.true_boxes.sum(0).tolist()
    curves = {}
    for number, (label, count) in enumerate(zip(matches.labels, counts, strict=True), 1):
        own = (matches.classes == number) & ~matches.ignored[0]
        if count:
            curves[label] = precision_at_recalls(matches.right[0][own], count)[::EVERY].tolist()
    return curves


def reliability(matches: Matches) -> list[tuple[float, float, int]]:
    """Confidence in ten equal ranges, empty ones left out, at IoU 0.5.

    Returns:
        (mean confidence, share right, detections) of each range.
    """
    counted = ~matches.ignored[0]
    scores, right = matches.scores[counted], matches.right[0][counted]
    bins: NDArray[np.int64] = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    rows = [np.flatnonzero(bins == one) for one in np.unique(bins)]
    return [(float(scores[own].mean()), float(right[own].mean()), len(own)) for own in rows]
