"""How well a detector does on each class, as PPAL measures it (arXiv 2211.11612, equation 1)."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import box_iou

from pipeline.detector.evaluation.labeled_detections import LabeledDetections

_CONFIDENCE = 0.6
"""Its weight beside that of the overlap."""


def class_quality(found: LabeledDetections) -> dict[str, float]:
    """Mean over true boxes of `score ** 0.6 * IoU ** 0.4` of the best detection of their class; 0 for a class unseen.

    Args:
        found: Detections in labelled images.
    """
    quality = np.zeros(len(found.true_classes))
    for image in np.unique(found.true_image):
        there, own = np.flatnonzero(found.true_image == image), np.flatnonzero(found.image == image)
        overlap = box_iou(torch.from_numpy(found.true_boxes[there]), torch.from_numpy(found.boxes[own])).numpy()
        of_class = found.true_classes[there][:, None] == found.classes[own][None, :]
        each = of_class * found.scores[own][None, :] ** _CONFIDENCE * overlap ** (1 - _CONFIDENCE)
        quality[there] = each.max(1, initial=0.0)
    counts = np.bincount(found.true_classes, minlength=len(found.labels) + 1)[1:]
    sums = np.bincount(found.true_classes, weights=quality, minlength=len(found.labels) + 1)[1:]
    return dict(zip(found.labels, (sums / np.maximum(counts, 1)).tolist(), strict=True))
