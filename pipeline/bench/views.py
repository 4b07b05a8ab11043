"""A rival's evidence: agreement of a detector with itself under changed views of whole pictures."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision.ops import box_iou

from pipeline.boxes import scale
from pipeline.detector.pixels import FILL
from pipeline.detector.predict import Detections, Predictor
from pipeline.detector.stream import STRIDE
from pipeline.mining.proposals import SAME_PLACE_IOU

View = Literal["flip", "smaller", "flip_smaller"]
"""A changed view of a picture: mirrored, at three quarters of the size, or both."""

SMALLER = 0.75
"""How much a rescaled view is smaller."""


def view_agreement(
    predictor: Predictor, images: Tensor, found: list[Detections], views: tuple[View, ...]
) -> list[Tensor]:
    """Detect again in changed views of the same pictures.

    Args:
        predictor: The detector.
        images (Tensor[B, 3, H, W]): uint8.
        found: Detections an image, in input pixels.
        views: Which changes; none gives 0 everywhere.

    Returns:
        Tensor[N] an image: mean over views of the best score of the same class at the same place, 0 for a miss;
        higher = more likely right.
    """
    totals = [torch.zeros(len(one)) for one in found]
    for view in views:
        seen = predictor(_changed(images, view))
        for total, original, one in zip(totals, found, seen, strict=True):
            total += best_match_scores(original, _restored(one, view, int(images.shape[-1])))
    return [total / max(1, len(views)) for total in totals]


def best_match_scores(wanted: Detections, seen: Detections) -> Tensor:
    """Best score among detections of the same class at the same place.

    Args:
        wanted: N detections.
        seen: M detections in the same pixels.

    Returns:
        Tensor[N], 0 where nothing matches.
    """
    if len(seen) == 0:
        return torch.zeros(len(wanted))
    matches = (box_iou(wanted.boxes, seen.boxes) >= SAME_PLACE_IOU) & (wanted.labels[:, None] == seen.labels)
    best: Tensor = (matches * seen.scores).amax(1)
    return best


def _changed(images: Tensor, view: View) -> Tensor:
    if "smaller" in view:
        shrunk = interpolate(images.float(), scale_factor=SMALLER, mode="bilinear", antialias=True)
        images = shrunk.round().to(torch.uint8)
    if "flip" in view:
        images = images.flip(-1)
    height, width = images.shape[-2:]
    return pad(images, (0, -width % STRIDE, 0, -height % STRIDE), value=FILL)


def _restored(seen: Detections, view: View, width: int) -> Detections:
    boxes = scale(seen.boxes, 1 / SMALLER, 1 / SMALLER) if "smaller" in view else seen.boxes
    if "flip" in view:
        boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
    return Detections(boxes, seen.scores, seen.labels, seen.embeddings)
