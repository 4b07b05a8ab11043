"""Everything that is measured of a detector on a labelled split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.detector.evaluation.average_precision import average_precision
from pipeline.detector.evaluation.bootstrap import draw_images, drawn_ap, drawn_map, interval
from pipeline.detector.evaluation.curves import precision_recall, reliability
from pipeline.detector.evaluation.error_types import error_types
from pipeline.detector.evaluation.labeled_detections import LabeledDetections, judge
from pipeline.detector.evaluation.matching import match
from pipeline.detector.inference.predictor import Predictor
from pipeline.records import Sample


@dataclass(frozen=True)
class Metrics:
    """How good a detector is on one split; COCO's definitions, 0 to 1, -1 where there is no true box.

    Attributes:
        map: Mean over classes and IoU 0.50 to 0.95.
        map50: At IoU 0.5.
        map75: At IoU 0.75.
        map_small: Objects under 32 x 32 pixels.
        map_medium: Objects under 96 x 96 pixels.
        map_large: Larger objects.
        per_class: By class name `ap`, `ap50`, `ap_small`, `ap_medium`, `ap_large`, `n` (true boxes) and `interval`.
        images: Images that were evaluated.
        boxes: True boxes in them.
        faults: Images that could not be read: (uri, reason).
        interval: 95 % of `map` over images, see `intervals`; None where it cannot be told.
        errors: By kind of mistake its `count` and what its absence would be worth in `ap50`, see `error_types`.
        curves: `precision_recall` by class name and `reliability`, see `curves`.
    """

    map: float
    map50: float
    map75: float
    map_small: float
    map_medium: float
    map_large: float
    per_class: dict[str, dict[str, Any]]
    images: int
    boxes: int
    faults: tuple[tuple[str, str], ...] = ()
    interval: tuple[float, float] | None = None
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)


def evaluate(
    predictor: Predictor, samples: Sequence[Sample], *, max_pixels: int, threads: int = 2, seed: int = 0
) -> Metrics:
    """Detect in labelled images and measure.

    Args:
        predictor: The detector.
        samples: Labelled images; may be empty.
        max_pixels: A larger image is refused.
        threads: Images decoded at once.
        seed: Of the intervals.

    Returns:
        The metrics. Ignore regions neither help nor hurt, as COCO's crowds. A class that the detector does not know
        is one of which it finds nothing.
    """
    return measure(judge(predictor, samples, max_pixels=max_pixels, threads=threads), seed)


def measure(judged: LabeledDetections, seed: int = 0) -> Metrics:
    """Measure a detector by what it found.

    Args:
        judged: Detections beside the truth.
        seed: Of the intervals.

    Returns:
        The metrics.
    """
    overall, per_class = average_precision(judged)
    matches = match(judged)
    drawn = drawn_ap(matches, draw_images(len(judged.image_ids), seed))
    counts = matches.true_boxes.sum(0).tolist()
    return Metrics(
        **overall,
        per_class={
            label: {**values, "n": count, "interval": interval(drawn[:, number])}
            for number, ((label, values), count) in enumerate(zip(per_class.items(), counts, strict=True))
        },
        images=len(judged.image_ids),
        boxes=sum(counts),
        faults=judged.faults,
        interval=interval(drawn_map(drawn)),
        errors={kind: asdict(one) for kind, one in error_types(judged, matches).items()},
        curves={"precision_recall": precision_recall(matches), "reliability": reliability(matches)},
    )
