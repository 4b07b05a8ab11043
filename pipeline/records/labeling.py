"""Questions to people, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pipeline.records.samples import OPEN_REASONS, Box, Region


class TaskKind(StrEnum):
    """Why a person sees an image, and how.

    To correct the machine's boxes, to verify them one after another, to audit pseudo-labels without seeing them, to
    answer blind, or to review labels that are there.
    """

    ASK = "ask"
    VERIFY = "verify"
    AUDIT = "audit"
    BLIND = "blind"
    REVIEW = "review"

    @property
    def shows_boxes(self) -> bool:
        """Whether people see boxes."""
        return self in {TaskKind.ASK, TaskKind.VERIFY, TaskKind.REVIEW}


@dataclass(frozen=True, slots=True)
class Task:
    """One image for people to label.

    Attributes:
        image_id: The image.
        uri: Path or fsspec URI of the file.
        width, height: Pixels.
        boxes: Machine boxes to show; empty for audits and blind tasks.
        value: Worth of an answer, higher = asked sooner.
        reason: One line for the annotator: why this image.
        kind: Why a person sees it.
        cycle: The cycle that asks.
        model_id: The model that drew the boxes.
        asked_at: Opening time of the cycle that asks, UTC. The simulated annotator answers at that moment.
        doubts: Notes for the annotator on unsure boxes, by `box_id`.
        rank: Place in the queue, 1 = asked first; 0 where there is none.
    """

    image_id: str
    uri: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    value: float
    reason: str
    kind: TaskKind = TaskKind.ASK
    cycle: int = 0
    model_id: str = ""
    asked_at: datetime | None = None
    doubts: Mapping[str, str] = field(default_factory=dict)
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One person's annotation of one image.

    Attributes:
        image_id: The image.
        annotation_id: Id of the annotation in the labelling tool.
        annotator: Who answered.
        skipped: True when the person declined to answer.
        boxes: Objects with source `human`, `accepted` or `corrected`; none in an answer means a true negative.
        created_at: When the annotation was made, UTC.
        updated_at: When it last changed, UTC; the latest answer to an image counts.
        lead_time_s: Seconds the person spent; None where not recorded.
        notes: Repairs made while reading the answer (clipped, rotated, ...), for the report.
        ignore: Objects that the person marked with a label outside the class list.
        cycle: The cycle that asked; None where not recorded.
        link: Address of its task in the labelling tool; empty where there is none.
        verified: Whether boxes were verified one after another. What the person left open is ignored, see
            `records.OPEN_REASONS`.
        verdicts: `(label, verdict)` of every machine box that was shown and answered; the verdict is `accepted`,
            `corrected` (of a verification also: said to be inexact or of another class) or `deleted`.
        deleted: Machine boxes that were shown and that the person deleted.
    """

    image_id: str
    annotation_id: str
    annotator: str
    skipped: bool
    boxes: tuple[Box, ...]
    created_at: datetime
    updated_at: datetime
    lead_time_s: float | None = None
    notes: tuple[str, ...] = ()
    ignore: tuple[Region, ...] = ()
    cycle: int | None = None
    verdicts: tuple[tuple[str, str], ...] = ()
    deleted: tuple[Box, ...] = ()
    link: str = ""
    verified: bool = False

    @property
    def is_in_part(self) -> bool:
        """Whether the person left anything open."""
        return any(region.reason in OPEN_REASONS for region in self.ignore)
