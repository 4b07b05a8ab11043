"""An augmented view: whole images once more, mirrored and larger, and what is seen there of their proposals.

Agreement with itself under a changed view of the same image is the cheapest evidence that a detector can add to its
own word: one forward pass serves every box of an image (consistency under flips: arXiv 1905.10887 for images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.tensor_columns import TensorColumns
from pipeline.detector.inference.test_time_augmentation import AugmentedView, detect_augmented
from pipeline.mining.proposals import SAME_OBJECT_IOU, SAME_PLACE_IOU

NEAR_IOU = 0.4
"""Detections that overlap so much may be the same thing seen a little elsewhere."""
LIKELY = 0.1
"""Detections of the augmented view from this score on are counted."""


@dataclass(frozen=True)
class AugmentedViewEvidence(TensorColumns):
    """What an augmented view shows of each of N proposals; 0 where nothing is seen.

    Attributes:
        score: Tensor[N], best score of its class at the same place.
        iou: Tensor[N], overlap with that detection.
        near: Tensor[N], best score of its class that overlaps it by `NEAR_IOU`.
        conflict: Tensor[N], best score of another class at the same place.
        votes: Tensor[N], scores of its class that overlap it, summed.
        mass: Tensor[N], all likely scores of the image, summed.
    """

    score: Tensor
    iou: Tensor
    near: Tensor
    conflict: Tensor
    votes: Tensor
    mass: Tensor

    def columns(self) -> dict[str, Tensor]:
        """By the names of `TTA_FIELDS`."""
        return {f"tta_{field.name}": getattr(self, field.name) for field in fields(self)}


def compare_augmented_view(
    predictor: Predictor, images: Tensor, proposals: Sequence[Detections], enlarged: float
) -> list[AugmentedViewEvidence]:
    """Detect in images once more, mirrored and larger.

    Args:
        predictor: The detector.
        images (Tensor[B, 3, H, W]): uint8.
        proposals: Of each image, in its pixels.
        enlarged: How much larger, 1 for the same size.

    Returns:
        What is seen of the proposals, one item per image.
    """
    seen = detect_augmented(AugmentedView(enlarged, mirrored=True), predictor, images)
    return [_compare(*pair) for pair in zip(proposals, seen, strict=True)]


def _compare(proposals: Detections, seen: Detections) -> AugmentedViewEvidence:
    """Hold the proposals of one image against what is seen of it."""
    mass = (seen.scores * (seen.scores >= LIKELY)).sum()
    if len(seen) == 0:
        nothing = torch.zeros(len(proposals))
        return AugmentedViewEvidence(nothing, nothing, nothing, nothing, nothing, nothing)
    overlap = box_iou(proposals.boxes, seen.boxes)
    own = proposals.labels[:, None] == seen.labels
    score, best = (own * (overlap >= SAME_PLACE_IOU) * seen.scores).max(1)
    return AugmentedViewEvidence(
        score=score,
        iou=torch.where(score > 0, overlap.gather(1, best[:, None])[:, 0], 0.0),
        near=(own * (overlap >= NEAR_IOU) * seen.scores).amax(1),
        conflict=(~own * (overlap >= SAME_PLACE_IOU) * seen.scores).amax(1),
        votes=(own * (overlap >= SAME_OBJECT_IOU) * seen.scores).sum(1),
        mass=mass.expand(len(proposals)),
    )
