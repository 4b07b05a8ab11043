"""Intervals of average precision over images: the bootstrap (Efron, Annals of Statistics 7, 1979).

Images are drawn with replacement, as many as there are, and average precision is computed anew. Nothing is detected
or matched again: a detection counts as often as its image was drawn.
"""

from __future__ import annotations

import numpy as np

from pipeline.detector.evaluation.curves import average_precision
from pipeline.detector.evaluation.labeled_detections import Floats, Ints
from pipeline.detector.evaluation.matching import Matches
from pipeline.seeds import numpy_generator

DRAWS = 1000
_COVERED = (2.5, 97.5)
_LEAST_DRAWS = 0.5
"""An interval is given where at least this share of the draws could be measured."""


def draw_images(images: int, seed: int, draws: int = DRAWS) -> Ints:
    """Draw images with replacement.

    Args:
        images: How many there are.
        seed: Of the project; the same seed and number give the same draws, so that models can be compared on them.
        draws: How often.

    Returns:
        int[R, I]: how often each image was drawn.
    """
    random = numpy_generator(seed, "bootstrap", images)
    shares = np.full(images, 1 / images) if images else np.zeros(0)
    return random.multinomial(images, shares, size=draws) if images else np.zeros((draws, 0), np.int64)


def drawn_ap(matches: Matches, counts: Ints) -> Floats:
    """Average precision of each class in each draw, over COCO's ten IoUs.

    Args:
        matches: Of one model.
        counts: int[R, I], of `draw_images`; a row of ones gives COCO's own number.

    Returns:
        float[R, K]; NaN where a draw has no true box of the class.
    """
    boxes = counts @ matches.true_boxes
    ap = np.full(boxes.shape, np.nan)
    for column in range(boxes.shape[1]):
        own = matches.classes == column + 1
        there = boxes[:, column] > 0
        drawn = counts[there][:, matches.image[own]]
        levels = [
            average_precision(drawn, right, ignored, boxes[there, column])
            for right, ignored in zip(matches.right[:, own], matches.ignored[:, own], strict=True)
        ]
        ap[there, column] = np.mean(levels, axis=0)
    return ap


def drawn_map(ap: Floats) -> Floats:
    """Mean over classes that a draw holds.

    Args:
        ap: float[R, K], of `drawn_ap`.

    Returns:
        float[R]; NaN for a draw without any true box.
    """
    known = ~np.isnan(ap)
    counts = known.sum(1)
    sums = np.where(known, ap, 0.0).sum(1)
    means: Floats = np.divide(sums, counts, out=np.full(len(ap), np.nan), where=counts > 0)
    return means


def interval(values: Floats) -> tuple[float, float] | None:
    """The middle 95 % of the draws; None where most draws could not be measured."""
    known = values[~np.isnan(values)]
    if len(known) < max(1, _LEAST_DRAWS * len(values)):
        return None
    low, high = np.percentile(known, _COVERED)
    return float(low), float(high)
