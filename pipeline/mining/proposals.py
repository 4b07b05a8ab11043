"""Proposals: the detections that are checked, with what the image itself says about them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from pipeline.boxes import intersection_over_first
from pipeline.detector.inference.predictor import Detections
from pipeline.detector.inference.tensor_columns import TensorColumns

SAME_PLACE_IOU = 0.6
"""Detections that overlap so much speak of the same thing."""
SAME_OBJECT_IOU = 0.3
"""Boxes of one class that overlap so much may be of one object."""


@dataclass(frozen=True)
class ClassScores:
    """How sure the detector is among classes at each place.

    Attributes:
        entropy: Tensor[N], nats, of the class scores with the rest as background; higher = less sure.
        runner_up: Tensor[N], the best score of another class at the same place, 0 where there is none.
    """

    entropy: Tensor
    runner_up: Tensor


def class_scores(found: Detections, num_classes: int) -> ClassScores:
    """Gather what other classes were seen at the place of each detection.

    Detectors report classes separately; those at the same place are put together again, which serves any
    architecture.

    Args:
        found: Detections of one image, suppressed class by class.
        num_classes: Without background.

    Returns:
        Entropy and runner-up of each.
    """
    same_place = box_iou(found.boxes, found.boxes) >= SAME_PLACE_IOU
    offered = torch.where(same_place, found.scores[None, :], found.scores.new_zeros(()))
    per_class = torch.zeros(len(found), num_classes + 1)
    columns = found.labels[None, :].expand(len(found), -1)
    per_class.scatter_reduce_(1, columns, offered, reduce="amax")
    per_class.scatter_(1, found.labels[:, None], found.scores[:, None])
    others = per_class.scatter(1, found.labels[:, None], 0.0)
    runner_up = others.amax(1) if len(found) else others.new_zeros(0)
    per_class[:, 0] = (1 - per_class[:, 1:].sum(1)).clamp(min=0)
    shares = per_class / per_class.sum(1, keepdim=True).clamp(min=1e-9)
    return ClassScores(torch.special.entr(shares).sum(1), runner_up)


@dataclass(frozen=True)
class Neighbours(TensorColumns):
    """What the other proposals of its image say of each of N proposals.

    A detector leaves several boxes on one object and few boxes in an image that it does not understand; both tell
    right boxes from wrong ones, and cost nothing.

    Attributes:
        duplicate_iou: Tensor[N], largest overlap with a surer box of its class.
        conflict_iou: Tensor[N], largest overlap with a surer box of another class.
        covered: Tensor[N], largest share of it that lies in a surer box of its class.
        covering: Tensor[N], largest share of a surer box of its class that lies in it.
        votes: Tensor[N], scores of the other boxes of its class that overlap it, summed.
        rank: Tensor[N], how many proposals of the image are surer.
        crowd: Tensor[N], how many proposals the image has.
        best_score: Tensor[N], of the image.
        class_score: Tensor[N], scores of its class in the image, summed.
    """

    duplicate_iou: Tensor
    conflict_iou: Tensor
    covered: Tensor
    covering: Tensor
    votes: Tensor
    rank: Tensor
    crowd: Tensor
    best_score: Tensor
    class_score: Tensor


def compare_neighbours(found: Detections) -> Neighbours:
    """Compare the proposals of one image with each other.

    Args:
        found: Detections of one image, best first.

    Returns:
        What they say of each other.
    """
    count, scores = len(found), found.scores
    same = found.labels[:, None] == found.labels
    surer = torch.ones(count, count, dtype=torch.bool).tril(-1)
    iou, inside = box_iou(found.boxes, found.boxes), intersection_over_first(found.boxes, found.boxes)

    def largest(values: Tensor, among: Tensor) -> Tensor:
        return (values * among).amax(1) if count else scores

    return Neighbours(
        duplicate_iou=largest(iou, same & surer),
        conflict_iou=largest(iou, ~same & surer),
        covered=largest(inside, same & surer),
        covering=largest(inside.T, same & surer),
        votes=(scores * (same & (iou > SAME_OBJECT_IOU))).sum(1) - scores,
        rank=torch.arange(count, dtype=torch.float32),
        crowd=torch.full((count,), float(count)),
        best_score=scores[:1].expand(count),
        class_score=(scores * same).sum(1),
    )
