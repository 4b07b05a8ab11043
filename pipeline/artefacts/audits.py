"""Machine boxes held against what people say of them unseen, and what that does to the certificates of classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.evaluation import Interval
from pipeline.artefacts.stage import StageRecord
from pipeline.artefacts.sums import Sums


@dataclass(frozen=True, slots=True)
class AuditCount(Sums):
    """Machine boxes of one class held against what is true.

    Attributes:
        boxes: How many.
        right: Those that are right.
        squared: Sum over images of the number of their boxes, squared, where boxes of one image go right or wrong
            together; 0 where each stands alone.
    """

    boxes: int = 0
    right: int = 0
    squared: int = 0

    @property
    def precision(self) -> float | None:
        """Share that is right; None without boxes."""
        return self.right / self.boxes if self.boxes else None

    @property
    def interval(self) -> Interval | None:
        """Exact (Clopper-Pearson) 95 % interval of the precision; None without boxes.

        It counts what the boxes are worth, `boxes^2 / squared`: as many as there are images, where each has as many
        (Korn and Graubard, Survey Methodology, 1998; Kish's design effect of a correlation of 1).
        """
        if not self.boxes:
            return None
        from scipy.special import betaincinv  # time that `crosscheck status` need not wait for

        worth = self.boxes / self.squared if self.squared else 1.0
        right, wrong = self.right * worth, (self.boxes - self.right) * worth
        low = float(betaincinv(right, wrong + 1, 0.025)) if right else 0.0
        return low, float(betaincinv(right + 1, wrong, 0.975)) if wrong else 1.0


Audits = Mapping[str, AuditCount]
"""By class name."""


def add_audits(audits: Iterable[Audits]) -> dict[str, AuditCount]:
    """Sums by class name, names ascending."""
    total: dict[str, AuditCount] = {}
    for audit in audits:
        for label, count in audit.items():
            total[label] = total.get(label, AuditCount()) + count
    return dict(sorted(total.items()))


@dataclass(frozen=True, slots=True)
class ClassStanding:
    """Where a class stands with the people who audit it.

    Attributes:
        since: The cycle from whose questions on audits count: its first, or the last in which the class was withdrawn
            or came back.
        boxes: Audited boxes since then. Of a withdrawn class they are those that its certificate would have let
            through; they go on being audited.
        right: Right ones among them.
        withdrawn_in: The cycle that withdrew it; None for a class in good standing.
        failed_boxes: Audited boxes when it was withdrawn.
        failed_right: Right ones among them.
        objects: Held-back objects of the class when it was withdrawn.
        needed: Why it was withdrawn and what brings it back, in words; empty for a class in good standing.
    """

    since: int = 0
    boxes: int = 0
    right: int = 0
    withdrawn_in: int | None = None
    failed_boxes: int = 0
    failed_right: int = 0
    objects: int = 0
    needed: str = ""

    @property
    def withdrawn(self) -> bool:
        """Whether the class gets no pseudo-labels."""
        return self.withdrawn_in is not None


@dataclass(frozen=True, slots=True)
class Standings:
    """Which classes keep their certificates, by class name."""

    FILE: ClassVar[str] = "standing.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    classes: Mapping[str, ClassStanding] = field(default_factory=dict)

    @property
    def withdrawn(self) -> list[str]:
        """Classes that get no pseudo-labels."""
        return [label for label, standing in self.classes.items() if standing.withdrawn]


@dataclass(frozen=True, kw_only=True)
class HiddenTruthAudit(StageRecord):
    """In a simulation, pseudo-labels held against the hidden truth, by class; None where nobody knows the truth."""

    FILE: ClassVar[str] = "hidden_truth.json"

    labels: Audits | None = None
