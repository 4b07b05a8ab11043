"""An image with its target, and what becomes of objects when an image is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import clip, intersection
from pipeline.dataset.object_masks import Masks
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
        masks: Those of the boxes; None where nobody asks.
    """

    pixels: NDArray[np.uint8]
    boxes: Tensor
    labels: Tensor
    weights: Tensor
    ignore: Tensor
    visible: Tensor | None = None
    masks: Masks | None = None

    def target(self) -> Target:
        """What a network is to answer."""
        target = {"boxes": self.boxes, "labels": self.labels, "weights": self.weights, "ignore": self.ignore}
        if self.visible is not None:
            target |= {"visible": self.visible}
        if self.masks is not None:
            target |= {"frames": self.masks.frames.flatten(1), "rasters": self.masks.rasters}
        return target

    def only(self, number: int) -> LabeledPixels:
        """One of its objects."""
        row = slice(number, number + 1)
        return replace(
            self,
            boxes=self.boxes[row],
            labels=self.labels[row],
            weights=self.weights[row],
            ignore=self.ignore[:0],
            visible=None if self.visible is None else self.visible[row],
            masks=None if self.masks is None else self.masks[row],
        )

    def points(self) -> Tensor:
        """Tensor[P, 2], `(x, y)`: four corners of each box, region and known visible box, three of each known mask."""
        seen = [] if self.visible is None else [self.visible[_is_known(self.visible)]]
        frames = [] if self.masks is None else [self.masks.frames[self.masks.known].reshape(-1, 2)]
        return torch.cat([_corners(torch.cat([self.boxes, self.ignore, *seen])), *frames])

    def moved(self, points: Tensor) -> LabeledPixels:
        """The same with its points elsewhere, in the same order; boxes are those round their corners."""
        seen, masks = self.visible, self.masks
        is_seen = torch.zeros(0, dtype=torch.bool) if seen is None else _is_known(seen)
        counts = [len(self.boxes), len(self.ignore), int(is_seen.sum())]
        boxes, ignore, visible = torch.split(_hulls(points[: 4 * sum(counts)]), counts)
        if seen is not None:
            seen = seen.clone()
            seen[is_seen] = visible
        if masks is not None:
            frames = masks.frames.clone()
            frames[masks.known] = points[4 * sum(counts) :].reshape(-1, 3, 2)
            masks = masks.placed(frames)
        return replace(self, boxes=boxes, ignore=ignore, visible=seen, masks=masks)


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
    masks = item.masks
    if masks is not None:
        masks = masks[kept].placed(masks.frames[kept] - offset[:2])
    return LabeledPixels(pixels, cut[:count][kept], item.labels[kept], item.weights[kept], regions, seen, masks)


def _corners(boxes: Tensor) -> Tensor:
    """Tensor[4 * N, 2]: the four corners of each box."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)


def _hulls(corners: Tensor) -> Tensor:
    """Tensor[N, 4]: the boxes round each four corners."""
    quads = corners.reshape(-1, 4, 2)
    return torch.cat([quads.amin(1), quads.amax(1)], dim=1)


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
        The covered image; objects of which less than `MIN_VISIBLE` is seen are ignore regions. Of an object that is
        covered in part neither what is seen of it nor its mask is known.
    """
    kept = torch.tensor([_visible(box, covers) >= MIN_VISIBLE for box in item.boxes], dtype=torch.bool)
    regions, seen, masks = torch.cat([item.ignore, item.boxes[~kept]]), item.visible, item.masks
    covered = (intersection(item.boxes, covers.float()) > 0).any(1)
    if seen is not None:
        seen = torch.where(covered[:, None], torch.nan, seen)[kept]
    if masks is not None:
        masks = masks.without(covered)[kept]
    return LabeledPixels(pixels, item.boxes[kept], item.labels[kept], item.weights[kept], regions, seen, masks)


def join(pixels: NDArray[np.uint8], parts: Sequence[LabeledPixels]) -> LabeledPixels:
    """Bring the objects and regions of several images, in pixels of one, together on it.

    Args:
        pixels: uint8[H, W, 3], that one.
        parts: At least one. What is asked of any is asked of all, and not known where it was not.
    """
    visible = [torch.full_like(part.boxes, torch.nan) if part.visible is None else part.visible for part in parts]
    masks = [Masks.unknown(len(part.boxes)) if part.masks is None else part.masks for part in parts]
    return LabeledPixels(
        pixels,
        torch.cat([part.boxes for part in parts]),
        torch.cat([part.labels for part in parts]),
        torch.cat([part.weights for part in parts]),
        torch.cat([part.ignore for part in parts]),
        None if all(part.visible is None for part in parts) else torch.cat(visible),
        None if all(part.masks is None for part in parts) else Masks.join(masks),
    )


def _visible(box: Tensor, covers: Tensor) -> float:
    """Share of a box's pixels that nothing covers; covers may overlap each other."""
    x1, y1, x2, y2 = (int(edge) for edge in (*box[:2].floor().tolist(), *box[2:].ceil().tolist()))
    free = np.ones((y2 - y1, x2 - x1), dtype=bool)
    for left, top, right, bottom in covers.long().tolist():
        free[max(0, top - y1) : max(0, bottom - y1), max(0, left - x1) : max(0, right - x1)] = False
    return float(free.mean())
