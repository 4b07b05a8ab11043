"""Crops: proposals cut out of their images with some context, which is all that checks need of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import as_boxes, clip, grow, outward, shift
from pipeline.detector.inference.predictor import Detections


@dataclass(frozen=True)
class Crops:
    """N proposals, each in a small image of its own.

    Attributes:
        images: uint8[h, w, 3] each, input pixels, with as much context as any check shows.
        object: Tensor[N, 4] float32, where the proposal itself lies, pixels of its crop.
        label: Tensor[N] int64, from 1.
        origin: Tensor[N, 2] float32, where the top left corner of each lies in its image, input pixels.
    """

    images: list[NDArray[np.uint8]]
    object: Tensor
    label: Tensor
    origin: Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.images)

    @property
    def sides(self) -> Tensor:
        """Tensor[N, 2] int64, width and height of each crop."""
        return torch.tensor([(image.shape[1], image.shape[0]) for image in self.images]).reshape(-1, 2)

    def within(self, margin: Tensor | float) -> Tensor:
        """What lies within a margin of each object, as far as it was cut out.

        Args:
            margin: On each side, share of the object's sides; one for all, or Tensor[N].

        Returns:
            Tensor[N, 4]: int64 in `(x1, y1, x2, y2)`, pixels of its crop.
        """
        reach = outward(grow(self.object, margin))
        return torch.cat([reach[:, :2].clamp(min=0), torch.minimum(reach[:, 2:], self.sides)], dim=1)

    @property
    def in_image(self) -> Tensor:
        """Tensor[N, 4], where the proposals lie in their images, input pixels."""
        return shift(self.object, self.origin)

    @property
    def pixels(self) -> int:
        """Of all crops together."""
        return sum(image.shape[0] * image.shape[1] for image in self.images)

    def take(self, rows: Tensor) -> Crops:
        """Some of them.

        Args:
            rows (Tensor[M]): int64.
        """
        images = [self.images[row] for row in rows.tolist()]
        return Crops(images, self.object[rows], self.label[rows], self.origin[rows])

    @staticmethod
    def join(parts: Iterable[Crops]) -> Crops:
        """Several sets in one, in order."""
        parts = list(parts)
        return Crops(
            [image for part in parts for image in part.images],
            torch.cat([as_boxes([]), *(part.object for part in parts)]),
            torch.cat([torch.zeros(0, dtype=torch.int64), *(part.label for part in parts)]),
            torch.cat([torch.zeros(0, 2), *(part.origin for part in parts)]),
        )


def crop_proposals(found: Detections, source: NDArray[np.uint8], margin: float) -> Crops:
    """Cut proposals out of one image.

    Args:
        found: The proposals, pixels of the image.
        source: uint8[H, W, 3].
        margin: Context on each side, share of the object's sides; less at the image's edge.

    Returns:
        Copies, so that the image need not be kept.
    """
    edges = outward(clip(grow(found.boxes, margin), source.shape[1], source.shape[0]))
    images = [source[y1:y2, x1:x2].copy() for x1, y1, x2, y2 in edges.tolist()]
    return Crops(images, shift(found.boxes, -edges[:, :2]), found.labels, edges[:, :2].float())
