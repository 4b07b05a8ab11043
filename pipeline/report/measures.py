"""What was measured of a model and its boxes, as records: training, precision, calibration, certificates, audits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator
from scipy.stats import binomtest

Interval = tuple[float, float]
"""Lower and upper end, 95 %."""


def _told(value: Any) -> Any:
    """COCO's evaluation says -1 where there is nothing to measure."""
    return None if value == -1 else value


Precision = Annotated[float | None, BeforeValidator(_told)]
"""0 to 1, higher = better; None where there is nothing to measure, which is also how -1 is read from a file."""


@dataclass(frozen=True, slots=True)
class Step:
    """One logged training step: its number, loss, the loss's parts by name and the learning rate."""

    step: int
    loss: float
    parts: Mapping[str, float] = field(default_factory=dict)
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """`training.json`: one fine-tuning run: its length, speed, logged steps and the settings used."""

    steps: int
    seconds: float
    images_per_s: float
    curve: tuple[Step, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Average precision of one class, over all its objects and by their size, and its number of true boxes."""

    ap: Precision
    ap50: Precision
    n: int
    ap_small: Precision = None
    ap_medium: Precision = None
    ap_large: Precision = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Mistakes:
    """One kind of mistake: how often it is made, and what mean AP50 would gain without it."""

    count: int
    ap50: float


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves as numbers.

    Attributes:
        precision_recall: By label, precision at recall 0 to 1 in equal steps.
        reliability: A row a range of confidence: (mean confidence, share right, detections).
    """

    precision_recall: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reliability: tuple[tuple[float, float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Metrics:
    """How good a model is on one split; COCO's average precision, 0 to 1, higher = better.

    Attributes:
        map: Mean over classes and IoU 0.50 to 0.95; means nothing where `boxes` is 0.
        map50: At IoU 0.50.
        map75: At IoU 0.75.
        images: Images evaluated.
        boxes: True boxes.
        map_small: Of small objects.
        map_medium: Of medium objects.
        map_large: Of large objects.
        per_class: By label.
        interval: Of `map`; None where not measured.
        errors: By kind of mistake.
        curves: Of all detections, at IoU 0.5.
    """

    map: float
    map50: float
    map75: float
    images: int
    boxes: int
    map_small: Precision = None
    map_medium: Precision = None
    map_large: Precision = None
    per_class: Mapping[str, ClassMetrics] = field(default_factory=dict)
    interval: Interval | None = None
    errors: Mapping[str, Mistakes] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A class that the new model surely finds less well: its AP with each model, and the interval of the difference."""

    label: str
    before: float
    after: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Gate:
    """`metrics.json`: how the new model did and whether it became champion.

    Attributes:
        candidate: Id of the model that this cycle trained.
        champion: Id of the model it had to match; None where there was none.
        promoted: Whether the candidate is the champion now.
        why: The gate's reason, in words.
        val: The candidate on val.
        test: The candidate on test; None without a test split.
        champion_val: The old champion on val; None where there was none.
        gap: What the new model gains in mAP over the champion on val; None where not measured.
        forgotten: Classes that it forgets.
    """

    candidate: str
    champion: str | None
    promoted: bool
    why: str
    val: Metrics
    test: Metrics | None = None
    champion_val: Metrics | None = None
    gap: Interval | None = None
    forgotten: tuple[Forgotten, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well one score tells right boxes from wrong ones; None where not measured.

    Attributes:
        auroc: Area under the ROC curve, 0.5 = chance, higher = better.
        ap: Average precision of the ranking, higher = better.
        ece: Expected calibration error, lower = better.
        brier: Mean squared error of the probability, lower = better.
        recall_at_p95: Share of the right boxes kept at a precision of 0.95, higher = better.
        auroc_interval: Of `auroc`.
    """

    auroc: float | None
    ap: float | None = None
    ece: float | None = None
    brier: float | None = None
    recall_at_p95: float | None = None
    auroc_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """How many held-back objects of one class and size any proposal found, with a 95 % interval of the share."""

    label: str
    size: str
    objects: int
    found: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`calibration.json`: every score on held-back labelled boxes, out of fold.

    Attributes:
        boxes: Held-back boxes.
        evidence: By name of the score.
        reliability: By name of the score, a row a bin: (mean probability, share right, boxes).
        recall: A row a class and size.
    """

    boxes: int
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    reliability: Mapping[str, tuple[tuple[float, float, int], ...]] = field(default_factory=dict)
    recall: tuple[Recall, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """The promise for the pseudo-labels of one class.

    Attributes:
        certified: Whether pseudo-labels of the class are allowed.
        threshold: On p(correct); None where not certified.
        boxes: Held-back boxes above the threshold.
        right: How many of them are right.
        lower_bound: Of their precision; None where not certified.
        needed: What is missing for a certificate, in words; None where certified.
    """

    certified: bool
    threshold: float | None
    boxes: int
    right: int
    lower_bound: float | None
    needed: str | None = None


@dataclass(frozen=True, slots=True)
class Certificates:
    """`certificates.json`: the promised precision, the confidence of the promise, and a certificate a class."""

    target: float
    confidence: float
    classes: Mapping[str, Certificate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditCount:
    """Pseudo-labels of one class held against what is true: how many, and how many are right."""

    boxes: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share that is right; None without boxes."""
        return self.right / self.boxes if self.boxes else None

    @property
    def interval(self) -> Interval | None:
        """Exact (Clopper-Pearson) 95 % interval of the precision; None without boxes."""
        if not self.boxes:
            return None
        ends = binomtest(self.right, self.boxes).proportion_ci(0.95, method="exact")
        return float(ends.low), float(ends.high)


@dataclass(frozen=True, slots=True)
class AcceptanceCount:
    """What people did with the machine's boxes of one class, seen and not seen.

    Attributes:
        shown: Boxes that people saw.
        accepted: Those that they left as they were.
        corrected: Those that they moved or gave another class.
        deleted: Those that they deleted.
        added: Boxes that they drew themselves beside the machine's.
        blind: Boxes that were withheld on blind tasks.
        confirmed: Those that people drew without seeing them.
        missed: Objects drawn on blind tasks that the machine would not have shown.
    """

    shown: int = 0
    accepted: int = 0
    corrected: int = 0
    deleted: int = 0
    added: int = 0
    blind: int = 0
    confirmed: int = 0
    missed: int = 0

    def __add__(self, other: AcceptanceCount) -> AcceptanceCount:
        """Sums, number by number."""
        return AcceptanceCount(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def unchanged(self) -> AuditCount:
        """Share of the boxes seen that people left as they were."""
        return AuditCount(self.shown, self.accepted)

    @property
    def confirmation(self) -> AuditCount:
        """Share of the boxes not seen that people drew too."""
        return AuditCount(self.blind, self.confirmed)

    @property
    def is_rubber_stamped(self) -> bool:
        """Whether people surely leave more boxes as they are than they would draw: the intervals do not meet."""
        seen, unseen = self.unchanged.interval, self.confirmation.interval
        return seen is not None and unseen is not None and seen[0] > unseen[1]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How people treat the machine's boxes, in all answers so far.

    Attributes:
        images: Answered images with boxes (`shown`) and without (`blind`).
        classes: By label.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, AcceptanceCount] = field(default_factory=dict)

    @property
    def everything(self) -> AcceptanceCount:
        """All classes together."""
        return sum(self.classes.values(), AcceptanceCount())
