"""Random changes to training images that keep boxes right; the only door to albumentations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import clip
from pipeline.settings import AugmentSettings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for news at import
import albumentations as A  # noqa: N812

MIN_VISIBLE = 0.3
"""An object of which less stays in the picture becomes an ignore region: neither object nor background."""
FILL = 114
HALF_PIXEL = 0.5
"""albumentations counts from the centre of the first pixel, we count from its edge."""


@dataclass(frozen=True)
class LabeledPixels:
    """A picture with its target, as the trainer sees it.

    Attributes:
        pixels: uint8[H, W, 3], RGB.
        boxes: Tensor[N, 4] in `(x1, y1, x2, y2)`, pixels of this picture.
        labels: Tensor[N] int64, from 1.
        weights: Tensor[N], 0 to 1.
        ignore: Tensor[M, 4], regions that cost no loss.
    """

    pixels: NDArray[np.uint8]
    boxes: Tensor
    labels: Tensor
    weights: Tensor
    ignore: Tensor


class Augmenter:
    """Flips, scale and shift, colour and blur, drawn from a seed a picture.

    Args:
        settings: What may happen and how often.
    """

    def __init__(self, settings: AugmentSettings) -> None:
        self._pipeline = A.Compose(
            [
                A.HorizontalFlip(p=settings.horizontal_flip),
                A.VerticalFlip(p=settings.vertical_flip),
                A.Affine(
                    scale=(settings.scale_min, settings.scale_max),
                    translate_percent=(-0.1, 0.1),
                    keep_ratio=True,
                    fill=FILL,
                    p=0.8,
                ),
                A.RandomBrightnessContrast(p=settings.color),
                A.HueSaturationValue(p=settings.color),
                A.GaussianBlur(blur_limit=(3, 5), p=settings.blur),
            ],
            # Corners travel as points because points beyond the edge survive, boxes would be cut unseen.
            keypoint_params=A.KeypointParams(format="xy", remove_invisible=False),
        )

    def __call__(self, item: LabeledPixels, seed: int) -> LabeledPixels:
        """Change one picture.

        Args:
            item: The picture; left as it is.
            seed: Same seed, same change.

        Returns:
            The changed picture, of the same size. Objects that left it are gone, objects cut to less than
            `MIN_VISIBLE` of their area are ignore regions.
        """
        self._pipeline.set_random_seed(seed % 2**32)
        corners = torch.cat([_corners(item.boxes), _corners(item.ignore)]).numpy()
        changed: Mapping[str, NDArray[Any]] = self._pipeline(image=item.pixels, keypoints=corners - HALF_PIXEL)
        pixels = np.ascontiguousarray(changed["image"])
        whole = _hulls(torch.as_tensor(np.asarray(changed["keypoints"]), dtype=torch.float32) + HALF_PIXEL)
        height, width = pixels.shape[:2]
        cut = clip(whole, width, height)
        visible = (cut[:, 2:] - cut[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1).clamp(min=1e-6)
        count = len(item.boxes)
        kept = visible[:count] >= MIN_VISIBLE
        dropped = cut[:count][~kept & (visible[:count] > 0)]
        ignore = torch.cat([cut[count:][visible[count:] > 0], dropped])
        return LabeledPixels(pixels, cut[:count][kept], item.labels[kept], item.weights[kept], ignore)


def _corners(boxes: Tensor) -> Tensor:
    """Tensor[4 * N, 2]: the four corners of each box."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)


def _hulls(corners: Tensor) -> Tensor:
    """Tensor[N, 4]: the boxes round each four corners."""
    quads = corners.reshape(-1, 4, 2)
    return torch.cat([quads.amin(1), quads.amax(1)], dim=1)
