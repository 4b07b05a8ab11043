"""COCO's average precision, computed by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval import COCOeval_faster as COCOeval
from numpy.typing import NDArray

from pipeline.artefacts import ClassMetrics
from pipeline.detector.evaluation.labeled_detections import LabeledDetections

OVERALL = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
SIZES = ("all", "small", "medium", "large")
"""Of objects: everything, under 32 x 32 pixels, under 96 x 96, larger."""


def coco_average_precision(detections: LabeledDetections) -> tuple[dict[str, float | None], dict[str, ClassMetrics]]:
    """Average precision by COCO's definitions, 0 to 1, None where there is no true box.

    Ignore regions neither help nor hurt, as COCO's crowds. A class that the detector does not know is one of which it
    finds nothing.

    Args:
        detections: What was found, beside the truth.

    Returns:
        The means by the names of `OVERALL`, and by class name what is known of it without its interval.
    """
    corners = detections.boxes
    columns = (
        detections.image + 1,
        corners[:, :2],
        corners[:, 2:] - corners[:, :2],
        detections.scores,
        detections.classes,
    )
    results = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(_truth(detections))
        evaluation = COCOeval(known, known.loadRes(results), iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][..., -1]
    # The library reports -1 where there is nothing to measure.
    stats = [float(value) if value > -1 else None for value in evaluation.stats[: len(OVERALL)]]
    boxes = np.bincount(detections.true_classes, minlength=len(detections.labels) + 1)[1:].tolist()
    per_class = {
        label: _of_class(precision[:, :, number], boxes[number]) for number, label in enumerate(detections.labels)
    }
    return dict(zip(OVERALL, stats, strict=True)), per_class


def _of_class(precision: NDArray[np.float64], boxes: int) -> ClassMetrics:
    every, small, medium, large = (_mean(precision[:, :, place]) for place in range(len(SIZES)))
    return ClassMetrics(every, _mean(precision[0, :, 0]), small, medium, large, boxes)


def _truth(detections: LabeledDetections) -> dict[str, Any]:
    classes = range(1, len(detections.labels) + 1)
    boxes = zip(
        detections.true_image.tolist(), detections.true_boxes.tolist(), detections.true_classes.tolist(), strict=True
    )
    marked = [(image, corners, label, 0) for image, corners, label in boxes]
    for image, corners in zip(detections.region_image.tolist(), detections.regions.tolist(), strict=True):
        marked += [(image, corners, label, 1) for label in classes]
    annotations: list[dict[str, Any]] = [
        {
            "id": number,
            "image_id": image + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": crowd,
            "category_id": label,
        }
        for number, (image, (x1, y1, x2, y2), label, crowd) in enumerate(marked, 1)
    ]
    images = [
        {"id": number, "width": width, "height": height}
        for number, (width, height) in enumerate(detections.sizes.tolist(), 1)
    ]
    categories = [{"id": number, "name": label} for number, label in enumerate(detections.labels, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _mean(precision: NDArray[np.float64]) -> float | None:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None
