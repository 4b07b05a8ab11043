"""Everything that is measured of a detector on a labelled split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.artefacts import Metrics
from pipeline.detector.evaluation.average_precision import coco_average_precision
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.curves import measure_curves
from pipeline.detector.evaluation.error_types import measure_errors
from pipeline.detector.evaluation.labeled_detections import LabeledDetections, detect_labeled
from pipeline.detector.evaluation.matching import match
from pipeline.detector.inference.predictor import Predictor
from pipeline.records import Sample


def measure(detections: LabeledDetections, seed: int = 0) -> Metrics:
    """Measure a detector by what it found.

    Args:
        detections: What was found in labelled images, beside the truth. Ignore regions neither help nor hurt, as
            COCO's crowds. A class that the detector does not know is one of which it finds nothing.
        seed: Of the intervals.

    Returns:
        The metrics.
    """
    overall, per_class = coco_average_precision(detections)
    matches = match(detections)
    errors = measure_errors(detections, matches)
    drawn = drawn_ap(matches, draw_images(len(detections.image_ids), seed))
    return Metrics(
        **overall,
        images=len(detections.image_ids),
        boxes=len(detections.true_classes),
        per_class={
            label: replace(metrics, interval=interval(drawn[:, number]))
            for number, (label, metrics) in enumerate(per_class.items())
        },
        interval=interval(drawn_map(drawn)),
        errors=errors.costs,
        confusions=errors.confusions,
        curves=measure_curves(matches),
        faults=detections.faults,
    )


def map_on(predictor: Predictor, samples: Sequence[Sample]) -> float | None:
    """Mean average precision of a detector on labelled images; None where they hold no object."""
    return coco_average_precision(detect_labeled(predictor, samples))[0]["map"] if samples else None
