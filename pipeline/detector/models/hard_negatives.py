"""Background that looks most like an object: hard negatives of the triplet loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

from pipeline.settings import TrainingSettings

SAME_PLACE_IOU = 0.5
"""Of two that overlap more, the one with the lower score is left out."""
TRIED = 10
"""So many times as many are tried as are wanted, since neighbours tend to be of one thing."""


def wanted_background(settings: TrainingSettings) -> int:
    """How many boxes of background per image the triplet loss wants."""
    return settings.triplet.background_negatives if settings.triplet.enabled else 0


@torch.no_grad()
def likeliest_background(scores: Tensor, is_background: Tensor, boxes: Tensor, count: int) -> Tensor:
    """Find the background of one image that a detector takes for objects.

    Args:
        scores (Tensor[A]): highest score of any class at each anchor, point or proposal.
        is_background (Tensor[A]): bool; ignored ones and those that hold an object are not.
        boxes (Tensor[A, 4]): what lies there, in pixels.
        count: How many are wanted.

    Returns:
        Tensor[N, 4]: at most `count` boxes, best score first, no two at one place; only with an area.
    """
    eligible = is_background & (boxes[:, 2:] > boxes[:, :2]).all(1)
    best, index = torch.where(eligible, scores.float(), -torch.inf).topk(min(len(scores), count * TRIED))
    index = index[best > -torch.inf]
    return boxes[index][nms(boxes[index], scores[index].float(), SAME_PLACE_IOU)[:count]]
