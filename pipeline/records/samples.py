"""Images and the boxes on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Split(StrEnum):
    """What an image is used for; a pool image moves to `train` when a person labels it."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    POOL = "pool"


class State(StrEnum):
    """Where an image stands in the loop."""

    POOL = "pool"
    QUEUED = "queued"
    LABELED = "labeled"
    PSEUDO = "pseudo"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"


class Source(StrEnum):
    """Who or what drew a box."""

    IMPORT = "import"
    HUMAN = "human"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    PSEUDO = "pseudo"
    SOFT = "soft"
    """A machine box without a certificate; training weighs it by p(correct)."""


_OF_PEOPLE = frozenset({Source.HUMAN, Source.ACCEPTED, Source.CORRECTED})


@dataclass(frozen=True, slots=True)
class Box:
    """One object in an image.

    Attributes:
        box_id: Stable id, see `make_box_id`.
        x1, y1, x2, y2: Corners in pixels, `x1 < x2` and `y1 < y2`.
        label: Class name.
        source: Who or what drew it.
        score: Detector confidence, 0 to 1; like the next three, of the proposal that the box is or began as: an
            accepted or corrected box keeps what the machine said, None where no machine drew anything.
        consistency: Mean re-detection score over all pastes, 0 for each miss; None where not checked.
        p_correct: Calibrated probability of being right; training asks for `certainty` instead.
        model_id: Model that drew it.
        annotation_id: Annotation that holds it; None for machine and imported boxes.
        annotator: Who drew or accepted it; None for machine and imported boxes.
        created_at: UTC; machine boxes carry the opening time of their cycle.
        proposal_id: Proposal of `model_id` that the box is or began as; for one that a review corrected and no machine
            proposed, the `box_id` that it had before. None where there is none.
    """

    box_id: str
    x1: float
    y1: float
    x2: float
    y2: float
    label: str
    source: Source
    score: float | None = None
    consistency: float | None = None
    p_correct: float | None = None
    model_id: str | None = None
    annotation_id: str | None = None
    annotator: str | None = None
    created_at: datetime | None = None
    proposal_id: str | None = None

    @property
    def certainty(self) -> float:
        """How surely it is right, 0 to 1: p(correct) of a machine box, 1 where a person stands for it."""
        return 1.0 if self.source in _OF_PEOPLE or self.p_correct is None else self.p_correct

    @property
    def sureness(self) -> float:
        """How much surer than the toss of a coin it is, 0 to 1: what it is worth as an example."""
        return max(0.0, 2 * self.certainty - 1)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners `(x1, y1, x2, y2)` in pixels."""
        return (self.x1, self.y1, self.x2, self.y2)


UNANSWERED, INEXACT, ANOTHER_CLASS = "unanswered", "inexact", "another_class"
OPEN_REASONS = frozenset({UNANSWERED, INEXACT, ANOTHER_CLASS})
"""Why a part of a verified image is ignored: nobody said what is there, its box is inexact, or of a class not named."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image that neither trains nor counts in evaluation.

    Attributes:
        x1, y1, x2, y2: Corners in pixels.
        reason: `unsure`, `weak` (dropped, though an object is possible), `crowd`, `difficult`, `unknown_label` (a
            person gave it a label outside the class list), `disputed` (drawn by a minority of those who answered) or
            one of `OPEN_REASONS`, left open by who verified the image.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    reason: str

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners `(x1, y1, x2, y2)` in pixels."""
        return (self.x1, self.y1, self.x2, self.y2)


class ImageRef(NamedTuple):
    """What is needed to read an image and to scale its boxes."""

    image_id: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: a row of the sample table.

    Attributes:
        image_id: SHA-256 of the file's bytes, 64 hex digits.
        uri: Path or fsspec URI of the file.
        width, height: Pixels after EXIF rotation; 0 where the image cannot be read.
        split: What the image is used for.
        group_id: Shared by near-duplicates, which never straddle a split.
        state: Where the image stands in the loop.
        boxes: Its objects; a labelled image without boxes is a true negative.
        ignore: Regions that neither train nor count.
        fingerprint: 256-bit difference hash, 64 hex digits; empty where the image cannot be read.
        note: Why it was quarantined or skipped, or how it was converted on reading.
        cycle: Cycle that last changed the row; None for changes outside a cycle.
    """

    image_id: str
    uri: str
    width: int
    height: int
    split: Split
    group_id: str
    state: State
    boxes: tuple[Box, ...] = ()
    ignore: tuple[Region, ...] = ()
    fingerprint: str = ""
    note: str = ""
    cycle: int | None = None

    @property
    def is_answered_in_part(self) -> bool:
        """Whether it may hold objects that nobody has spoken of, in its ignored regions."""
        return any(region.reason in OPEN_REASONS for region in self.ignore)

    @property
    def ref(self) -> ImageRef:
        """What is needed to read the image."""
        return ImageRef(self.image_id, self.uri, self.width, self.height)


@dataclass(frozen=True, slots=True)
class ImportIssue:
    """One problem that an import or a later read met.

    Attributes:
        uri: The file concerned.
        problem: `unreadable`, `missing`, `refused`, `duplicate`, `near_duplicate`, `box_clipped`, `box_outside`,
            `box_invalid`, `box_too_small`, `box_repeated`, `size_mismatch` or `converted`.
        detail: What was expected and what was found, for people.
        action: `quarantined`, `left_out`, `clipped`, `converted`, `replaced` or `moved_to_train`.
    """

    uri: str
    problem: str
    detail: str
    action: str


def make_box_id(image_id: str, label: str, corners: Sequence[float], origin: str) -> str:
    """Hash what a box is, so that a repeated run writes the same id.

    Args:
        image_id: The image that holds it.
        label: Class name.
        corners: `(x1, y1, x2, y2)` in pixels; the id depends on them to a hundredth.
        origin: What drew it: a source, a model id or an annotation id.

    Returns:
        16 hex digits.
    """
    x1, y1, x2, y2 = corners
    text = f"{image_id}|{label}|{x1:.2f}|{y1:.2f}|{x2:.2f}|{y2:.2f}|{origin}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
