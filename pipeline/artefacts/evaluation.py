"""How good a detector is on a labelled split, and whether it became champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord

HELD_BACK = "held back"
"""What is measured by a committee, beside the splits."""
Interval = tuple[float, float]
"""Lower and upper end, 95 %."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Average precision of one class, 0 to 1; None where there is no true box of that size.

    Attributes:
        ap: Mean over IoU 0.50 to 0.95.
        ap50: At IoU 0.50.
        ap_small: Of objects under 32 x 32 pixels.
        ap_medium: Of objects under 96 x 96 pixels.
        ap_large: Of larger objects.
        boxes: True boxes.
        interval: Of `ap`, over images.
    """

    ap: float | None
    ap50: float | None
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    boxes: int = 0
    interval: Interval | None = None


ERROR_TYPES = {
    "classification": "in the right place, of the wrong class",
    "localisation": "of the right class, in a place that is not quite right",
    "both": "of the wrong class, in a place that is not quite right",
    "duplicate": "another detection of an object that was found",
    "background": "where nothing is",
    "missed": "objects that were not found",
}
"""Each type of error of `ErrorCost`, in words."""


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """One type of error (TIDE, arXiv 2008.08115).

    Attributes:
        count: How often it is made, at any confidence.
        ap50: What mean AP50 would gain if only this were put right, 0 to 1.
    """

    count: int
    ap50: float


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves as numbers, at IoU 0.5.

    Attributes:
        precision_recall: By class name, precision at recall 0 to 1 in equal steps.
        reliability: One row per range of confidence: (mean confidence, share right, detections).
    """

    precision_recall: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reliability: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good a detector is on one split; COCO's definitions, 0 to 1, None where there is no true box.

    Attributes:
        map: Mean over classes and IoU 0.50 to 0.95.
        map50: At IoU 0.50.
        map75: At IoU 0.75.
        map_small: Of objects under 32 x 32 pixels.
        map_medium: Of objects under 96 x 96 pixels.
        map_large: Of larger objects.
        images: Images that were evaluated.
        boxes: True boxes in them.
        per_class: By class name.
        interval: Of `map`, over images; None where it cannot be estimated.
        errors: By type of error.
        confusions: By class of an object, how many detections in its place are of which other class, at any confidence;
            empty in older files.
        curves: Precision against recall, and reliability.
        faults: Images that could not be read: (uri, reason).
    """

    map: float | None
    map50: float | None
    map75: float | None
    map_small: float | None = None
    map_medium: float | None = None
    map_large: float | None = None
    images: int = 0
    boxes: int = 0
    per_class: Mapping[str, ClassMetrics] = field(default_factory=dict)
    interval: Interval | None = None
    errors: Mapping[str, ErrorCost] = field(default_factory=dict)
    confusions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)
    faults: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ForgottenClass:
    """A class that the candidate surely finds less well than the champion.

    Attributes:
        label: The class.
        before: Its AP with the champion.
        after: Its AP with the candidate.
        interval: Of the difference; both ends are below 0.
    """

    label: str
    before: float
    after: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class GateOutcome(StageRecord):
    """How the candidate did and whether it became champion.

    Attributes:
        candidate: The model that this cycle trained.
        champion: The model it had to match; None where there was none.
        promoted: Whether the candidate is the champion now.
        why: The gate's reason, in words.
        val: The candidate on val.
        test: The candidate on test.
        champion_val: The old champion on val; None where there was none.
        gap: What the candidate gains in mAP over the champion; None where not measured.
        forgotten: Classes that the candidate forgets, the largest loss first.
        held_back: What the candidate's committee finds in held-back images, each member in those that it has not
            learnt; None without a committee.
        champion_held_back: The same of the champion's committee; None where it has none.
    """

    FILE: ClassVar[str] = "metrics.json"
    MADE_BY: ClassVar[str] = "crosscheck finetune"

    candidate: str
    champion: str | None
    promoted: bool
    why: str
    val: Metrics
    test: Metrics
    champion_val: Metrics | None = None
    gap: Interval | None = None
    forgotten: tuple[ForgottenClass, ...] = ()
    held_back: Metrics | None = None
    champion_held_back: Metrics | None = None

    def on(self, split: str) -> Metrics | None:
        """The candidate on `val` or `test`, its committee on `held back` images; None where there is no true box."""
        metrics = {"val": self.val, "test": self.test, HELD_BACK: self.held_back}[split]
        return metrics if metrics and metrics.boxes else None
