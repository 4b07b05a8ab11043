"""COCO average precision on a labelled split."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO
from faster_coco_eval import COCOeval_faster as COCOeval
from numpy.typing import NDArray
from torch import Tensor

from pipeline.detector.predict import Predictor, detect_pictures
from pipeline.detector.stream import Fault
from pipeline.records import Sample


@dataclass(frozen=True)
class Metrics:
    """Average precision on one split; COCO's definitions, 0 to 1, -1 where there is no true box.

    Attributes:
        map: Mean over classes and IoU 0.50 to 0.95.
        map50: At IoU 0.5.
        map75: At IoU 0.75.
        map_small: Objects under 32 x 32 pixels.
        map_medium: Objects under 96 x 96 pixels.
        map_large: Larger objects.
        per_class: `ap`, `ap50` and `n` (true boxes) by class name.
        images: Pictures that were evaluated.
        boxes: True boxes in them.
        faults: Pictures that could not be read: (uri, reason).
    """

    map: float
    map50: float
    map75: float
    map_small: float
    map_medium: float
    map_large: float
    per_class: dict[str, dict[str, float]]
    images: int
    boxes: int
    faults: tuple[tuple[str, str], ...] = ()


def evaluate(predictor: Predictor, samples: Sequence[Sample], *, max_pixels: int, threads: int = 2) -> Metrics:
    """Detect in labelled pictures and measure average precision.

    Args:
        predictor: The detector.
        samples: Labelled pictures; may be empty.
        max_pixels: A larger picture is refused.
        threads: Pictures decoded at once.

    Returns:
        The metrics. Ignore regions neither help nor hurt, as COCO's crowds. A class that the detector does not know
        is one of which it finds nothing.
    """
    known = predictor.detector.labels
    labels = [*known, *sorted({box.label for sample in samples for box in sample.boxes}.difference(known))]
    faults: list[Fault] = []
    number = {sample.image_id: index + 1 for index, sample in enumerate(samples)}
    rows: list[NDArray[np.float64]] = []
    refs = [sample.ref for sample in samples]
    for batch, found in detect_pictures(predictor, refs, max_pixels=max_pixels, threads=threads, faults=faults):
        for index, (ref, one) in enumerate(zip(batch.refs, found, strict=True)):
            rows.append(_result_rows(number[ref.image_id], batch.to_original(index, one.boxes), one.scores, one.labels))
    unread = {ref.image_id for ref, _ in faults}
    truth = _truth([sample for sample in samples if sample.image_id not in unread], labels, number)
    return _summarize(truth, np.concatenate([*rows, np.zeros((0, 7))]), labels, faults)


def _result_rows(image_number: int, boxes: Tensor, scores: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """COCO's result rows: image, x, y, width, height, score, category."""
    corners = boxes.double().numpy()
    first = np.full((len(corners), 1), image_number)
    sides = corners[:, 2:] - corners[:, :2]
    return np.hstack([first, corners[:, :2], sides, scores.double().numpy()[:, None], labels.numpy()[:, None]])


def _truth(samples: Sequence[Sample], labels: Sequence[str], number: dict[str, int]) -> dict[str, Any]:
    category = {label: index + 1 for index, label in enumerate(labels)}
    annotations: list[dict[str, Any]] = []
    for sample in samples:
        marked = [(box.xyxy, [category[box.label]], 0) for box in sample.boxes]
        marked += [(region.xyxy, list(category.values()), 1) for region in sample.ignore]
        for (x1, y1, x2, y2), categories, crowd in marked:
            common: dict[str, Any] = {
                "image_id": number[sample.image_id],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": crowd,
            }
            annotations += [{**common, "category_id": one} for one in categories]
    for index, annotation in enumerate(annotations):
        annotation["id"] = index + 1
    images: list[dict[str, Any]] = [{"id": number[s.image_id], "width": s.width, "height": s.height} for s in samples]
    named: list[dict[str, Any]] = [{"id": index, "name": label} for label, index in category.items()]
    return {"images": images, "annotations": annotations, "categories": named}


def _summarize(
    truth: dict[str, Any], results: NDArray[np.float64], labels: Sequence[str], faults: list[Fault]
) -> Metrics:
    true_labels = [annotation["category_id"] for annotation in truth["annotations"] if not annotation["iscrowd"]]
    counts = np.bincount(np.array(true_labels, dtype=np.int64), minlength=len(labels) + 1)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(truth)
        evaluation = COCOeval(known, known.loadRes(results), iouType="bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats, precision = evaluation.stats, evaluation.eval["precision"]
    per_class = {
        label: {
            "ap": _mean(precision[:, :, k, 0, -1]),
            "ap50": _mean(precision[0, :, k, 0, -1]),
            "n": int(counts[k + 1]),
        }
        for k, label in enumerate(labels)
    }
    over_all = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
    return Metrics(
        **{name: float(value) for name, value in zip(over_all, stats[:6], strict=True)},
        per_class=per_class,
        images=len(truth["images"]),
        boxes=int(counts.sum()),
        faults=tuple((ref.uri, reason) for ref, reason in faults),
    )


def _mean(precision: NDArray[np.float64]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else -1.0
