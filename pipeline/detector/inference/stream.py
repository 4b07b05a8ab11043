"""Images streamed from storage at the detector's input size, in batches, with a bounded number in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import scale
from pipeline.dataset.images import read_image
from pipeline.errors import ImageFault
from pipeline.in_order import in_order
from pipeline.records import ImageRef

FILL = 114
"""Grey level where no image is."""
STRIDE = 32
"""Batches are padded to a multiple of it, which the feature pyramid expects."""


class Fault(NamedTuple):
    """An image that cannot be read, and why."""

    ref: ImageRef
    reason: str


@dataclass(frozen=True)
class ImageBatch:
    """Images side by side.

    Attributes:
        refs: What they are.
        images: Tensor[B, 3, H, W] uint8 RGB, each image top left, H and W multiples of 32.
        sizes: Height and width that each image fills.
    """

    refs: list[ImageRef]
    images: Tensor
    sizes: list[tuple[int, int]]

    def unpadded(self) -> list[NDArray[np.uint8]]:
        """Each image without its padding, uint8[H, W, 3]."""
        cut = zip(self.images, self.sizes, strict=True)
        return [
            np.ascontiguousarray(image[:, :height, :width].permute(1, 2, 0).numpy()) for image, (height, width) in cut
        ]

    def to_original(self, index: int, boxes: Tensor) -> Tensor:
        """Carry boxes of one image from input pixels to its own pixels.

        Args:
            index: Which image.
            boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, input pixels.

        Returns:
            Tensor[N, 4]: in pixels of the original.
        """
        ref, (height, width) = self.refs[index], self.sizes[index]
        return scale(boxes, ref.width / width, ref.height / height)

    def to_input(self, index: int, boxes: Tensor) -> Tensor:
        """Carry boxes of one image from its own pixels to input pixels.

        Args:
            index: Which image.
            boxes (Tensor[N, 4]): in `(x1, y1, x2, y2)`, pixels of the original.

        Returns:
            Tensor[N, 4]: in input pixels.
        """
        ref, (height, width) = self.refs[index], self.sizes[index]
        return scale(boxes, width / ref.width, height / ref.height)


def stack_images(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Put images in one tensor, top left, padded to a common size.

    Args:
        images: At least one uint8[H, W, 3].

    Returns:
        Tensor[B, 3, H, W] uint8 with H and W multiples of 32.
    """
    height, width = (-(-max(image.shape[axis] for image in images) // STRIDE) * STRIDE for axis in (0, 1))
    stacked = torch.full((len(images), 3, height, width), FILL, dtype=torch.uint8)
    for target, image in zip(stacked, images, strict=True):
        target[:, : image.shape[0], : image.shape[1]] = torch.from_numpy(image).permute(2, 0, 1)
    return stacked


class ImageStream:
    """Images read ahead of whoever iterates over their batches.

    Args:
        refs: In the order they are wanted; neighbours of one shape waste no padding.
        image_size_px: Longest side of the result.
        max_pixels: A larger image is refused.
        batch_size: Images per batch; the last batch may be smaller.
        threads: Images decoded at once; at most two batches wait.
        verify: Refuse a file that does not hold the bytes that were imported.

    Attributes:
        faults: Images that could not be read so far; they are in no batch.
    """

    def __init__(
        self,
        refs: Iterable[ImageRef],
        *,
        image_size_px: int,
        max_pixels: int,
        batch_size: int,
        threads: int,
        verify: bool = False,
    ) -> None:
        self.faults: list[Fault] = []
        self._refs = refs
        self._size = image_size_px
        self._max_pixels = max_pixels
        self._batch_size = batch_size
        self._threads = threads
        self._verify = verify

    def __iter__(self) -> Iterator[ImageBatch]:
        """Batches, in order."""
        ready: list[tuple[ImageRef, NDArray[np.uint8]]] = []
        for ref, pixels in self._read_ahead():
            ready.append((ref, pixels))
            if len(ready) == self._batch_size:
                yield _batch(ready)
                ready = []
        if ready:
            yield _batch(ready)

    def _read_ahead(self) -> Iterator[tuple[ImageRef, NDArray[np.uint8]]]:
        for ref, read in in_order(self._read, self._refs, self._threads, 2 * self._batch_size):
            if isinstance(read, Fault):
                self.faults.append(read)
            else:
                yield ref, read

    def _read(self, ref: ImageRef) -> tuple[ImageRef, NDArray[np.uint8] | Fault]:
        try:
            image = read_image(ref.uri, self._max_pixels, self._size, ref.image_id if self._verify else None)
        except ImageFault as fault:
            return ref, Fault(ref, fault.reason)
        return ref, image.pixels


def _batch(ready: list[tuple[ImageRef, NDArray[np.uint8]]]) -> ImageBatch:
    images = [pixels for _, pixels in ready]
    sizes = [(int(image.shape[0]), int(image.shape[1])) for image in images]
    return ImageBatch([ref for ref, _ in ready], stack_images(images), sizes)
