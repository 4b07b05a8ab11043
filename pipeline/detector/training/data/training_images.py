"""Images that a detector learns from, at the size of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.boxes import as_boxes
from pipeline.boxes import scale as scale_boxes
from pipeline.dataset.images import read_image
from pipeline.dataset.object_masks import ObjectMasks
from pipeline.dataset.visible_boxes import VisibleBoxes
from pipeline.detector.training.data.labeled_image import LabeledPixels
from pipeline.errors import DataError
from pipeline.records import Sample


@dataclass(frozen=True)
class BesideBoxes:
    """What a detector learns of objects beside their boxes.

    Attributes:
        visible: What is seen of the boxes; None where nobody asks.
        masks: Their masks; None where nobody asks.
    """

    visible: VisibleBoxes | None = None
    masks: ObjectMasks | None = None


NOTHING = BesideBoxes()


class TrainingImages:
    """Labelled and pseudo-labelled images at the detector's input size, decoded once while memory lasts.

    Args:
        samples: Images to learn from.
        labels: Class names, in the order of their numbers.
        image_size_px: Longest side of the input.
        max_image_pixels: A larger image is refused.
        cache_mb: Memory for decoded images.
        beside_boxes: What else is known of their boxes.

    Raises:
        DataError: A box has a label that is not among the class names.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: Sequence[str],
        image_size_px: int,
        max_image_pixels: int,
        cache_mb: int,
        beside_boxes: BesideBoxes = NOTHING,
    ) -> None:
        self.samples = list(samples)
        self._labels = labels
        self._number = {label: index + 1 for index, label in enumerate(labels)}
        unknown = {box.label for sample in samples for box in sample.boxes} - self._number.keys()
        if unknown:
            raise DataError(f"Expected labels among {list(labels)}, got {sorted(unknown)}; add them to data.labels")
        self._size = image_size_px
        self._max_pixels = max_image_pixels
        self._cache: dict[int, LabeledPixels] = {}
        self._cache_mb = cache_mb
        self._room = cache_mb * 2**20
        self._beside_boxes = beside_boxes

    def with_samples(self, samples: Sequence[Sample]) -> TrainingImages:
        """The same images with other targets, none of them decoded yet."""
        return TrainingImages(samples, self._labels, self._size, self._max_pixels, self._cache_mb, self._beside_boxes)

    def load(self, index: int) -> LabeledPixels:
        """Read one image with its target.

        Raises:
            ImageFault: It cannot be read.
        """
        if index in self._cache:
            return self._cache[index]
        sample = self.samples[index]
        image = read_image(sample.uri, self._max_pixels, self._size)
        height, width = image.pixels.shape[:2]
        factors = (width / sample.width, height / sample.height)
        visible, masks = self._beside_boxes.visible, self._beside_boxes.masks
        item = LabeledPixels(
            image.pixels,
            scale_boxes(as_boxes([box.xyxy for box in sample.boxes]), *factors),
            torch.tensor([self._number[box.label] for box in sample.boxes], dtype=torch.int64),
            torch.tensor([box.certainty for box in sample.boxes]),
            scale_boxes(as_boxes([region.xyxy for region in sample.ignore]), *factors),
            None if visible is None else scale_boxes(visible.of(sample), *factors),
            None if masks is None else masks.of(sample).scaled(*factors),
        )
        if image.pixels.nbytes <= self._room:
            self._room -= image.pixels.nbytes
            self._cache[index] = item
        return item
