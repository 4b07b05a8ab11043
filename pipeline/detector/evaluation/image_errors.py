"""How wrong a detector is about each image: 1 - F1 of what it finds there."""

from __future__ import annotations

import numpy as np

from pipeline.detector.evaluation.labeled_detections import Floats, LabeledDetections
from pipeline.detector.evaluation.matching import Flags, match


def image_errors(detections: LabeledDetections) -> dict[str, float]:
    """Measure 1 - F1 of every image at IoU 0.5.

    Detections count from the score on that makes F1 over all these images highest: scores of detectors differ too much
    for a threshold that is set beforehand.

    Args:
        detections: What was found, beside the truth. Detections in ignore regions are neither right nor wrong.

    Returns:
        By image id, 0 = every object found and nothing else, 1 = nothing right. An image without objects in which
        nothing is found has 0. Images that could not be read are missing.
    """
    matches = match(detections)
    counted = ~matches.ignored[0]
    right, scores = matches.right[0][counted], matches.scores[counted]
    shown = scores >= best_threshold(right, scores, int(matches.true_boxes.sum()))
    images = len(detections.image_ids)
    found = np.bincount(matches.image[counted][shown], minlength=images)
    hits = np.bincount(matches.image[counted][shown & right], minlength=images)
    boxes = found + matches.true_boxes.sum(1)
    f1 = np.divide(2 * hits, boxes, out=np.ones(images), where=boxes > 0)
    return dict(zip(detections.image_ids, (1 - f1).tolist(), strict=True))


def best_threshold(right: Flags, scores: Floats, true_boxes: int) -> float:
    """The least score that counts where F1 is highest.

    Args:
        right: bool[N], of each detection.
        scores: float[N], descending.
        true_boxes: How many there are to be found.

    Returns:
        One of the scores, the highest among equally good ones; infinity where there are none.
    """
    if not len(scores):
        return float("inf")
    f1 = 2 * np.cumsum(right) / (np.arange(1, len(scores) + 1) + true_boxes)
    last_of_its_score = np.diff(scores, append=-1.0) != 0
    return float(scores[np.argmax(np.where(last_of_its_score, f1, -1.0))])
