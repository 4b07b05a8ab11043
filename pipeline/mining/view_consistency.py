"""How stably a detector sees whole images under augmentation, as CALD measures it (arXiv 2103.10374)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.detector.inference.predictor import Detections, Predictor, detect_batch
from pipeline.detector.inference.test_time_augmentation import AugmentedView, detect_augmented
from pipeline.records import ImageRef

VIEWS = (AugmentedView(1.0, mirrored=True), AugmentedView(0.8, mirrored=False))
BASE = 1.3
"""The agreement, of 0 to 2, at which boxes tell most: surer ones are easy, and those below are mostly noise."""
Measured = dict[str, tuple[float, NDArray[np.float64]]]


@torch.inference_mode()
def view_consistency(predictor: Predictor, refs: Iterable[ImageRef]) -> Measured:
    """Look at images as they are and in `VIEWS`.

    Args:
        predictor: The detector.
        refs: The images.

    Returns:
        By image, the distance of its least typical box from `BASE`, mean over views, 0 where nothing is found; and
        float[C], the highest score of each class, mean over all looks. Images that cannot be read are left out.
    """
    measured: Measured = {}
    for batch in predictor.stream(refs):
        plain = detect_batch(predictor, batch)
        looks = [detect_augmented(view, predictor, batch.images) for view in VIEWS]
        for index, ref in enumerate(batch.refs):
            seen = [look[index] for look in looks]
            distance = np.mean([_distance(plain[index], again) for again in seen]) if len(plain[index]) else 0.0
            classes = [_best_of_each(found, len(predictor.labels)) for found in (plain[index], *seen)]
            measured[ref.image_id] = (float(distance), np.mean(classes, axis=0))
    return measured


def _distance(plain: Detections, again: Detections) -> float:
    """Of the least typical box; 0 where the view shows nothing."""
    if not len(again):
        return 0.0
    overlap, nearest = box_iou(plain.boxes, again.boxes).max(1)
    other = again[nearest]
    alike = 1 - _divergence(plain, other)
    agreement = overlap + alike * (plain.scores + other.scores) / 2
    return min(1.0, float((agreement - BASE).abs().min()))


def _divergence(first: Detections, second: Detections) -> Tensor:
    """Tensor[N]: Jensen-Shannon divergence of what is known of the class scores: that of the class, and the rest."""
    same = first.labels == second.labels
    # Classes: that of the first box, that of the second where it is another, and the rest.
    p = torch.stack([first.scores, torch.zeros_like(first.scores), 1 - first.scores], 1)
    q = torch.stack(
        [torch.where(same, second.scores, 0.0), torch.where(same, 0.0, second.scores), 1 - second.scores], 1
    )
    middle = (p + q) / 2
    return (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2


def _relative_entropy(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1)


def _best_of_each(found: Detections, classes: int) -> NDArray[np.float64]:
    best = torch.zeros(classes).scatter_reduce(0, found.labels - 1, found.scores, "amax")
    return best.double().numpy()
