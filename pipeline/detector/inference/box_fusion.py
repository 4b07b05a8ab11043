"""Proposals that several views of an image agree on: better placed and better ranked than those of one view.

Boxes vote for their place (arXiv 1505.01749; weighted boxes fusion, arXiv 1910.13302). Labels made of several views
teach a detector that sees one (data distillation, arXiv 1712.04440).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from pipeline.detector.inference.predictor import Detections, Predictor
from pipeline.detector.inference.test_time_augmentation import AugmentedView, detect_augmented
from pipeline.settings import FusionSettings


def detect_fused(predictor: Predictor, images: Tensor, settings: FusionSettings) -> list[Detections]:
    """Detect in several views of images, and fuse what they show.

    Args:
        predictor: The detector.
        images (Tensor[B, 3, H, W]): uint8.
        settings: Which views, and what counts as the same object.

    Returns:
        Detections of each image, best first.
    """
    ways = [False, True] if settings.mirrored else [False]
    views = [AugmentedView(enlarged, mirrored) for enlarged in settings.scales for mirrored in ways]
    seen = [detect_augmented(view, predictor, images) for view in views]
    return [fuse(of_one, settings.same_iou) for of_one in zip(*seen, strict=True)]


def fuse(seen: Sequence[Detections], same_iou: float) -> Detections:
    """Fuse what several views of one image show.

    Of overlapping detections of a class the surest leads. A fused box lies at the mean of those that follow it, weighed
    by score; its score is the mean, over views, of the best that each view gives it, 0 where a view does not see it.

    Args:
        seen: Detections of each view, in the same pixels; at least one view.
        same_iou: Detections of a class that overlap so much are one object.

    Returns:
        Fused detections, best first, with the embeddings and visible shares of those that lead.
    """
    every = Detections.join(seen)
    boxes, scores, labels = every.boxes, every.scores, every.labels
    view = torch.repeat_interleave(torch.tensor([len(view_detections) for view_detections in seen]))
    leads = batched_nms(boxes, scores, labels, same_iou)
    if len(leads) == 0:
        return seen[0]
    overlap = box_iou(boxes, boxes[leads]) * (labels[:, None] == labels[leads])
    leader = overlap.argmax(1)
    mass = torch.zeros(len(leads)).index_add_(0, leader, scores)
    places = torch.zeros(len(leads), 4).index_add_(0, leader, boxes * scores[:, None]) / mass[:, None]
    best = torch.zeros(len(leads) * len(seen)).scatter_reduce_(0, leader * len(seen) + view, scores, "amax")
    fused = best.reshape(-1, len(seen)).mean(1)
    order = fused.argsort(descending=True, stable=True)
    return replace(every[leads][order], boxes=places[order], scores=fused[order])
