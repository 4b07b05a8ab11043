"""Detections beside the truth, as arrays: what every measure of a detector starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.detector.inference.predictor import Predictor, detect_images
from pipeline.detector.inference.stream import Fault
from pipeline.records import Sample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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


def judge(predictor: Predictor, samples: Sequence[Sample], *, max_pixels: int, threads: int = 2) -> LabeledDetections:
    """Detect in labelled images.

    Args:
        predictor: The detector.
        samples: Labelled images; may be empty.
        max_pixels: A larger image is refused.
        threads: Images decoded at once.

    Returns:
        Its detections beside the truth. Labels that the detector does not know come after those that it knows.
    """
    known = predictor.detector.labels
    labels = (*known, *sorted({box.label for sample in samples for box in sample.boxes}.difference(known)))
    faults: list[Fault] = []
    found: dict[str, tuple[Floats, Floats, Ints]] = {}
    refs = [sample.ref for sample in samples]
    for batch, detections in detect_images(predictor, refs, max_pixels=max_pixels, threads=threads, faults=faults):
        for index, (ref, one) in enumerate(zip(batch.refs, detections, strict=True)):
            corners = batch.to_original(index, one.boxes).double().numpy()
            found[ref.image_id] = (corners, one.scores.double().numpy(), one.labels.numpy())
    readable = [sample for sample in samples if sample.image_id in found]
    told = [found[sample.image_id] for sample in readable]
    number = {label: index for index, label in enumerate(labels, 1)}
    return LabeledDetections(
        labels=labels,
        image_ids=tuple(sample.image_id for sample in readable),
        sizes=np.array([(sample.width, sample.height) for sample in readable], dtype=np.int64).reshape(-1, 2),
        image=_images([len(scores) for _, scores, _ in told]),
        boxes=_corners([corners for corners, _, _ in told]),
        scores=np.concatenate([np.zeros(0), *(scores for _, scores, _ in told)]),
        classes=np.concatenate([np.zeros(0, np.int64), *(classes for *_, classes in told)]),
        true_image=_images([len(sample.boxes) for sample in readable]),
        true_boxes=_corners([[box.xyxy for box in sample.boxes] for sample in readable]),
        true_classes=np.array([number[box.label] for one in readable for box in one.boxes], dtype=np.int64),
        region_image=_images([len(sample.ignore) for sample in readable]),
        regions=_corners([[region.xyxy for region in sample.ignore] for sample in readable]),
        faults=tuple((ref.uri, reason) for ref, reason in faults),
    )


def _images(counts: Sequence[int]) -> Ints:
    return np.repeat(np.arange(len(counts), dtype=np.int64), np.array(counts, dtype=np.int64))


def _corners(parts: Sequence[object]) -> Floats:
    return np.concatenate([np.zeros((0, 4)), *(np.asarray(one, dtype=np.float64).reshape(-1, 4) for one in parts)])
