"""Curves of a detector as a few numbers each: precision against recall, and how far confidence can be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.artefacts import Curves
from pipeline.detector.evaluation.labeled_detections import Floats, Ints
from pipeline.detector.evaluation.matching import Flags, Matches

RECALLS: Floats = np.linspace(0.0, 1.0, 101, dtype=np.float64)
"""COCO's 101 recalls."""
EVERY = 5
"""The curve that is kept has every fifth of them."""
BINS = 10


def interpolated_precision(counts: Ints, right: Flags, ignored: Flags, true_boxes: Ints) -> tuple[Floats, Ints]:
    """Precision of one class at COCO's recalls, for many draws of the images at once.

    A point of the curve can only matter where a detection is right, so only these are looked at.

    Args:
        counts: int[R, N], how often each detection counts in each draw, the surest first; a row of ones is no draw.
        right: bool[N].
        ignored: bool[N], neither right nor wrong.
        true_boxes: int[R], true boxes in each draw, above 0.

    Returns:
        float[R, P], the best precision at each of the P right detections or beyond, and int[R, P], how many of the 101
        recalls each is the first to reach.
    """
    places = np.flatnonzero(right)
    found = np.cumsum(counts[:, places], axis=1)
    aside = np.flatnonzero(ignored)
    skipped = np.pad(np.cumsum(counts[:, aside], axis=1), ((0, 0), (1, 0)))[:, np.searchsorted(aside, places)]
    seen = np.cumsum(counts, axis=1)[:, places] - skipped
    precision = np.divide(found, seen, out=np.zeros(found.shape), where=seen > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(RECALLS, found / true_boxes[:, None], side="right")
    reached[found == 0] = 0  # an image that was not drawn reaches nothing
    return precision, np.diff(reached, axis=1, prepend=0)


def average_precision(counts: Ints, right: Flags, ignored: Flags, true_boxes: Ints) -> Floats:
    """COCO's 101-point average precision of one class at one IoU; see `interpolated_precision`.

    Returns:
        float[R], 0 to 1.
    """
    precision, steps = interpolated_precision(counts, right, ignored, true_boxes)
    area: Floats = (precision * steps).sum(1) / len(RECALLS)
    return area


def measure_curves(matches: Matches) -> Curves:
    """Precision at recall 0, 0.05, ..., 1 of each class that has true boxes, and reliability, both at IoU 0.5."""
    return Curves(precision_recall=_precision_recall(matches), reliability=_reliability(matches))


def _precision_recall(matches: Matches) -> dict[str, tuple[float, ...]]:
    curves = {}
    for number, (label, count) in enumerate(zip(matches.labels, matches.true_boxes.sum(0).tolist(), strict=True), 1):
        own = matches.classes == number
        if count:
            once = np.ones((1, int(own.sum())), dtype=np.int64)
            precision, steps = interpolated_precision(
                once, matches.right[0][own], matches.ignored[0][own], np.array([count])
            )
            reached = np.repeat(precision[0], steps[0])
            curve = np.pad(reached, (0, len(RECALLS) - len(reached)))  # nothing beyond the recall that is reached
            curves[label] = tuple(curve[::EVERY].tolist())
    return curves


def _reliability(matches: Matches) -> tuple[tuple[float, float, int], ...]:
    """(mean confidence, share right, detections) of ten equal ranges of confidence, empty ones left out."""
    counted = ~matches.ignored[0]
    scores, right = matches.scores[counted], matches.right[0][counted]
    bins: NDArray[np.int64] = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    rows = [np.flatnonzero(bins == number) for number in np.unique(bins)]
    return tuple((float(scores[own].mean()), float(right[own].mean()), len(own)) for own in rows)
