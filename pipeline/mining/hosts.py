"""Hosts: labelled images that proposals are pasted into, decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import as_boxes, scale
from pipeline.detector.inference.stream import Fault, stream_images
from pipeline.errors import DataError
from pipeline.records import Sample
from pipeline.seeds import numpy_generator
from pipeline.settings import MiningSettings

BLUR_PX = 8.0
"""Standard deviation of the blur of blurred hosts, input pixels."""


@dataclass(frozen=True)
class Hosts:
    """Labelled images at the detector's input size.

    Attributes:
        image_ids: What they are.
        images: uint8[H, W, 3] each.
        sizes: Tensor[K, 2] int64, width and height of each.
        boxes: Tensor[K, B, 4] in `(x1, y1, x2, y2)`, input pixels, padded with zeros.
        labels: Tensor[K, B] int64, padded with 0.
        holds: Tensor[K, C + 1] bool, which labels each holds.
        to_original: Tensor[K, 2], own pixels an input pixel, in x and in y.
    """

    image_ids: list[str]
    images: list[NDArray[np.uint8]]
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    holds: Tensor
    to_original: Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.image_ids)


def load_hosts(
    samples: Sequence[Sample],
    labels: Sequence[str],
    *,
    image_size_px: int,
    max_pixels: int,
    settings: MiningSettings,
    seed: int,
    faults: list[Fault],
) -> Hosts:
    """Decode labelled images to paste into.

    Args:
        samples: Images that people have labelled, so that what a host holds is known.
        labels: Class names, in the order of their numbers.
        image_size_px: Longest side of the input.
        max_pixels: A larger image is refused.
        settings: At most `max_hosts_cached` images are taken, drawn from the seed.
        seed: The settings' seed.
        faults: Images that cannot be read are put here.

    Returns:
        The hosts, in the order of their ids.

    Raises:
        DataError: There is none.
    """
    known = {sample.image_id: sample for sample in samples}
    ids = sorted(known)
    if len(ids) > settings.max_hosts_cached:
        drawn = numpy_generator(seed, "hosts").choice(len(ids), settings.max_hosts_cached, replace=False)
        ids = [ids[index] for index in sorted(drawn.tolist())]
    images: dict[str, NDArray[np.uint8]] = {}
    for batch in stream_images(
        [known[image_id].ref for image_id in ids],
        image_size_px=image_size_px,
        max_pixels=max_pixels,
        batch_size=settings.batch_size,
        threads=settings.decode_threads,
        faults=faults,
    ):
        images.update(zip((ref.image_id for ref in batch.refs), batch.unpadded(), strict=True))
    if settings.host_blur:
        images = {image_id: _blurred(image) for image_id, image in images.items()}
    if not images:
        raise DataError("Expected labelled images to paste into, found none that can be read; import some")
    return hosts_from_images([known[image_id] for image_id in images], list(images.values()), labels)


def _blurred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), BLUR_PX), dtype=np.uint8)


def hosts_from_images(samples: Sequence[Sample], images: Sequence[NDArray[np.uint8]], labels: Sequence[str]) -> Hosts:
    """Put images and their labels side by side.

    Args:
        samples: At least one, with boxes in their own pixels.
        images: uint8[H, W, 3] each, at input size.
        labels: Class names, in the order of their numbers.

    Returns:
        The hosts, in the given order.
    """
    number = {label: index + 1 for index, label in enumerate(labels)}
    sizes = torch.tensor([[image.shape[1], image.shape[0]] for image in images])
    originals = torch.tensor([[sample.width, sample.height] for sample in samples])
    to_original = originals / sizes
    most = max(1, *(len(sample.boxes) for sample in samples))
    boxes, numbers = torch.zeros(len(samples), most, 4), torch.zeros(len(samples), most, dtype=torch.int64)
    for row, sample in enumerate(samples):
        x_factor, y_factor = (1 / to_original[row]).tolist()
        count = len(sample.boxes)
        boxes[row, :count] = scale(as_boxes([box.xyxy for box in sample.boxes]), x_factor, y_factor)
        numbers[row, :count] = torch.tensor([number[box.label] for box in sample.boxes], dtype=torch.int64)
    holds = torch.zeros(len(samples), len(labels) + 1, dtype=torch.bool).scatter_(1, numbers, True)
    holds[:, 0] = False
    return Hosts([s.image_id for s in samples], list(images), sizes, boxes, numbers, holds, to_original)
