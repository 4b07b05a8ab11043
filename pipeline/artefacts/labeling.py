"""What people were asked and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.audits import Audits
from pipeline.artefacts.people import Acceptance, People, PricedAnswers, TimedAnswers, TimeSaved
from pipeline.artefacts.review import ReviewWork
from pipeline.artefacts.stage import StageRecord


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


@dataclass(frozen=True, kw_only=True)
class Harvested:
    """What people answered, in one harvest or in several.

    Attributes:
        answered: Images answered, empty ones included.
        skipped: Images that people declined.
        empty: Images answered "nothing here".
        boxes: Boxes that became labels, by source; those of answers that do not count are left out.
        hours: Time that people spent; None where unknown.
        priced: What the answers take by the settings, with the machine's boxes and without.
        agreements: How far the last two people agree, 0 to 1, for each image that several answered.
        asked_again: Images that were opened for one person more.
        annotators: Answers, by person; an image that several answered counts for each.
        audits: Pseudo-labels that people confirmed blindly, by the cycle that asked.
        notes: What was wrong with an answer: (file or task, problem).
        remarks: Answers that a second look is due to.
    """

    FILE: ClassVar[str] = "harvest.json"
    MADE_BY: ClassVar[str] = "crosscheck harvest"

    answered: int = 0
    skipped: int = 0
    empty: int = 0
    boxes: Mapping[str, int] = field(default_factory=dict)
    hours: float | None = None
    priced: PricedAnswers = field(default_factory=PricedAnswers)
    agreements: tuple[float, ...] = ()
    asked_again: int = 0
    annotators: Mapping[str, int] = field(default_factory=dict)
    audits: Mapping[int, Audits] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    remarks: tuple[AnswerRemark, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HarvestSummary(Harvested):
    """What one harvest took in; kept beside its answers, numbered over the whole project.

    Attributes:
        timed: Answers that state their time.
        version: The dataset version after it; None where nothing could be harvested.
        watermark: Where the next harvest begins.
        undone: Annotations that stay undone, since an older version was restored.
        changed: Of a harvest of reviews, images whose labels it changed.
        left_out: Of a harvest of reviews, images whose labels had changed since people were asked.
    """

    timed: TimedAnswers = field(default_factory=TimedAnswers)
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
class CycleHarvest(Harvested, StageRecord):
    """What people answered since the cycle before: sums over harvests, see `HarvestSummary`.

    Attributes:
        saved: What the machine's boxes saved of people's time.
        acceptance: How people treat the machine's boxes, in all answers so far.
        people: How people get on, in all answers so far, reviews included.
        harvests: Harvests of the project so far.
        reviews: What people found in labelled images since the cycle before; `hours` does not hold their time.
        review_harvests: Harvests of reviews of the project so far.
    """

    saved: TimeSaved = field(default_factory=TimeSaved)
    acceptance: Acceptance = field(default_factory=Acceptance)
    people: People = field(default_factory=People)
    harvests: int = 0
    reviews: ReviewWork = field(default_factory=ReviewWork)
    review_harvests: int = 0


@dataclass(frozen=True, slots=True)
class ClassExamples:
    """Pictures of what people labelled, for the instructions: the name of a file by class."""

    FILE: ClassVar[str] = "examples.json"
    MADE_BY: ClassVar[str] = "crosscheck push"

    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PushRun(StageRecord):
    """What became of questions.

    Attributes:
        created: New tasks.
        existing: Tasks that were there already.
        refused: Images that could not be pushed, with the reason.
        updated: Open tasks that got the boxes of the newest model.
        unchanged: Open tasks that stay as they are, since the newest model's boxes are nearly the same.
        in_hand: Open tasks that stay as they are, since somebody has begun to answer.
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
    unchanged: int = 0
    in_hand: int = 0
    withdrawn: int = 0
    begun: int = 0
    failed: str = ""
