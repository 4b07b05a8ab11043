"""What people were asked and what they answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from pipeline.artefacts.evaluation import Interval
from pipeline.artefacts.review import ReviewWork
from pipeline.artefacts.stage import StageRecord


@dataclass(frozen=True, slots=True)
class AuditCount:
    """Machine boxes of one class held against what is true: how many, and how many are right."""

    boxes: int = 0
    right: int = 0

    def __add__(self, other: AuditCount) -> AuditCount:
        """Sums, number by number."""
        return AuditCount(self.boxes + other.boxes, self.right + other.right)

    @property
    def precision(self) -> float | None:
        """Share that is right; None without boxes."""
        return self.right / self.boxes if self.boxes else None

    @property
    def interval(self) -> Interval | None:
        """Exact (Clopper-Pearson) 95 % interval of the precision; None without boxes."""
        if not self.boxes:
            return None
        from scipy.stats import binomtest  # half a second that `crosscheck status` need not wait for

        ends = binomtest(self.right, self.boxes).proportion_ci(0.95, method="exact")
        return float(ends.low), float(ends.high)


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
        return AcceptanceCount(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

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
        shown_images: Answered images on which people saw them.
        blind_images: Answered images on which they were withheld.
        classes: By class name.
    """

    shown_images: int = 0
    blind_images: int = 0
    classes: Mapping[str, AcceptanceCount] = field(default_factory=dict)

    @property
    def total(self) -> AcceptanceCount:
        """All classes together."""
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
class TimedAnswers:
    """Answers on images that were shown with the machine's boxes, and on images that were shown without."""

    with_boxes: tuple[TimedAnswer, ...] = ()
    without_boxes: tuple[TimedAnswer, ...] = ()

    def __add__(self, other: TimedAnswers) -> TimedAnswers:
        """Those of several harvests together."""
        return TimedAnswers((*self.with_boxes, *other.with_boxes), (*self.without_boxes, *other.without_boxes))


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
class PricedAnswers:
    """What answers take by the settings `labeling.seconds`, as they were given and had nothing been shown.

    Attributes:
        images: Answered images on which people saw machine boxes.
        with_boxes_s: Seconds to correct them and to draw what is missing.
        without_boxes_s: Seconds to draw every object.
    """

    images: int = 0
    with_boxes_s: float = 0.0
    without_boxes_s: float = 0.0

    def __add__(self, other: PricedAnswers) -> PricedAnswers:
        """Sums, number by number."""
        return PricedAnswers(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def boxes_cost_time(self) -> bool:
        """Whether drawing everything would have been quicker."""
        return self.with_boxes_s > self.without_boxes_s


@dataclass(frozen=True, slots=True)
class AnswerRemark:
    """Why a person should look at an answer again.

    Attributes:
        kind: `fast`, `unchanged`, `overlapping`, `empty` or `disagreement`.
        image_id: The image.
        uri: Where it lies; empty where the sample table does not have it.
        annotator: Who answered.
        text: What was found, in words.
        link: Address of the task in the labelling tool; empty where there is none.
    """

    kind: str
    image_id: str
    uri: str
    annotator: str
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class HarvestSummary:
    """What one harvest took in; kept beside its answers, numbered over the whole project.

    Attributes:
        answered: Images answered, empty ones included.
        skipped: Images that people declined.
        empty: Images answered "nothing here".
        boxes: Boxes that became labels, by source; those of answers that do not count are left out.
        hours: Time that people spent; None where unknown.
        timed: Answers that state their time.
        priced: What the answers take by the settings, with the machine's boxes and without.
        agreements: How far the last two people agree, 0 to 1, for each image that several answered.
        asked_again: Images that were opened for one person more.
        annotators: Answers, by person; an image that several answered counts for each.
        audits: Pseudo-labels that people confirmed blindly, by the cycle that asked.
        notes: What was wrong with an answer: (file or task, problem).
        remarks: Answers that a second look is due to.
        version: The dataset version after it; None where nothing could be harvested.
        watermark: Where the next harvest begins.
        undone: Annotations that stay undone, since an older version was restored.
        changed: Of a harvest of reviews, images whose labels it changed.
        left_out: Of a harvest of reviews, images whose labels had changed since people were asked.
    """

    FILE: ClassVar[str] = "harvest.json"
    MADE_BY: ClassVar[str] = "crosscheck harvest"

    answered: int = 0
    skipped: int = 0
    empty: int = 0
    boxes: Mapping[str, int] = field(default_factory=dict)
    hours: float | None = None
    timed: TimedAnswers = field(default_factory=TimedAnswers)
    priced: PricedAnswers = field(default_factory=PricedAnswers)
    agreements: tuple[float, ...] = ()
    asked_again: int = 0
    annotators: Mapping[str, int] = field(default_factory=dict)
    audits: Mapping[int, Audits] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    remarks: tuple[AnswerRemark, ...] = ()
    version: int | None = None
    watermark: str = ""
    undone: tuple[str, ...] = ()
    changed: int = 0
    left_out: int = 0

    @property
    def review(self) -> ReviewWork:
        """Of a harvest of reviews, what people found."""
        return ReviewWork(self.answered, self.skipped, self.left_out, self.changed, self.boxes, self.hours)


@dataclass(frozen=True, kw_only=True)
class CycleHarvest(StageRecord):
    """What people answered since the cycle before: sums over harvests, see `HarvestSummary`.

    Attributes:
        saved: What the machine's boxes saved of people's time.
        priced: What the answers take by the settings, with the machine's boxes and without.
        acceptance: How people treat the machine's boxes, in all answers so far.
        people: How people get on, in all answers so far, reviews included.
        harvests: Harvests of the project so far.
        reviews: What people found in labelled images since the cycle before; `hours` does not hold their time.
        review_harvests: Harvests of reviews of the project so far.
    """

    FILE: ClassVar[str] = "harvest.json"
    MADE_BY: ClassVar[str] = "crosscheck harvest"

    answered: int = 0
    skipped: int = 0
    empty: int = 0
    boxes: Mapping[str, int] = field(default_factory=dict)
    hours: float | None = None
    agreements: tuple[float, ...] = ()
    asked_again: int = 0
    annotators: Mapping[str, int] = field(default_factory=dict)
    audits: Mapping[int, Audits] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    remarks: tuple[AnswerRemark, ...] = ()
    saved: TimeSaved = field(default_factory=TimeSaved)
    priced: PricedAnswers = field(default_factory=PricedAnswers)
    acceptance: Acceptance = field(default_factory=Acceptance)
    people: People = field(default_factory=People)
    harvests: int = 0
    reviews: ReviewWork = field(default_factory=ReviewWork)
    review_harvests: int = 0


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
class PushRun(StageRecord):
    """What became of questions.

    Attributes:
        created: New tasks.
        existing: Tasks that were there already.
        refused: Images that could not be pushed, with the reason.
        updated: Open tasks that got the boxes of the newest model.
        withdrawn: Tasks that left the queue, being worth less than what would be asked now.
        begun: Such tasks that stay, since somebody has begun an answer.
        failed: Why nothing could be pushed; empty where it could.
    """

    FILE: ClassVar[str] = "push.json"
    MADE_BY: ClassVar[str] = "crosscheck push"

    created: int = 0
    existing: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    updated: int = 0
    withdrawn: int = 0
    begun: int = 0
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class HiddenTruthAudit(StageRecord):
    """In a simulation, pseudo-labels held against the hidden truth, by class; None where nobody knows the truth."""

    FILE: ClassVar[str] = "hidden_truth.json"

    labels: Audits | None = None
