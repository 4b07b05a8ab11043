"""How people treat the machine's boxes, and what their answers take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.artefacts.audits import AuditCount
from pipeline.artefacts.sums import Sums


@dataclass(frozen=True, slots=True)
class AcceptanceCount(Sums):
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
        shown_squared: Sum over images of `shown`, squared: one key accepts all boxes of an image.
        blind_squared: The same of `blind`.
    """

    shown: int = 0
    accepted: int = 0
    corrected: int = 0
    deleted: int = 0
    added: int = 0
    blind: int = 0
    confirmed: int = 0
    missed: int = 0
    shown_squared: int = 0
    blind_squared: int = 0

    @property
    def unchanged(self) -> AuditCount:
        """Share of the boxes seen that people left as they were."""
        return AuditCount(self.shown, self.accepted, self.shown_squared)

    @property
    def confirmation(self) -> AuditCount:
        """Share of the boxes not seen that people drew too."""
        return AuditCount(self.blind, self.confirmed, self.blind_squared)

    @property
    def is_rubber_stamped(self) -> bool:
        """Whether people surely leave more boxes as they are than they would draw: the intervals do not meet."""
        seen, unseen = self.unchanged.interval, self.confirmation.interval
        return seen is not None and unseen is not None and seen[0] > unseen[1]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How people treat the machine's boxes, in all answers so far.

    Attributes:
        shown_images: Answered images on which people saw them.
        blind_images: Answered images on which they were withheld.
        classes: By class name.
    """

    shown_images: int = 0
    blind_images: int = 0
    classes: Mapping[str, AcceptanceCount] = field(default_factory=dict)

    @property
    def total(self) -> AcceptanceCount:
        """All classes together; intervals take boxes of different classes in one image for independent."""
        return sum(self.classes.values(), AcceptanceCount())


@dataclass(frozen=True, slots=True)
class AnswerPace:
    """Answers to one kind of task, or of one person.

    Attributes:
        answered: Answers that are no skips.
        skipped: Skips.
        boxes: In the answers.
        in_part: Verified images that stay open in part.
        timed: Answers that state their time.
        median_s: Median seconds of these; None without.
        compared: Answers of other people to the same images.
        agreement: Mean agreement with these, 0 to 1; None without.
    """

    answered: int = 0
    skipped: int = 0
    boxes: int = 0
    in_part: int = 0
    timed: int = 0
    median_s: float | None = None
    compared: int = 0
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class People:
    """How people get on, in all answers so far: by kind of task and by person."""

    kinds: Mapping[str, AnswerPace] = field(default_factory=dict)
    annotators: Mapping[str, AnswerPace] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """A first answer that states its time: seconds spent, and boxes in it."""

    seconds: float
    boxes: int


@dataclass(frozen=True, slots=True)
class TimedAnswers(Sums):
    """Answers on images that were shown with the machine's boxes, and on images that were shown without."""

    with_boxes: tuple[TimedAnswer, ...] = ()
    without_boxes: tuple[TimedAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeSaved:
    """What the machine's boxes saved people: median seconds per box without them, less with them, times boxes.

    Attributes:
        hours: Negative where correcting takes longer than drawing; None without enough timed answers.
        seconds_with: Median seconds per box where the machine's were shown.
        seconds_without: Median seconds per box where they were not.
        answers_with: Timed answers behind `seconds_with`.
        answers_without: Timed answers behind `seconds_without`.
        missing: What an estimate would need, in words; empty for nothing.
    """

    hours: float | None = None
    seconds_with: float | None = None
    seconds_without: float | None = None
    answers_with: int = 0
    answers_without: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class PricedAnswers(Sums):
    """What answers take by the settings `labeling.seconds`, as they were given and had nothing been shown.

    Attributes:
        images: Answered images on which people saw machine boxes.
        with_boxes_s: Seconds to correct them and to draw what is missing.
        without_boxes_s: Seconds to draw every object.
    """

    images: int = 0
    with_boxes_s: float = 0.0
    without_boxes_s: float = 0.0

    @property
    def boxes_cost_time(self) -> bool:
        """Whether drawing everything would have been quicker."""
        return self.with_boxes_s > self.without_boxes_s
