"""What people were asked to review, and what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ReviewsAsked:
    """Every image that was ever sent to review.

    Attributes:
        versions: By `image_id`, the dataset version whose labels people were shown.
    """

    FILE: ClassVar[str] = "reviews_asked.json"
    MADE_BY: ClassVar[str] = "crosscheck review push"

    versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReviewWork:
    """What people found when they looked at labelled images again.

    Attributes:
        answered: Images that somebody looked at.
        skipped: Images that people declined.
        left_out: Answered images whose labels had changed meanwhile, so that the answer could not be taken in.
        changed: Images that held a mistake: a label was corrected, deleted or added.
        boxes: What became of the labels that people were shown, and what they `added`.
        hours: Time that people spent; None where unknown.
    """

    answered: int = 0
    skipped: int = 0
    left_out: int = 0
    changed: int = 0
    boxes: Mapping[str, int] = field(default_factory=dict)
    hours: float | None = None

    def __add__(self, other: ReviewWork) -> ReviewWork:
        """Sums; hours that are unknown take none away."""
        known = [hours for hours in (self.hours, other.hours) if hours is not None]
        return ReviewWork(
            answered=self.answered + other.answered,
            skipped=self.skipped + other.skipped,
            left_out=self.left_out + other.left_out,
            changed=self.changed + other.changed,
            boxes=dict(Counter(self.boxes) + Counter(other.boxes)),
            hours=sum(known) if known else None,
        )

    @property
    def mistaken(self) -> float | None:
        """Share of the images reviewed that held a mistake; None without images."""
        taken = self.answered - self.left_out
        return self.changed / taken if taken else None
