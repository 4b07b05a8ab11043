"""What of the machine's boxes is learnt, and how: weights, unsure regions, and bounds on number and balance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from torchvision.ops import box_iou

from pipeline.boxes import as_boxes
from pipeline.records import Box, Region, Sample, State
from pipeline.settings import TrainingSettings

UNSURE = "unsure"
OF_MACHINE = {UNSURE, "weak"}
"""Reasons of ignore regions that stand for boxes which were not written."""
SAME_OBJECT_IOU = 0.4
"""A region that overlaps a pseudo-box so much stands for the same object, seen less well."""


@dataclass(frozen=True)
class PseudoLabels:
    """Images to learn from, their pseudo-boxes within bounds.

    Attributes:
        samples: As they came, in the same order; pseudo-boxes beyond a bound are ignore regions.
        kept: Pseudo-boxes by class.
        dropped: Pseudo-boxes beyond a bound, by class.
    """

    samples: list[Sample]
    kept: dict[str, int]
    dropped: dict[str, int]


def bound_pseudo_labels(samples: Sequence[Sample], settings: TrainingSettings) -> PseudoLabels:
    """Keep pseudo-labels within the bounds of the settings; labels of people are never touched.

    A box beyond a bound is surely something, so it becomes an ignore region and not background. Of a class that has
    too many, those stay that are likeliest right.

    Args:
        samples: Labelled and pseudo-labelled images.
        settings: `soft_weights`, `ignore_regions` and `pseudo_boxes`.

    Returns:
        What is left to learn.
    """
    people = Counter(box.label for sample in samples if sample.state is not State.PSEUDO for box in sample.boxes)
    machine = [
        (index, box) for index, sample in enumerate(samples) if sample.state is State.PSEUDO for box in sample.boxes
    ]
    few_an_image = [
        (index, box)
        for index, group in groupby(machine, key=lambda pair: pair[0])
        for box in _likeliest([box for _, box in group], settings.pseudo_boxes.per_image)
    ]
    kept = defaultdict(set)
    counts: Counter[str] = Counter()
    for index, box in _within_classes(few_an_image, people, settings):
        kept[index].add(box.box_id)
        counts[box.label] += 1
    dropped = Counter(box.label for _, box in machine)
    dropped.subtract(counts)
    bounded = [
        _bounded(sample, kept[index], settings) if sample.state is State.PSEUDO else sample
        for index, sample in enumerate(samples)
    ]
    return PseudoLabels(bounded, dict(sorted(counts.items())), dict(sorted((+dropped).items())))


def _within_classes(
    boxes: list[tuple[int, Box]], people: Counter[str], settings: TrainingSettings
) -> Iterator[tuple[int, Box]]:
    bounds, total = settings.pseudo_boxes, sum(people.values())
    for label in sorted({box.label for _, box in boxes}):
        own = [pair for pair in boxes if pair[1].label == label]
        drawn = max(1, people[label])
        most = (
            min(bounds.per_labeled_box * drawn, bounds.skew * drawn / max(1, total) * len(boxes)) if total else len(own)
        )
        yield from sorted(own, key=lambda pair: _certainty(pair[1]))[: max(1, int(most))]


def _likeliest(boxes: list[Box], most: int) -> list[Box]:
    return sorted(boxes, key=_certainty)[:most]


def _certainty(box: Box) -> tuple[float, str]:
    """Sorts the likeliest first; ids settle ties."""
    return (-box.certainty, box.box_id)


def _bounded(sample: Sample, kept: set[str], settings: TrainingSettings) -> Sample:
    regions = [region for region in sample.ignore if settings.ignore_regions or region.reason not in OF_MACHINE]
    beyond = [Region(*box.xyxy, UNSURE) for box in sample.boxes if box.box_id not in kept]
    boxes = [box for box in sample.boxes if box.box_id in kept]
    if not settings.soft_weights:
        boxes = [replace(box, p_correct=None) for box in boxes]
    return replace(sample, boxes=tuple(boxes), ignore=_of_other_objects([*regions, *beyond], boxes))


def _of_other_objects(regions: list[Region], boxes: list[Box]) -> tuple[Region, ...]:
    """Without the regions that stand for the object of a box.

    Misplaced detections of an object lie round its box: with these ignored, a detector does not learn to place it.
    """
    if not regions or not boxes:
        return tuple(regions)
    overlap = box_iou(as_boxes([region.xyxy for region in regions]), as_boxes([box.xyxy for box in boxes])).amax(1)
    pairs = zip(regions, overlap.tolist(), strict=True)
    return tuple(region for region, iou in pairs if iou < SAME_OBJECT_IOU or region.reason not in OF_MACHINE)
