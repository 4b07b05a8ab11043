"""What is known of p(correct) from held-back boxes, and what is promised of pseudo-labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.evaluation import Interval
from pipeline.errors import ArtefactError

Reliability = tuple[tuple[float, float, int], ...]
"""One row per bin: (mean score, share of right boxes, boxes)."""


@dataclass(frozen=True, slots=True)
class ScoreQuality:
    """How well one score tells right boxes from wrong ones; None where undefined (all boxes right, or all wrong).

    Attributes:
        auroc: Chance that a right box scores above a wrong one, 0.5 = chance, higher = better.
        auroc_interval: Of `auroc`, by bootstrap over images.
        ap: Average precision of the ranking, higher = better.
        ece: Expected calibration error, ten bins of equal mass, lower = better; raw scores have one too.
        brier: Mean squared error as a probability, lower = better.
        recall_at_p95: Largest share of true boxes kept at a precision of at least 0.95, higher = better.
        reliability: In ten bins of equal mass.
    """

    auroc: float | None
    auroc_interval: Interval | None = None
    ap: float | None = None
    ece: float | None = None
    brier: float | None = None
    recall_at_p95: float | None = None
    reliability: Reliability = ()


@dataclass(frozen=True, slots=True)
class Recall:
    """How many objects of one class and size are found.

    Attributes:
        label: Class name.
        size: `small`, `medium` or `large`, by area as COCO has it.
        objects: In held-back images.
        found: Those that a proposal matched, however unsure.
        lower: Of recall, with 95 % confidence, two-sided (Clopper-Pearson).
        upper: Likewise.
    """

    label: str
    size: str
    objects: int
    found: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Every score on held-back labelled boxes, out of fold.

    Attributes:
        boxes: Held-back boxes.
        scores: By name of the score.
        recall: One row per class and size.
        classes: By class name, then by name of the score (`crosscheck`, `consistency`), the reliability on boxes that
            were taken for it; empty in older files.
    """

    FILE: ClassVar[str] = "calibration.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    boxes: int
    scores: Mapping[str, ScoreQuality] = field(default_factory=dict)
    recall: tuple[Recall, ...] = ()
    classes: Mapping[str, Mapping[str, Reliability]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is promised for one class.

    Attributes:
        label: The class.
        certified: Whether any threshold could be certified.
        threshold: Least p(correct) of a pseudo-label; None where nothing is certified.
        boxes: Held-back boxes at or above the threshold (all of the class where nothing is certified).
        right: Right ones among them.
        lower_bound: Lower bound on precision; None where nothing is certified.
        needed: What would be needed, in words; empty where certified.
        effective_boxes: What the boxes are worth, counted as boxes that each stand alone in their image.
    """

    label: str
    certified: bool
    threshold: float | None
    boxes: int
    right: int
    lower_bound: float | None
    needed: str = ""
    effective_boxes: float | None = None


ALL_CLASSES = "all classes together"
"""In place of a class."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The promises of one calibration: they belong to one detector and one set of held-back images.

    Attributes:
        model_id: The detector.
        calibration_set: Hash of the held-back labels and of the settings that the promises rest on.
        target: Promised precision.
        confidence: Of each promise.
        correlation: Of the errors of two boxes of an image.
        classes: By class name.
        together: What is promised of the boxes of all classes that reach one threshold; None in older files.
        highest: By class name, `ALL_CLASSES` among them, the highest of a few precisions that is certified, each with
            its share of the risk; a class of which none is has no entry.
    """

    FILE: ClassVar[str] = "certificates.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    model_id: str
    calibration_set: str
    target: float
    confidence: float
    correlation: float
    classes: Mapping[str, Certificate]
    together: Certificate | None = None
    highest: Mapping[str, float] = field(default_factory=dict)

    def check(self, model_id: str, calibration_set: str) -> None:
        """Refuse to promise anything of another detector, or by other held-back labels.

        Args:
            model_id: The detector in use.
            calibration_set: Hash of the held-back labels and settings as they are now.

        Raises:
            ArtefactError: Either is another one.
        """
        remedy = "Calibrate again: drop the cycle with `crosscheck cycle --discard` and run it anew."
        if self.model_id != model_id:
            raise ArtefactError(
                f"Expected certificates for model {model_id}, got those of {self.model_id}. A certificate promises "
                f"nothing of another model. {remedy}"
            )
        if self.calibration_set != calibration_set:
            raise ArtefactError(
                f"Expected certificates from the calibration set {calibration_set}, got those from "
                f"{self.calibration_set}: held-back images, their labels or the settings have changed since. {remedy}"
            )
