"""Copy-paste for boxes (arXiv 2012.07177): objects of some images pasted into others, every class equally often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch

from pipeline.boxes import as_boxes, clip, grow, intersection, intersection_over_first, outward
from pipeline.detector.inference.rendering import render_window
from pipeline.detector.training.data.labeled_image import MIN_VISIBLE, LabeledPixels, hide, join
from pipeline.records import Sample, State
from pipeline.settings import CopyPasteSettings

PLACES = 10
"""Random places of which the one is taken that covers least."""
LARGEST_SHARE = 0.5
"""A paste fills at most this share of an image's width and height; a larger one is shrunk."""

Load = Callable[[int], LabeledPixels | None]
"""Gives an image by its number; None where it cannot be read."""


class CopyPaste:
    """Pastes objects of images that people labelled and, once that is allowed, boxes of the machine with their weights.

    The surer a box of the machine is, the more often it is drawn; one of a person counts as sure. An object whose
    surroundings show `MIN_VISIBLE` or more of another one is left where it is.

    Args:
        samples: Where objects come from.
        settings: How many, how large.
    """

    def __init__(self, samples: Sequence[Sample], settings: CopyPasteSettings) -> None:
        self._settings = settings
        self._labeled: dict[str, _Objects] = defaultdict(_Objects)
        self._all: dict[str, _Objects] = defaultdict(_Objects)
        for image, sample in enumerate(samples):
            for number in self._alone(sample):
                box, is_pseudo = sample.boxes[number], sample.state is State.PSEUDO
                worth = box.sureness if is_pseudo else 1.0
                for pool in (self._all, self._labeled)[: 1 if is_pseudo else 2] if worth else ():
                    pool[box.label].add(image, number, worth)

    def _alone(self, sample: Sample) -> list[int]:
        boxes = as_boxes([box.xyxy for box in sample.boxes])
        others = torch.cat([boxes, as_boxes([region.xyxy for region in sample.ignore])])
        shown = intersection_over_first(others, clip(grow(boxes, self._settings.margin), sample.width, sample.height))
        # Each object shows itself.
        return (shown >= MIN_VISIBLE).sum(0).eq(1).nonzero().flatten().tolist()

    def __call__(self, item: LabeledPixels, load: Load, random: np.random.Generator, *, pseudo: bool) -> LabeledPixels:
        """Paste into an image.

        Args:
            item: The image; left as it is.
            load: Reads the images that objects come from.
            random: Draws objects and places.
            pseudo: Whether boxes of the machine may be pasted.

        Returns:
            The image with up to `objects` more; what they cover becomes an ignore region where less than
            `MIN_VISIBLE` of it is seen.
        """
        pool = self._all if pseudo else self._labeled
        classes = sorted(pool)
        for _ in range(random.integers(1, self._settings.objects, endpoint=True) if classes else 0):
            image, number = pool[classes[random.integers(len(classes))]].draw(random)
            source = load(image)
            if source is not None:
                item = self._paste(item, source, number, random)
        return item

    def _paste(
        self, item: LabeledPixels, source: LabeledPixels, number: int, random: np.random.Generator
    ) -> LabeledPixels:
        height, width = source.pixels.shape[:2]
        box = source.boxes[number : number + 1]
        crop = outward(clip(grow(box, self._settings.margin), width, height))
        room = torch.tensor(item.pixels.shape[1::-1])
        sides = crop[0, 2:] - crop[0, :2]
        jitter = random.uniform(-self._settings.scale_jitter, self._settings.scale_jitter)
        factor = min(1 + jitter, float((room * LARGEST_SHARE / sides).min()))
        target_sides = (sides * factor).round().long().clamp(min=1)
        origins = torch.from_numpy((random.random((PLACES, 2)) * (room - target_sides + 1).numpy()).astype(np.int64))
        places = torch.cat([origins, origins + target_sides], dim=1)
        target = places[int(intersection(places.float(), item.boxes).sum(1).argmin())]
        whole = (0, 0, *room.tolist())
        pixels = render_window(
            source.pixels, item.pixels, crop[0].tolist(), target.tolist(), whole, self._settings.feather_px
        )
        factors = (target[2:] - target[:2]) / (crop[0, 2:] - crop[0, :2])
        pasted = source.only(number)
        pasted = pasted.moved((pasted.points() - crop[0, :2]) * factors + target[:2])
        return join(pixels, [hide(item, pixels, target[None]), pasted])


class _Objects:
    """Objects of one class, and how often each is drawn."""

    def __init__(self) -> None:
        self._places: list[tuple[int, int]] = []
        self._worth: list[float] = []

    def add(self, image: int, number: int, worth: float) -> None:
        """Add box `number` of an image; of two, one is drawn as much more often as it is worth more."""
        self._places.append((image, number))
        self._worth.append(worth)

    def draw(self, random: np.random.Generator) -> tuple[int, int]:
        """An image and the number of a box in it."""
        worth = np.array(self._worth)
        return self._places[random.choice(len(worth), p=None if worth.min() == 1 else worth / worth.sum())]
