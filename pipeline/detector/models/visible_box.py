"""A second regression branch: which part of a box is seen (Bi-box, Zhou and Yuan, ECCV 2018).

Bi-box lets both branches score and fuses the scores. Here the second one scores nothing: the visible share, area of the
visible box over that of the full one, is one more piece of evidence for p(correct), which is calibrated. As there, the
visible box of background shrinks to its centre, where background is at hand: with
`training.triplet.background_negatives`. Boxes that nobody knows the visible part of teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

from pipeline.boxes import clip
from pipeline.detector.models.targets import Target

LEVELS = ("0", "1", "2")
"""Those of them that a pyramid has."""
SIDE, HIDDEN = 5, 128
COPIES, SHIFT = 4, 0.15
"""A box is learnt so many times, its corners moved by up to this share of its sides, as those of detections are."""
CENTRE = 0.5
"""All insets of a box that shrinks to its centre."""
BETA = 0.1
"""Below it the loss is quadratic."""
MOSTLY_SEEN = -3.0
"""Logit of the insets at the start: a twentieth of each side."""


@dataclass(frozen=True)
class Examples:
    """What the branch learns from one image.

    Attributes:
        boxes: Tensor[N, 4] in `(x1, y1, x2, y2)`, pixels.
        insets: Tensor[N, 4], what it should answer, see `insets_of`.
        weights: Tensor[N], 0 to 1.
    """

    boxes: Tensor
    insets: Tensor
    weights: Tensor


class VisibleBoxBranch(nn.Module):
    """Gives, from the features under a box, how far each side of its visible part lies inside it.

    Args:
        channels: Of the feature pyramid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = MultiScaleRoIAlign(featmap_names=list(LEVELS), output_size=SIDE, sampling_ratio=2)
        last = nn.Linear(HIDDEN, 4)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, MOSTLY_SEEN)
        # Pyramids that are drawn at random give values of any size, in which the sigmoid would learn nothing.
        size = channels * SIDE**2
        self.predict = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, HIDDEN), nn.ReLU(), last)

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Predict insets.

        Args:
            features: Pyramid levels by name.
            boxes: Tensor[N_i, 4] per image, pixels of the input.
            size: Height and width of the input.

        Returns:
            Tensor[sum of N_i, 4] float32: left, top, right and bottom inset, 0 to 1 as shares of the box's sides.
        """
        levels = {name: features[name] for name in LEVELS if name in features}
        pooled = self.pool(levels, boxes, [size] * len(boxes)).flatten(1)
        insets: Tensor = self.predict(pooled).float().sigmoid()
        return insets

    def loss(self, features: dict[str, Tensor], examples: Sequence[Examples], size: tuple[int, int]) -> Tensor:
        """Loss of a batch.

        Args:
            features: As of `forward`.
            examples: Those of each image, see `examples_of`.
            size: As of `forward`.

        Returns:
            Tensor[]; 0 where there are none.
        """
        wanted, weights = (torch.cat([getattr(one, name) for one in examples]) for name in ("insets", "weights"))
        return inset_loss(self(features, [one.boxes for one in examples], size), wanted, weights)


def examples_of(target: Target, background: Tensor, size: tuple[int, int]) -> Examples:
    """What an image teaches: boxes whose visible part is known, each a few times, somewhat misplaced, and background.

    Args:
        target: With `visible`, or nothing is known of its boxes.
        background (Tensor[M, 4]): what looks most like an object and is none; its visible part is its centre.
        size: Height and width of the image.
    """
    visible = target.get("visible", torch.full_like(target["boxes"], torch.nan))
    known = ~visible[:, 0].isnan()
    moved = misplaced(target["boxes"][known], size)
    # Of the true box, or a box that is too large would look hidden in part.
    insets = insets_of(target["boxes"][known], visible[known]).repeat(COPIES, 1)
    weights = target["weights"][known].repeat(COPIES)
    return Examples(
        torch.cat([moved, background]),
        torch.cat([insets, torch.full_like(background, CENTRE)]),
        torch.cat([weights, torch.ones_like(background[:, 0])]),
    )


def insets_of(boxes: Tensor, visible: Tensor) -> Tensor:
    """How far the sides of visible boxes lie inside others.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        visible (Tensor[N, 4]): likewise; it may reach beyond its box.

    Returns:
        Tensor[N, 4]: left, top, right, bottom, 0 to 1 as shares of the box's sides.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).repeat(1, 2)
    inward = torch.cat([visible[:, :2] - boxes[:, :2], boxes[:, 2:] - visible[:, 2:]], dim=1)
    return (inward / sides).clamp(0, 1)


def visible_share(insets: Tensor) -> Tensor:
    """Area of visible boxes over that of the full ones.

    Args:
        insets (Tensor[N, 4]): as of `insets_of`.

    Returns:
        Tensor[N], 0 to 1; 0 where opposite sides have passed each other.
    """
    return (1 - insets[:, :2] - insets[:, 2:]).clamp(min=0).prod(1)


def inset_loss(insets: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Smooth L1 of all four insets, as Fast R-CNN has it for offsets (arXiv 1504.08083, equation 3).

    Args:
        insets (Tensor[N, 4]): predicted.
        wanted (Tensor[N, 4]): true.
        weights (Tensor[N]): 0 to 1.

    Returns:
        Tensor[]: the weighted sum over boxes, divided by the weights; 0 for no boxes.
    """
    each = F.smooth_l1_loss(insets, wanted, reduction="none", beta=BETA).sum(1)
    return (each * weights).sum() / weights.sum().clamp(min=1)


def misplaced(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Move the corners of boxes at random, inside the image; torch's generator draws.

    Args:
        boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels.
        size: Height and width of the image.

    Returns:
        Tensor[COPIES * N, 4]: all boxes, then all again.
    """
    repeated = boxes.repeat(COPIES, 1)
    sides = (repeated[:, 2:] - repeated[:, :2]).repeat(1, 2)
    moved = repeated + sides * (2 * torch.rand_like(repeated) - 1) * SHIFT
    return clip(moved, size[1], size[0])
