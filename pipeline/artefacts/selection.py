"""What became of the proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline.artefacts.stage import StageRecord


@dataclass(frozen=True, kw_only=True)
class Decision(StageRecord):
    """What was decided, before it is committed.

    Attributes:
        waiting: Images that wait for people.
        fates: Proposals by fate.
        blind_owed: What is left of the share of blind tasks, under one image; the next cycle adds it to its own.
        audit_owed: Likewise of the share of audits.
        shown_from: People see the boxes of a higher p(correct); None: no box, as showing one would not save time.
    """

    FILE: ClassVar[str] = "decision.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    waiting: int
    fates: Mapping[str, int] = field(default_factory=dict)
    blind_owed: float = 0.0
    audit_owed: float = 0.0
    shown_from: float | None = 0.0


@dataclass(frozen=True, slots=True)
class PastedBoxes:
    """How many boxes of one fate were looked for in labelled images.

    Attributes:
        boxes: Of that fate.
        pasted: Those that were pasted at least once.
        pastes: In how many pastes these were looked for, summed.
        hits: In how many of these they were found again.
    """

    boxes: int
    pasted: int
    pastes: int
    hits: int

    @property
    def share(self) -> float | None:
        """Share that was pasted; None without boxes."""
        return self.pasted / self.boxes if self.boxes else None


@dataclass(frozen=True, kw_only=True)
class SelectionRun(StageRecord):
    """The version that took the decision in.

    Attributes:
        version: The dataset version.
        pseudo_images: Images with boxes that the next model learns from.
        pseudo_boxes: Certified boxes on them.
        soft_boxes: Boxes on them that are learnt by their p(correct), without a promise; people are asked about them.
        incomplete_images: Images that hold such boxes and were left out, since too many objects may be missed in them.
        queued: Images that wait for people.
        dropped: Proposals that were dropped.
        pseudo_by_class: Certified boxes by class.
        pasted: By fate (`pseudo`, `soft`, `ask`, `drop`), how many proposals were pasted.
    """

    FILE: ClassVar[str] = "select.json"
    MADE_BY: ClassVar[str] = "crosscheck mine"

    version: int
    pseudo_images: int = 0
    pseudo_boxes: int = 0
    soft_boxes: int = 0
    incomplete_images: int = 0
    queued: int = 0
    dropped: int = 0
    pseudo_by_class: Mapping[str, int] = field(default_factory=dict)
    pasted: Mapping[str, PastedBoxes] = field(default_factory=dict)
