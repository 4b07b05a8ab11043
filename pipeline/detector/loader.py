"""Training batches: each is a pure function of the seed and its step, so that a run resumes exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.boxes import as_boxes, scale
from pipeline.dataset.images import read_image
from pipeline.detector.augment import Augmenter, LabeledPixels
from pipeline.detector.heads import Target
from pipeline.detector.mix import is_mixing, mixup
from pipeline.detector.stream import stack_pictures
from pipeline.errors import DataError, ImageFault
from pipeline.records import Sample, State
from pipeline.seeds import derive_seed, numpy_generator
from pipeline.settings import TrainingSettings


@dataclass(frozen=True)
class Batch:
    """One training step's input.

    Attributes:
        images: Tensor[B, 3, H, W] uint8 RGB.
        targets: `boxes`, `labels`, `weights`, `ignore` an image, in pixels of the batch.
        faults: Pictures that could not be read and were replaced by others: (uri, reason).
    """

    images: Tensor
    targets: list[Target]
    faults: list[tuple[str, str]]


class TrainingImages:
    """Labelled and pseudo-labelled pictures at the detector's input size, decoded once while memory lasts.

    Args:
        samples: Pictures to learn from.
        labels: Class names, in the order of their numbers.
        image_size_px: Longest side of the input.
        max_image_pixels: A larger picture is refused.
        cache_mb: Memory for decoded pictures.

    Raises:
        DataError: A box has a label that is not among the class names.
    """

    def __init__(
        self, samples: Sequence[Sample], labels: Sequence[str], image_size_px: int, max_image_pixels: int, cache_mb: int
    ) -> None:
        self.samples = list(samples)
        self._number = {label: index + 1 for index, label in enumerate(labels)}
        unknown = {box.label for sample in samples for box in sample.boxes} - self._number.keys()
        if unknown:
            raise DataError(f"Expected labels among {list(labels)}, got {sorted(unknown)}; add them to data.labels")
        self._size = image_size_px
        self._max_pixels = max_image_pixels
        self._cache: dict[int, LabeledPixels] = {}
        self._room = cache_mb * 2**20

    def load(self, index: int) -> LabeledPixels:
        """Read one picture with its target.

        Raises:
            ImageFault: It cannot be read.
        """
        if index in self._cache:
            return self._cache[index]
        sample = self.samples[index]
        picture = read_image(sample.uri, self._max_pixels, self._size)
        height, width = picture.pixels.shape[:2]
        item = LabeledPixels(
            picture.pixels,
            scale(as_boxes([box.xyxy for box in sample.boxes]), width / sample.width, height / sample.height),
            torch.tensor([self._number[box.label] for box in sample.boxes], dtype=torch.int64),
            torch.tensor([1.0 if box.p_correct is None else box.p_correct for box in sample.boxes]),
            scale(as_boxes([region.xyxy for region in sample.ignore]), width / sample.width, height / sample.height),
        )
        if picture.pixels.nbytes <= self._room:
            self._room -= picture.pixels.nbytes
            self._cache[index] = item
        return item


class BatchPlan(Dataset[Batch]):
    """The batches of a run by step.

    Args:
        images: Where pictures come from.
        settings: Batch size, augmentation, mixup and the share of pseudo-labelled images.
        seed: The settings' seed.

    Raises:
        DataError: There is nothing to learn from.
    """

    def __init__(self, images: TrainingImages, settings: TrainingSettings, seed: int) -> None:
        if not images.samples:
            raise DataError("Expected labelled images to train on, got none; import some with split train")
        self._images = images
        self._settings = settings
        self._seed = seed
        self._augment = Augmenter(settings.augment) if settings.augment.enabled else None
        pseudo = [sample.state is State.PSEUDO for sample in images.samples]
        self._pseudo = np.flatnonzero(pseudo)
        self._labeled = np.flatnonzero(~np.array(pseudo))

    def __len__(self) -> int:
        """Steps of the run."""
        return self._settings.steps

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of one step.

        Raises:
            DataError: No picture at all can be read.
        """
        faults: list[tuple[str, str]] = []
        items = [
            self._changed(self._readable(index, faults), step, slot) for slot, index in enumerate(self.indices(step))
        ]
        images, targets = collate(items)
        if is_mixing(self._settings.mixup, step / self._settings.steps):
            images, targets = mixup(images, targets, self._settings.mixup, self._seed, step)
        return Batch(images, targets, faults)

    def indices(self, step: int) -> list[int]:
        """Which pictures step `step` shows: whole epochs in random order, pseudo-labelled ones capped."""
        size, (first, last) = self._settings.batch_size, (self._pseudo_shown(step), self._pseudo_shown(step + 1))
        labeled = self._draw(self._labeled, "labeled", step * size - first, (step + 1) * size - last)
        return labeled + self._draw(self._pseudo, "pseudo", first, last)

    def _pseudo_shown(self, steps: int) -> int:
        """How many pseudo-labelled pictures so many steps show; a share under one a batch adds up over the steps."""
        shown = steps * self._settings.batch_size
        if not len(self._labeled):
            return shown
        natural = shown * len(self._pseudo) // len(self._images.samples)
        return min(natural, math.floor(shown * self._settings.pseudo_share))

    def _draw(self, members: NDArray[np.int64], stream: str, first: int, last: int) -> list[int]:
        positions = np.arange(first, last)
        orders = {
            epoch: self._order(len(members), stream, epoch) for epoch in set((positions // len(members)).tolist())
        }
        return [int(members[orders[p // len(members)][p % len(members)]]) for p in positions.tolist()]

    def _order(self, length: int, stream: str, epoch: int) -> NDArray[np.int64]:
        return numpy_generator(self._seed, "order", stream, epoch).permutation(length)

    def _readable(self, index: int, faults: list[tuple[str, str]]) -> LabeledPixels:
        """The picture, or the next one that can be read."""
        for offset in range(len(self._images.samples)):
            try:
                return self._images.load((index + offset) % len(self._images.samples))
            except ImageFault as fault:
                faults.append((fault.uri, fault.reason))
        raise DataError(f"Expected pictures to train on, none of {len(self._images.samples)} can be read: {faults[0]}")

    def _changed(self, item: LabeledPixels, step: int, slot: int) -> LabeledPixels:
        return self._augment(item, derive_seed(self._seed, "augment", step, slot)) if self._augment else item


def collate(items: Sequence[LabeledPixels]) -> tuple[Tensor, list[Target]]:
    """Put pictures with their targets in one batch.

    Args:
        items: At least one.

    Returns:
        Tensor[B, 3, H, W] uint8, padded at the right and below, and the targets.
    """
    targets = [
        {"boxes": item.boxes, "labels": item.labels, "weights": item.weights, "ignore": item.ignore} for item in items
    ]
    return stack_pictures([item.pixels for item in items]), targets


def batches(plan: BatchPlan, first_step: int, workers: int) -> Iterator[Batch]:
    """Walk through a run's batches, prepared by worker processes where set.

    Args:
        plan: The run.
        first_step: Where to begin.
        workers: Processes; 0 prepares in this one. The batches are the same for any number.

    Returns:
        The batches of steps `first_step` and up.
    """
    return iter(
        DataLoader(
            plan,
            batch_size=None,
            sampler=range(first_step, len(plan)),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
    )
