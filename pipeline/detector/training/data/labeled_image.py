"""An image with its target, and what becomes of objects when an image is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import clip, intersection
from pipeline.detector.models.targets import Target

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
        visible: Tensor[N, 4], what is seen of each box, NaN where that is not known; None where nobody asks.
    """

    pixels: NDArray[np.uint8]
    boxes: Tensor
    labels: Tensor
    weights: Tensor
    ignore: Tensor
    visible: Tensor | None = None

    def target(self) -> Target:
        """What a network is to answer."""
        target = {"boxes": self.boxes, "labels": self.labels, "weights": self.weights, "ignore": self.ignore}
        return target if self.visible is None else {**target, "visible": self.visible}

    def places(self) -> Tensor:
        """Tensor[N + M + K, 4]: boxes, regions and the K visible boxes that are known."""
        seen = [] if self.visible is None else [self.visible[_is_known(self.visible)]]
        return torch.cat([self.boxes, self.ignore, *seen])

    def moved(self, places: Tensor) -> LabeledPixels:
        """The same with what `places` gives elsewhere, in the same order."""
        count, seen = len(self.boxes), self.visible
        boxes, ignore, rest = torch.split(places, [count, len(self.ignore), len(places) - count - len(self.ignore)])
        if seen is not None:
            seen = seen.clone()
            seen[_is_known(seen)] = rest
        return replace(self, boxes=boxes, ignore=ignore, visible=seen)


def cut_to(pixels: NDArray[np.uint8], item: LabeledPixels, origin: tuple[int, int] = (0, 0)) -> LabeledPixels:
    """Take an image's objects along to where they came to lie.

    Args:
        pixels: uint8[H, W, 3], the new image.
        item: Its objects and regions in pixels of the new image, not yet cut at its edges.
        origin: x and y of the new image in the pixels that the boxes are given in.

    Returns:
        The new image. Objects that left it are gone; objects cut to less than `MIN_VISIBLE` of their area are ignore
        regions. A visible box that left it is not known.
    """
    height, width = pixels.shape[:2]
    offset = torch.tensor([*origin, *origin])
    whole = torch.cat([item.boxes, item.ignore]) - offset
    cut = clip(whole, width, height)
    inside = (cut[:, 2:] - cut[:, :2]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1).clamp(min=1e-6)
    count = len(item.boxes)
    kept = inside[:count] >= MIN_VISIBLE
    dropped = cut[:count][~kept & (inside[:count] > 0)]
    regions = torch.cat([cut[count:][inside[count:] > 0], dropped])
    seen = item.visible
    if seen is not None:
        seen = clip(seen[kept] - offset, width, height)
        seen = torch.where(_is_known(seen)[:, None], seen, torch.nan)
    return LabeledPixels(pixels, cut[:count][kept], item.labels[kept], item.weights[kept], regions, seen)


def _is_known(visible: Tensor) -> Tensor:
    """Tensor[N] bool: which visible boxes have an area."""
    return (visible[:, 2:] > visible[:, :2]).all(1)


def hide(item: LabeledPixels, pixels: NDArray[np.uint8], covers: Tensor) -> LabeledPixels:
    """Tell what is left of an image's objects under things that cover it.

    Args:
        item: The image.
        pixels: uint8[H, W, 3], the same with something on it.
        covers (Tensor[K, 4]): where that lies, in whole pixels.

    Returns:
        The covered image; objects of which less than `MIN_VISIBLE` is seen are ignore regions. What is seen of an
        object that is covered in part is not known.
    """
    kept = torch.tensor([_visible(box, covers) >= MIN_VISIBLE for box in item.boxes], dtype=torch.bool)
    regions, seen = torch.cat([item.ignore, item.boxes[~kept]]), item.visible
    if seen is not None:
        covered = (intersection(item.boxes, covers.float()) > 0).any(1)
        seen = torch.where(covered[:, None], torch.nan, seen)[kept]
    return LabeledPixels(pixels, item.boxes[kept], item.labels[kept], item.weights[kept], regions, seen)


def join_visible(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Visible boxes of several images or objects in order; None where nobody asks."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if known else None


def _visible(box: Tensor, covers: Tensor) -> float:
    """Share of a box's pixels that nothing covers; covers may overlap each other."""
    x1, y1, x2, y2 = (int(edge) for edge in (*box[:2].floor().tolist(), *box[2:].ceil().tolist()))
    free = np.ones((y2 - y1, x2 - x1), dtype=bool)
    for left, top, right, bottom in covers.long().tolist():
        free[max(0, top - y1) : max(0, bottom - y1), max(0, left - x1) : max(0, right - x1)] = False
    return float(free.mean())
