"""What a detection head should answer: labels, weights and boxes of its anchors.

A target holds, beside torchvision's `boxes` and `labels`, `weights` (Tensor[N], 0 to 1) and `ignore` (Tensor[M, 4]);
with `detector.visible_box` also `visible` (Tensor[N, 4]), what is seen of each box, and with `detector.masks` `frames`
(Tensor[N, 6]) and `rasters` (Tensor[N, S, S] uint8), see `dataset.object_masks.Masks`; NaN where that is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.boxes import intersection_over_first

Target = dict[str, Tensor]
IN_PIXELS = frozenset({"boxes", "ignore", "visible", "frames"})
"""What a target holds in pixels of its image."""
BESIDE_BOXES = ("visible", "frames", "rasters")
"""What a target may hold of its boxes that is not known of all."""
IGNORED_SHARE = 0.5
"""An anchor of which more lies in an ignore region, and that holds no object, costs nothing."""


@dataclass(frozen=True)
class AnchorTargets:
    """What each anchor of a batch should answer.

    Attributes:
        labels: Tensor[B, A] int64; -1 costs nothing, 0 is background.
        weights: Tensor[B, A]; 1 for background.
        boxes: Tensor[B, A, 4]; of the matched object, undefined where there is none.
    """

    labels: Tensor
    weights: Tensor
    boxes: Tensor


def in_ignore_region(boxes: Tensor, ignore: Tensor) -> Tensor:
    """Mark boxes that lie mostly in an ignore region.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        ignore (Tensor[M, 4]): likewise.

    Returns:
        Tensor[N]: bool.
    """
    if len(ignore) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return (intersection_over_first(boxes, ignore) > IGNORED_SHARE).any(1)


def anchor_targets(targets: list[Target], anchors: list[Tensor], matches: list[Tensor]) -> AnchorTargets:
    """Turn torchvision's matches into labels, weights and boxes.

    Args:
        targets: One per image.
        anchors: Tensor[A, 4] per image.
        matches: Tensor[A] per image: index of the matched box, -1 background, -2 neither.

    Returns:
        The targets of the batch.
    """
    rows = [_image_targets(*row) for row in zip(targets, anchors, matches, strict=True)]
    labels, weights, boxes = (torch.stack(column) for column in zip(*rows, strict=True))
    return AnchorTargets(labels, weights, boxes)


def _image_targets(target: Target, anchors: Tensor, matches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    matched = matches >= 0
    index = matches.clamp(min=0)
    labels = torch.where(matches == -1, 0, -1)
    weights = torch.ones_like(anchors[:, 0])
    boxes = torch.zeros_like(anchors)
    if len(target["labels"]):
        labels = torch.where(matched, target["labels"][index], labels)
        weights = torch.where(matched, target["weights"][index], weights)
        boxes = target["boxes"][index]
    labels = torch.where(~matched & in_ignore_region(anchors, target["ignore"]), -1, labels)
    return labels, weights, boxes
