"""Hosts: labelled images that proposals are pasted into, decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.boxes import as_boxes, scale
from pipeline.detector.inference.predictor import Predictor
from pipeline.detector.inference.stream import Fault
from pipeline.errors import DataError
from pipeline.records import Sample
from pipeline.seeds import numpy_generator

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
        to_original: Tensor[K, 2], own pixels per input pixel, in x and in y.
        faults: Labelled images that could not be read.
    """

    image_ids: list[str]
    images: list[NDArray[np.uint8]]
    sizes: Tensor
    boxes: Tensor
    labels: Tensor
    holds: Tensor
    to_original: Tensor
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        """How many."""
        return len(self.image_ids)


def choose_hosts(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """Choose labelled images to paste into.

    Args:
        samples: Images that people have labelled. One that was answered in part is no host: what it holds is not known.
        most: At most so many, drawn from the seed.
        seed: The settings' seed.

    Returns:
        The images, in the order of their ids.
    """
    whole = (sample for sample in samples if not sample.is_answered_in_part)
    ordered = sorted(whole, key=lambda sample: sample.image_id)
    if len(ordered) <= most:
        return ordered
    drawn = numpy_generator(seed, "hosts").choice(len(ordered), most, replace=False)
    return [ordered[index] for index in sorted(drawn.tolist())]


def load_hosts(samples: Sequence[Sample], labels: Sequence[str], predictor: Predictor, blurred: bool = False) -> Hosts:
    """Decode labelled images to paste into.

    Args:
        samples: Of `choose_hosts`.
        labels: Class names, in the order of their numbers.
        predictor: The detector, whose input size hosts have.
        blurred: Blur them, so that little of their own is seen.

    Returns:
        The hosts, in the given order.

    Raises:
        DataError: There is none that can be read.
    """
    by_id = {sample.image_id: sample for sample in samples}
    stream = predictor.stream(sample.ref for sample in samples)
    images: dict[str, NDArray[np.uint8]] = {}
    for batch in stream:
        images.update(zip((ref.image_id for ref in batch.refs), batch.unpadded(), strict=True))
    if not images:
        raise DataError("Expected labelled images to paste into, found none that can be read; import some")
    pixels = [blur(image) if blurred else image for image in images.values()]
    hosts = hosts_from_images([by_id[image_id] for image_id in images], pixels, labels)
    return replace(hosts, faults=tuple(stream.faults))


def blur(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur a host so that little of its own content is visible; uint8[H, W, 3]."""
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
