"""Masks beside the boxes of the two-stage detector: Mask R-CNN (arXiv 1703.06870) and Hybrid Task Cascade (1901.07518).

Both found that learning masks makes the boxes better, and that is what the branch is for: this project reports boxes,
so that it is at work while training alone and costs nothing after. Behind a cascade of box heads it has a head per
stage, which learns from the boxes that this stage's box head has just refined (interleaved execution), and hears the
mask heads before it (mask information flow). Differences: the heads are as wide as the pyramid, at most `LEARNT` boxes
an image are learnt, and there is no branch for semantic segmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from pipeline.detector.models.targets import Target

POOLED, MASK = 14, 28
"""Sides of what is pooled of a box and of the mask that is learnt; the paper's numbers."""
CONVS = 4
"""Convolutions of a head."""
LEARNT = 32
"""Most boxes of an image whose masks are learnt at once."""


@dataclass(frozen=True)
class Positives:
    """Boxes of an image that hold an object, with its mask.

    Attributes:
        boxes: Tensor[N, 4] in `(x1, y1, x2, y2)`, pixels.
        labels: Tensor[N] int64, from 1.
        weights: Tensor[N], 0 to 1.
        masks: Tensor[N, MASK, MASK] float32, 0 or 1: the object's mask inside each box.
    """

    boxes: Tensor
    labels: Tensor
    weights: Tensor
    masks: Tensor


class MaskHead(nn.Module):
    """Convolutions over what is pooled of boxes: what masks are made of, and what the next head hears.

    Args:
        channels: Of the feature pyramid.
        hears: Whether there is a head before it.
    """

    def __init__(self, channels: int, *, hears: bool) -> None:
        super().__init__()
        self.incoming = nn.Conv2d(channels, channels, 1) if hears else None
        self.convs = MaskRCNNHeads(channels, [channels] * CONVS, 1)

    def forward(self, pooled: Tensor, before: Tensor | None) -> Tensor:
        """Tensor[N, C, POOLED, POOLED] from what is pooled and what the head before it gave, of the same shape."""
        heard = pooled if self.incoming is None or before is None else pooled + self.incoming(before)
        features: Tensor = self.convs(heard)
        return features


class MaskBranch(nn.Module):
    """One mask head, or one for each stage of a cascade.

    Args:
        levels: Names of the pyramid levels that features are pooled from.
        channels: Of the feature pyramid.
        classes: Background included.
        stages: Heads.
    """

    def __init__(self, levels: list[str], channels: int, classes: int, stages: int) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(levels, output_size=POOLED, sampling_ratio=2)
        self.heads = nn.ModuleList(MaskHead(channels, hears=stage > 0) for stage in range(stages))
        self.predictors = nn.ModuleList(MaskRCNNPredictor(channels, channels, classes) for _ in range(stages))

    def forward(self, stage: int, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[Any]) -> Tensor:
        """Predict masks.

        Args:
            stage: Which head answers; those before it are heard.
            features: Pyramid levels by name.
            boxes: Tensor[N_i, 4] per image, pixels of the input.
            sizes: Height and width of each image.

        Returns:
            Tensor[sum of N_i, K, MASK, MASK], logits of each class.
        """
        pooled, heard = self.pool(features, boxes, sizes), None
        for head in self.heads[: stage + 1]:
            heard = head(pooled, heard)
        logits: Tensor = self.predictors[stage](heard)
        return logits

    def loss(self, stage: int, features: dict[str, Tensor], positives: list[Positives], sizes: list[Any]) -> Tensor:
        """Binary cross-entropy of the pixels of the masks of the right class (arXiv 1703.06870, section 3).

        Args:
            stage: As of `forward`.
            features: As of `forward`.
            positives: Those of each image.
            sizes: As of `forward`.

        Returns:
            Tensor[]: the weighted mean over boxes and pixels; 0 where no mask is known.
        """
        labels, weights, masks = (
            torch.cat([getattr(of_image, name) for of_image in positives]) for name in ("labels", "weights", "masks")
        )
        logits = self(stage, features, [of_image.boxes for of_image in positives], sizes)
        own = logits[torch.arange(len(labels), device=labels.device), labels].float()
        each = F.binary_cross_entropy_with_logits(own, masks, reduction="none").mean((1, 2))
        return (each * weights).sum() / weights.sum().clamp(min=1)


def positives_of(boxes: Tensor, matches: Tensor, labels: Tensor, target: Target) -> Positives:
    """Choose the boxes of an image whose masks are learnt; torch's generator draws where there are too many.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        matches (Tensor[N]): which object of the target each would be.
        labels (Tensor[N]): of that object; 0 for background.
        target: With `frames` and `rasters`, or no mask is known.
    """
    frames = target.get("frames", torch.full((len(target["boxes"]), 6), torch.nan, device=boxes.device))
    rows = (labels > 0).nonzero().flatten()
    rows = rows[~frames[matches[rows], 0].isnan()]
    rows = rows[torch.randperm(len(rows), device=rows.device)[:LEARNT]]
    objects = matches[rows]
    masks = torch.zeros(0, MASK, MASK, device=boxes.device)
    if len(rows):
        masks = seen_from(boxes[rows], frames[objects].reshape(-1, 3, 2), target["rasters"][objects])
    return Positives(boxes[rows], labels[rows], target["weights"][objects], masks)


def seen_from(boxes: Tensor, frames: Tensor, rasters: Tensor) -> Tensor:
    """Draw masks inside other boxes than those they lie over.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        frames (Tensor[N, 3, 2]): where the masks lie, see `dataset.object_masks.Masks`; with an area.
        rasters (Tensor[N, S, S]): 1 on the object.

    Returns:
        Tensor[N, MASK, MASK] float32 of 0 and 1: whether the middle of each cell of a box is on the object.
    """
    steps = (torch.arange(MASK, device=boxes.device) + 0.5) / MASK
    shares = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).reshape(1, -1, 2)
    points = boxes[:, None, :2] + shares * (boxes[:, 2:] - boxes[:, :2])[:, None]
    origin = frames[:, :1]
    # A point is origin + u * right + v * down; grid_sample wants u and v from -1 to 1.
    axes = torch.stack([frames[:, 1] - frames[:, 0], frames[:, 2] - frames[:, 0]], dim=2)
    # No matrix product, which mixed precision would do in 8 bits of mantissa.
    places = (torch.linalg.inv(axes)[:, None] * (points - origin)[:, :, None]).sum(-1)
    grid = (2 * places - 1).reshape(-1, MASK, MASK, 2)
    drawn = F.grid_sample(rasters[:, None].float(), grid, align_corners=False)
    return (drawn[:, 0] >= 0.5).float()
