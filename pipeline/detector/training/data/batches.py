"""Training batches: each is a pure function of the seed and its step, so that a run resumes exactly."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.detector.inference.stream import FILL, stack_images
from pipeline.detector.models.targets import Target
from pipeline.detector.training.data.copy_paste import Load
from pipeline.detector.training.data.labeled_image import LabeledPixels
from pipeline.detector.training.data.mixup import is_on, mixup
from pipeline.detector.training.data.multiscale import rescale, scale_of
from pipeline.detector.training.data.pseudo_labels import bound_pseudo_labels
from pipeline.detector.training.data.sampling import Epochs, boosted, repeat_factors
from pipeline.detector.training.data.training_images import TrainingImages
from pipeline.detector.training.data.views import Slot, WeakStrongViews
from pipeline.errors import DataError, ImageFault
from pipeline.records import Sample, State
from pipeline.settings import TrainingSettings


@dataclass(frozen=True)
class Batch:
    """One training step's input.

    Attributes:
        images: Tensor[B, 3, H, W] uint8 RGB.
        targets: One per image, see `models.targets`, in pixels of the batch.
        faults: Images that could not be read and were replaced by others: (uri, reason).
        image_ids: Which images they are.
        pseudo: Which of them the machine labelled.
        weak: Tensor[P, 3, H, W] uint8, the weak views of those, where a teacher is to see them first; else None.
        mixing: The random stream of a mixup that is left to be done, since a teacher comes before it; else None.
    """

    images: Tensor
    targets: list[Target]
    faults: list[tuple[str, str]]
    image_ids: list[str]
    pseudo: list[bool]
    weak: Tensor | None = None
    mixing: int | None = None

    def pin_memory(self) -> Batch:
        """Lay the pixels where a GPU copies them from without a wait; called by the data loader."""
        weak = None if self.weak is None else self.weak.pin_memory()
        return replace(self, images=self.images.pin_memory(), weak=weak)


class BatchPlan(Dataset[Batch]):
    """The batches of a run by step.

    Args:
        images: Where images come from.
        settings: Batch size, the views of an image, mixup and the share of pseudo-labelled images.
        seed: The settings' seed.
        errors: How wrong a model is about images, 0 to 1 by their id; about others it is not. See `boosted`.

    Attributes:
        pseudo_labels: What of the pseudo-labels is learnt.

    Raises:
        DataError: There is nothing to learn from.
    """

    def __init__(
        self, images: TrainingImages, settings: TrainingSettings, seed: int, errors: Mapping[str, float] | None = None
    ) -> None:
        if not images.samples:
            raise DataError("Expected labelled images to train on, got none; import some with split train")
        self.pseudo_labels = bound_pseudo_labels(images.samples, settings)
        self._images = images.with_samples(self.pseudo_labels.samples)
        self._settings = settings
        self._seed = seed
        self._views = WeakStrongViews(self._images.samples, settings, seed)
        self._is_pseudo = [sample.state is State.PSEUDO for sample in images.samples]
        self._labeled, self._pseudo = (
            [index for index, is_pseudo in enumerate(self._is_pseudo) if is_pseudo == kind] for kind in (False, True)
        )
        self._worth = sum(_sureness(self._images.samples[index]) for index in self._pseudo)
        self._epochs = {kind: self._order(kind, errors or {}) for kind in (False, True)}
        self._rank, self._world = 0, 1
        self._burn_in = settings.burn_in_steps if self._labeled else 0

    def __len__(self) -> int:
        """Parts of all batches of the run."""
        return self._settings.steps * self._settings.accumulate

    def __getitem__(self, part: int) -> Batch:
        """Make one part of the batch of one step, or all of it where it has but one.

        Raises:
            DataError: No image at all can be read.
        """
        settings, faults = self._settings, list[tuple[str, str]]()
        step, first = divmod(part, settings.accumulate)
        stream, streams = part * self._world + self._rank, settings.accumulate * self._world
        indices, progress = self.indices(step), step / settings.steps
        names, pseudo, views = [], [], []
        for number in range(first * self._world + self._rank, settings.batch_size, streams):
            index, item = self._readable(indices[number], faults)
            slot = Slot(step, number, self._is_pseudo[index], step < self._burn_in, progress)
            names.append(self._images.samples[index].image_id)
            pseudo.append(slot.is_pseudo)
            views.append(self._views.make(item, slot, self._loader(faults)))
        images, targets = collate([strong for _, strong in views])
        weak = self._weak(views, pseudo, images) if settings.teacher.enabled and any(pseudo) else None
        mixing = stream if is_on(settings.mixup, progress) else None
        if mixing is not None and weak is None:
            images, targets = mixup(images, targets, settings.mixup, self._seed, mixing, pseudo)
            mixing = None
        scale = scale_of(settings.multiscale, self._seed, step, progress)
        images, targets = rescale(images, targets, scale)
        weak = None if weak is None else rescale(weak, [], scale)[0]
        return Batch(images, targets, faults, names, pseudo, weak, mixing)

    def of_rank(self, rank: int, world: int) -> BatchPlan:
        """The share of one of several processes: other slots of the same batches."""
        share = copy(self)
        share._rank, share._world = rank, world
        return share

    def of_length(self, steps: int) -> BatchPlan:
        """The same batches in a run of so many steps; what is on for a share of a run is on for another while."""
        other = copy(self)
        other._settings = self._settings.model_copy(update={"steps": steps})
        return other

    def indices(self, step: int) -> list[int]:
        """Which images step `step` shows: whole epochs in random order, pseudo-labelled ones capped."""
        size, (first, last) = self._settings.batch_size, (self._pseudo_shown(step), self._pseudo_shown(step + 1))
        labeled = self._epochs[False].between(step * size - first, (step + 1) * size - last)
        return labeled + self._epochs[True].between(first, last)

    def _pseudo_shown(self, steps: int) -> int:
        """How many pseudo-labelled images so many steps show: none while burning in, later at most a share.

        In their natural share images count by how sure their boxes are: many that are hardly surer than the toss of a
        coin are shown as seldom as a few sure ones. A share under one a batch adds up over the steps.
        """
        shown = max(0, steps - self._burn_in) * self._settings.batch_size
        if not self._labeled:
            return shown
        natural = shown * self._worth / (len(self._labeled) + self._worth)
        return math.floor(min(natural, shown * self._settings.pseudo_share))

    def _order(self, kind: bool, errors: Mapping[str, float]) -> Epochs:
        members = np.array(self._pseudo if kind else self._labeled, dtype=np.int64)
        repeated, samples = self._settings.repeat_factor, [self._images.samples[index] for index in members]
        factors = repeat_factors(samples, repeated.threshold) if repeated.enabled else np.ones(len(members))
        wrong = np.array([errors.get(sample.image_id, 0.0) for sample in samples], dtype=np.float64)
        factors = boosted(factors, wrong, self._settings.boosting)
        return Epochs(members, factors, self._seed, "pseudo" if kind else "labeled")

    def _readable(self, index: int, faults: list[tuple[str, str]]) -> tuple[int, LabeledPixels]:
        """The image, or the next one of its kind that can be read, or any."""
        load = self._loader(faults)
        item = load(index)
        if item is not None:
            return index, item
        own, others = (self._labeled, self._pseudo)[:: -1 if self._is_pseudo[index] else 1]
        place = own.index(index)
        for candidate in (*own[place + 1 :], *own[:place], *others):
            item = load(candidate)
            if item is not None:
                return candidate, item
        raise DataError(f"Expected images to train on, none of {len(self._images.samples)} can be read: {faults[0]}")

    def _loader(self, faults: list[tuple[str, str]]) -> Load:
        def load(index: int) -> LabeledPixels | None:
            try:
                return self._images.load(index)
            except ImageFault as fault:
                faults.append((fault.uri, fault.reason))
                return None

        return load

    @staticmethod
    def _weak(views: list[tuple[LabeledPixels, LabeledPixels]], pseudo: list[bool], images: Tensor) -> Tensor:
        """Weak views of the pseudo-labelled images in the frame of the batch."""
        weak = stack_images([weak.pixels for (weak, _), is_pseudo in zip(views, pseudo, strict=True) if is_pseudo])
        missing = (0, images.shape[-1] - weak.shape[-1], 0, images.shape[-2] - weak.shape[-2])
        return F.pad(weak, missing, value=FILL)


def collate(items: Sequence[LabeledPixels]) -> tuple[Tensor, list[Target]]:
    """Put images with their targets in one batch.

    Args:
        items: At least one.

    Returns:
        Tensor[B, 3, H, W] uint8, padded at the right and below, and the targets.
    """
    return stack_images([item.pixels for item in items]), [item.target() for item in items]


def batches(plan: BatchPlan, first_part: int, workers: int) -> Iterator[Batch]:
    """Walk through a run's batches, prepared by worker processes where set.

    Args:
        plan: The run.
        first_part: Where to begin.
        workers: Processes; 0 prepares in this one. The batches are the same for any number.

    Returns:
        The batches from there on.
    """
    if multiprocessing.current_process().daemon:
        workers = 0  # a worker of a runner may have no children
    return iter(
        DataLoader(
            plan,
            batch_size=None,
            sampler=range(first_part, len(plan)),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
    )


def _sureness(sample: Sample) -> float:
    """That of its boxes, on average."""
    return fmean(box.sureness for box in sample.boxes) if sample.boxes else 0.0
