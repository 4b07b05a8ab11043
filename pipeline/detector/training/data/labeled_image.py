"""An image with its target, and what becomes of objects when an image is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import clip

MIN_VISIBLE = 0.3
"""An object of which less stays in the image becomes an ignore region: neither object nor background."""


@dataclass(frozen=True)
class LabeledPixels:
    """An image with its target, as the trainer sees it.

    Attributes:
        pixels: uint8[H, W, 3], RGB.
        boxes: Tensor[N, 4] in `(x1, y1, x2, y2)`, pixels of this image.
        labels: Tensor[N] int64, from 1.
        weights: Tensor[N], 0 to 1.
        ignore: Tensor[M, 4], regions that cost no loss.
    """

    pixels: NDArray[np.uint8]
    boxes: Tensor
    labels: Tensor
    weights: Tensor
    ignore: Tensor


def cut_to(
    pixels: NDArray[np.uint8], item: LabeledPixels, boxes: Tensor, ignore: Tensor, origin: tuple[int, int] = (0, 0)
) -> LabeledPixels:
    """Take an image's objects along to where they came to lie.

    Args:
        pixels: uint8[H, W, 3], the new image.
        item: Gives labels and weights.
        boxes (Tensor[N, 4]): its objects in pixels of the new image, not yet cut at its edges.
        ignore (Tensor[M, 4]): its regions, likewise.
        origin: x and y of the new image in the pixels that the boxes are given in.

    Returns:
        The new image. Objects that left it are gone; objects cut to less than `MIN_VISIBLE` of their area are ignore
        regions.
    """
    height, width = pixels.shape[:2]
    whole = torch.cat([boxes, ignore]) - torch.tensor([*origin, *origin])
    cut = clip(whole, width, height)
    visible = (cut[:, 2:] - cut[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1).clamp(min=1e-6)
    count = len(boxes)
    kept = visible[:count] >= MIN_VISIBLE
    dropped = cut[:count][~kept & (visible[:count] > 0)]
    regions = torch.cat([cut[count:][visible[count:] > 0], dropped])
    return LabeledPixels(pixels, cut[:count][kept], item.labels[kept], item.weights[kept], regions)


def hide(item: LabeledPixels, pixels: NDArray[np.uint8], covers: Tensor) -> LabeledPixels:
    """Tell what is left of an image's objects under things that cover it.

    Args:
        item: The image.
        pixels: uint8[H, W, 3], the same with something on it.
        covers (Tensor[K, 4]): where that lies, in whole pixels.

    Returns:
        The covered image; objects of which less than `MIN_VISIBLE` is seen are ignore regions.
    """
    kept = torch.tensor([_visible(box, covers) >= MIN_VISIBLE for box in item.boxes], dtype=torch.bool)
    return LabeledPixels(
        pixels, item.boxes[kept], item.labels[kept], item.weights[kept], torch.cat([item.ignore, item.boxes[~kept]])
    )


def _visible(box: Tensor, covers: Tensor) -> float:
    """Share of a box's pixels that nothing covers; covers may overlap each other."""
    x1, y1, x2, y2 = (int(edge) for edge in (*box[:2].floor().tolist(), *box[2:].ceil().tolist()))
    free = np.ones((y2 - y1, x2 - x1), dtype=bool)
    for left, top, right, bottom in covers.long().tolist():
        free[max(0, top - y1) : max(0, bottom - y1), max(0, left - x1) : max(0, right - x1)] = False
    return float(free.mean())
