"""Detections beside the truth, as arrays: what every measure of a detector starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.detector.inference.predictor import Predictor, detect_images
from pipeline.detector.inference.stream import Fault
from pipeline.records import Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Found = tuple[Floats, Floats, Ints]
"""Boxes, scores and classes of an image."""


@dataclass(frozen=True)
class LabeledDetections:
    """What was found in labelled images, and what is there. Boxes are `(x1, y1, x2, y2)` in pixels of the image.

    Attributes:
        labels: Class names; numbers of classes are 1, 2, ... in this order.
        image_ids: Images that could be read; the others have no part in this.
        sizes: int[I, 2], width and height of each.
        image: int[N], the image of each detection, from 0.
        boxes: float[N, 4].
        scores: float[N], 0 to 1; descending within an image.
        classes: int[N], from 1.
        true_image: int[M], the image of each true box.
        true_boxes: float[M, 4].
        true_classes: int[M], from 1.
        region_image: int[R], the image of each ignore region.
        regions: float[R, 4].
        faults: Images that could not be read: (uri, reason).
    """

    labels: tuple[str, ...]
    image_ids: tuple[str, ...]
    sizes: Ints
    image: Ints
    boxes: Floats
    scores: Floats
    classes: Ints
    true_image: Ints
    true_boxes: Floats
    true_classes: Ints
    region_image: Ints
    regions: Floats
    faults: tuple[tuple[str, str], ...] = ()


def detect_labeled(predictor: Predictor, samples: Sequence[Sample]) -> LabeledDetections:
    """Detect in labelled images.

    Args:
        predictor: The detector.
        samples: Labelled images; may be empty.

    Returns:
        Its detections beside the truth. Labels that the detector does not know come after those that it knows.
    """
    by_image: dict[str, Found] = {}
    faults = detect_into(by_image, predictor, samples)
    return beside_truth(predictor.labels, samples, by_image, faults)


def beside_truth(
    known: Sequence[str], samples: Sequence[Sample], by_image: Mapping[str, Found], faults: Sequence[Fault]
) -> LabeledDetections:
    """Put what was found in images beside what is there.

    Args:
        known: Labels that the detector knows.
        samples: The images.
        by_image: What was found in those that could be read, by their id.
        faults: The others.
    """
    labels = (*known, *sorted({box.label for sample in samples for box in sample.boxes}.difference(known)))
    readable = [sample for sample in samples if sample.image_id in by_image]
    found_in = [by_image[sample.image_id] for sample in readable]
    number = {label: index for index, label in enumerate(labels, 1)}
    return LabeledDetections(
        labels=labels,
        image_ids=tuple(sample.image_id for sample in readable),
        sizes=np.array([(sample.width, sample.height) for sample in readable], dtype=np.int64).reshape(-1, 2),
        image=_image_numbers([len(scores) for _, scores, _ in found_in]),
        boxes=_xyxy([boxes for boxes, _, _ in found_in]),
        scores=np.concatenate([np.zeros(0), *(scores for _, scores, _ in found_in)]),
        classes=np.concatenate([np.zeros(0, np.int64), *(classes for *_, classes in found_in)]),
        true_image=_image_numbers([len(sample.boxes) for sample in readable]),
        true_boxes=_xyxy([[box.xyxy for box in sample.boxes] for sample in readable]),
        true_classes=np.array([number[box.label] for sample in readable for box in sample.boxes], dtype=np.int64),
        region_image=_image_numbers([len(sample.ignore) for sample in readable]),
        regions=_xyxy([[region.xyxy for region in sample.ignore] for sample in readable]),
        faults=tuple((fault.ref.uri, fault.reason) for fault in faults),
    )


def detect_into(by_image: dict[str, Found], predictor: Predictor, samples: Sequence[Sample]) -> list[Fault]:
    """Add what is found in each image that can be read, by its id; the others are returned."""
    stream = predictor.stream(sample.ref for sample in samples)
    for batch, detections in detect_images(predictor, stream):
        for index, (ref, found) in enumerate(zip(batch.refs, detections, strict=True)):
            boxes = batch.to_original(index, found.boxes).double().numpy()
            by_image[ref.image_id] = (boxes, found.scores.double().numpy(), found.labels.numpy())
    return stream.faults


def _image_numbers(counts: Sequence[int]) -> Ints:
    return np.repeat(np.arange(len(counts), dtype=np.int64), np.array(counts, dtype=np.int64))


def _xyxy(parts: Sequence[object]) -> Floats:
    return np.concatenate([np.zeros((0, 4)), *(np.asarray(part, dtype=np.float64).reshape(-1, 4) for part in parts)])
