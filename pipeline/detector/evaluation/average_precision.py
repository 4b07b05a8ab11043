"""COCO's average precision, computed by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval import COCOeval_faster as COCOeval
from numpy.typing import NDArray

from pipeline.detector.evaluation.labeled_detections import LabeledDetections

OVERALL = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
SIZES = ("all", "small", "medium", "large")
"""Of objects: everything, under 32 x 32 pixels, under 96 x 96, larger."""
IOUS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10, dtype=np.float64)


def average_precision(judged: LabeledDetections) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Average precision by COCO's definitions, 0 to 1, -1 where there is no true box.

    Ignore regions neither help nor hurt, as COCO's crowds. A class that the detector does not know is one of which it
    finds nothing.

    Args:
        judged: Detections beside the truth.

    Returns:
        The means by the names of `OVERALL`, and by class name `ap`, `ap50`, and `ap_small`, `ap_medium`, `ap_large`.
    """
    corners = judged.boxes
    columns = (judged.image + 1, corners[:, :2], corners[:, 2:] - corners[:, :2], judged.scores, judged.classes)
    results = np.column_stack([np.asarray(one, dtype=np.float64) for one in columns])
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(_truth(judged))
        evaluation = COCOeval(known, known.loadRes(results), iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][..., -1]
    overall = {name: float(value) for name, value in zip(OVERALL, evaluation.stats[:6], strict=True)}
    return overall, {label: _of_class(precision[:, :, number]) for number, label in enumerate(judged.labels)}


def _of_class(precision: NDArray[np.float64]) -> dict[str, float]:
    by_size = {f"ap_{size}": _mean(precision[:, :, place]) for place, size in enumerate(SIZES)}
    return {"ap": by_size.pop("ap_all"), "ap50": _mean(precision[0, :, 0]), **by_size}


def _truth(judged: LabeledDetections) -> dict[str, Any]:
    classes = range(1, len(judged.labels) + 1)
    boxes = zip(judged.true_image.tolist(), judged.true_boxes.tolist(), judged.true_classes.tolist(), strict=True)
    marked = [(image, corners, label, 0) for image, corners, label in boxes]
    for image, corners in zip(judged.region_image.tolist(), judged.regions.tolist(), strict=True):
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
        for number, (width, height) in enumerate(judged.sizes.tolist(), 1)
    ]
    categories = [{"id": number, "name": label} for number, label in enumerate(judged.labels, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _mean(precision: NDArray[np.float64]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else -1.0
