"""Repulsion loss (arXiv 1711.07752): in crowds, a predicted box keeps away from other objects and their boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

from pipeline.detector.models.targets import Target
from pipeline.settings import RepulsionSettings

TINY = 1e-7


@dataclass(frozen=True)
class Predicted:
    """Boxes of one image that learn an object.

    Attributes:
        boxes: Tensor[M, 4] in `(x1, y1, x2, y2)`, pixels.
        index: Tensor[M] int64; the object that each learns.
        weights: Tensor[M], 0 to 1.
    """

    boxes: Tensor
    index: Tensor
    weights: Tensor


def predicted_boxes(
    matches: list[Tensor], counts: Tensor, weights: Tensor, decode: Callable[[int, Tensor], Tensor]
) -> list[Predicted]:
    """Gather the boxes of a batch that learn an object.

    Args:
        matches: Tensor[A] per image; the object of each anchor or point.
        counts: Tensor[B, A]; whether it learns that.
        weights: Tensor[B, A].
        decode: From the number of an image and the indices of anchors to Tensor[M, 4].
    """
    chosen = [row.nonzero().flatten() for row in counts]
    return [
        Predicted(decode(image, which), matches[image][which], weights[image][which])
        for image, which in enumerate(chosen)
    ]


def repulsion_loss(predicted: list[Predicted], targets: list[Target], settings: RepulsionSettings) -> Tensor:
    """The two repulsion terms of a batch, each a weighted mean over what takes part.

    Args:
        predicted: One per image.
        targets: One per image, with the objects that `index` names.
        settings: Weights and sigmas.

    Returns:
        Tensor[]: 0 where no image holds two objects.
    """
    nothing = torch.stack([(each.boxes * 0).sum() for each in predicted]).sum()
    predicted = [_with_area(each) for each in predicted]
    pairs = list(zip(predicted, targets, strict=True))
    from_objects = _mean([_objects(each, target["boxes"], settings.sigma_objects) for each, target in pairs])
    from_boxes = _mean([_boxes(each, settings.sigma_boxes) for each in predicted])
    return nothing + settings.objects * from_objects + settings.boxes * from_boxes


def _with_area(predicted: Predicted) -> Predicted:
    """A network that has learnt little says boxes without an area, whose overlap with each other is no number."""
    kept = (predicted.boxes[:, 2:] > predicted.boxes[:, :2]).all(1)
    return Predicted(predicted.boxes[kept], predicted.index[kept], predicted.weights[kept])


def smooth_ln(overlap: Tensor, sigma: float) -> Tensor:
    """Equation 4: `-ln(1 - x)` up to sigma, and its tangent beyond.

    Args:
        overlap (Tensor[...]): 0 to 1.
        sigma: 0 to below 1; the smaller, the less outliers cost.
    """
    curved = -torch.log1p(-overlap.clamp(max=sigma))
    straight = (overlap - sigma).clamp(min=0) / (1 - sigma)
    return curved + straight


def _objects(predicted: Predicted, objects: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """RepGT, equation 5: away from the object that a box overlaps most beside its own. Weighted sum, sum of weights."""
    boxes, weights = predicted.boxes, predicted.weights
    if len(objects) < 2:
        return boxes.new_zeros(()), weights.sum()
    overlap = box_iou(boxes.detach(), objects)
    other = overlap.scatter(1, predicted.index[:, None], -1.0).argmax(1)
    cost = smooth_ln(_covered(boxes, objects[other]), sigma)
    return (cost * weights).sum(), weights.sum()


def _boxes(predicted: Predicted, sigma: float) -> tuple[Tensor, Tensor]:
    """RepBox, equation 6: away from boxes that learn other objects. Weighted sum, sum of weights that overlap."""
    overlap = box_iou(predicted.boxes, predicted.boxes)
    takes_part = (predicted.index[:, None] != predicted.index).triu(1) & (overlap > 0)
    weights = predicted.weights[:, None] * predicted.weights * takes_part
    return (smooth_ln(overlap, sigma) * weights).sum(), weights.sum()


def _covered(boxes: Tensor, objects: Tensor) -> Tensor:
    """Tensor[M]: the share of each object that its box covers, 0 to 1."""
    sides = torch.minimum(boxes[:, 2:], objects[:, 2:]) - torch.maximum(boxes[:, :2], objects[:, :2])
    covered: Tensor = sides.clamp(min=0).prod(1) / box_area(objects).clamp(min=TINY)
    return covered.clamp(max=1)


def _mean(sums: list[tuple[Tensor, Tensor]]) -> Tensor:
    costs, weights = (torch.stack(column).sum() for column in zip(*sums, strict=True))
    return costs / weights.clamp(min=TINY)
