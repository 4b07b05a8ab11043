"""The records that travel between rooms: samples and their boxes, tasks and answers, and the columnar tables.

Box coordinates are float32 absolute pixels `(x1, y1, x2, y2)` of the image as a person sees it
(EXIF rotation applied). Labels are names, never numbers, in everything that is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc


class Split(StrEnum):
    """What an image is for. A pool image becomes `train` when a person has labelled it."""

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
    """A machine box that is learnt from by its p(correct), and of which nothing is promised."""


class Fate(StrEnum):
    """What selection decided about one proposal."""

    PSEUDO = "pseudo"
    ASK = "ask"
    DROP = "drop"


class TaskKind(StrEnum):
    """Why a person sees an image: to answer, to audit pseudo-labels without seeing them, or to answer blind."""

    ASK = "ask"
    AUDIT = "audit"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Box:
    """One object of one image.

    Attributes:
        box_id: Stable id, see `make_box_id`.
        x1: Left edge in pixels.
        y1: Top edge in pixels.
        x2: Right edge in pixels, above `x1`.
        y2: Bottom edge in pixels, above `y1`.
        label: Class name.
        source: Who or what drew it.
        score: Detector confidence, 0 to 1, higher = more likely right; None for people's boxes.
        consistency: Mean re-detection score over all pastes, misses 0; None where not checked.
        p_correct: Calibrated probability of being right; 1 for people's boxes when training.
        model_id: Model that drew it; None for people's boxes.
        annotation_id: Annotation that holds it; None for machine and imported boxes.
        annotator: Who drew or accepted it; None for machine and imported boxes.
        created_at: When, in UTC; machine boxes carry the opening time of their cycle.
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

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners `(x1, y1, x2, y2)` in pixels."""
        return (self.x1, self.y1, self.x2, self.y2)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image that costs no loss and counts in no evaluation.

    Attributes:
        x1: Left edge in pixels.
        y1: Top edge in pixels.
        x2: Right edge in pixels.
        y2: Bottom edge in pixels.
        reason: `unsure`, `weak` (dropped, though something may be there), `crowd`, `difficult`, `unknown_label` (a
            person gave it a label of no class) or `disputed` (people drew it, but not most of those who answered).
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
    """Just enough of an image to read it and to scale its boxes; what streams over a pool carry."""

    image_id: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: a row of the sample table.

    Attributes:
        image_id: SHA-256 of the file's bytes, 64 hex digits.
        uri: Where the file lies (a path or an fsspec URI).
        width: Width in pixels after EXIF rotation; 0 where the image cannot be read.
        height: Height in pixels after EXIF rotation; 0 where the image cannot be read.
        split: What the image is for.
        group_id: Shared by near-duplicates, which never straddle a split.
        state: Where the image stands in the loop.
        boxes: Its objects; empty and `state=labeled` is a true negative.
        ignore: Regions that neither train nor count.
        fingerprint: 256-bit difference hash, 64 hex digits; empty where the image cannot be read.
        note: Why it was quarantined or skipped, or what was converted on reading; empty for none.
        cycle: Cycle in which the row last changed; None for rows changed outside a cycle.
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
    def ref(self) -> ImageRef:
        """What is needed to read the image."""
        return ImageRef(self.image_id, self.uri, self.width, self.height)


@dataclass(frozen=True, slots=True)
class ImportIssue:
    """One thing that an import or a later read found wrong, for the report.

    Attributes:
        uri: The file it is about.
        problem: A short kind: `unreadable`, `missing`, `duplicate`, `near_duplicate`, `box_clipped`,
            `box_outside`, `box_invalid`, `box_repeated`, `size_mismatch`, `converted`.
        detail: What was found and what was expected, in words for a person.
        action: What was done: `quarantined`, `left_out`, `clipped`, `converted`, `replaced`, `moved_to_train`.
    """

    uri: str
    problem: str
    detail: str
    action: str


@dataclass(frozen=True, slots=True)
class Task:
    """One image that people are asked about.

    Attributes:
        image_id: The image.
        uri: Where the file lies.
        width: Pixels.
        height: Pixels.
        boxes: The machine's boxes to show; empty for audit and blind tasks.
        value: Worth of asking, higher = ask sooner.
        reason: One line that tells the annotator why.
        kind: Whether boxes are shown.
        cycle: The cycle that asks.
        model_id: The model whose boxes these are.
        asked_at: When, in UTC; the opening time of the cycle that asks. The simulated annotator answers at that moment.
        doubts: What a person is told of the unsure boxes, by `box_id`.
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said about one image.

    Attributes:
        image_id: The image.
        annotation_id: Id of the annotation in the labelling tool.
        annotator: Who answered.
        skipped: True when the person declined to answer.
        boxes: Objects with source `human`, `accepted` or `corrected`; empty and not skipped is a true negative.
        created_at: When the annotation was made, in UTC.
        updated_at: When it last changed, in UTC; the latest answer of an image counts.
        lead_time_s: Seconds a person spent, None where unknown.
        notes: What was repaired while reading the answer (clipped, rotated, ...), for the report.
        ignore: Objects that the person pointed out and that are of no class in use.
        cycle: The cycle whose question this answers, None where unknown.
        verdicts: What became of every box of the machine that the person saw: (its label, `accepted`, `corrected` or
            `deleted`).
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


_BOX_FIELDS: list[tuple[str, pa.DataType]] = [
    ("box_id", pa.string()),
    ("x1", pa.float32()),
    ("y1", pa.float32()),
    ("x2", pa.float32()),
    ("y2", pa.float32()),
    ("label", pa.string()),
    ("source", pa.string()),
    ("score", pa.float32()),
    ("consistency", pa.float32()),
    ("p_correct", pa.float32()),
    ("model_id", pa.string()),
    ("annotation_id", pa.string()),
    ("annotator", pa.string()),
    ("created_at", pa.timestamp("us", tz="UTC")),
]
_REGION_FIELDS: list[tuple[str, pa.DataType]] = [
    ("x1", pa.float32()),
    ("y1", pa.float32()),
    ("x2", pa.float32()),
    ("y2", pa.float32()),
    ("reason", pa.string()),
]
_CORNERS = [("x1", pa.float32()), ("y1", pa.float32()), ("x2", pa.float32()), ("y2", pa.float32())]

SAMPLE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("group_id", pa.string()),
        ("state", pa.string()),
        ("boxes", pa.list_(pa.struct(_BOX_FIELDS))),
        ("ignore", pa.list_(pa.struct(_REGION_FIELDS))),
        ("fingerprint", pa.string()),
        ("note", pa.string()),
        ("cycle", pa.int32()),
    ]
)
"""A row an image: the columns of the sample table, in order."""

NEIGHBOUR_FIELDS = [
    ("duplicate_iou", pa.float32()),
    ("conflict_iou", pa.float32()),
    ("covered", pa.float32()),
    ("covering", pa.float32()),
    ("votes", pa.float32()),
    ("rank", pa.float32()),
    ("crowd", pa.float32()),
    ("best_score", pa.float32()),
    ("class_score", pa.float32()),
]
"""What the other proposals of the same image say of one, see `pipeline.mining.proposals.Neighbours`."""

TTA_FIELDS = [
    ("tta_score", pa.float32()),
    ("tta_iou", pa.float32()),
    ("tta_near", pa.float32()),
    ("tta_conflict", pa.float32()),
    ("tta_votes", pa.float32()),
    ("tta_mass", pa.float32()),
]
"""What an augmented view at its image shows of a proposal, see `pipeline.mining.augmented_view.AugmentedViewEvidence`; null where none was
taken."""

PROPOSAL_SCHEMA = pa.schema(
    [
        ("proposal_id", pa.string()),
        ("image_id", pa.string()),
        *_CORNERS,
        ("label", pa.string()),
        ("score", pa.float32()),
        ("entropy", pa.float32()),
        ("runner_up", pa.float32()),
        *NEIGHBOUR_FIELDS,
        *TTA_FIELDS,
        ("closeup_score", pa.float32()),
        ("closeup_iou", pa.float32()),
        ("embedding", pa.list_(pa.float32())),
        ("model_id", pa.string()),
    ]
)
"""A row a proposal. Corners in pixels of its own image. `score` higher = more likely right; `entropy` of the
class scores in nats, higher = less sure; `runner_up` the best score of another class at the same place; `closeup_score`
the score with which it is found again when it is shown closer and mirrored, 0 for a miss, and `closeup_iou` how well
it is found there, both null where not measured; `embedding` unit length."""

CHECK_SCHEMA = pa.schema(
    [
        ("proposal_id", pa.string()),
        ("number", pa.int32()),
        ("host_id", pa.string()),
        ("host_kind", pa.string()),
        ("paste_x1", pa.float32()),
        ("paste_y1", pa.float32()),
        ("paste_x2", pa.float32()),
        ("paste_y2", pa.float32()),
        ("margin", pa.float32()),
        ("scale", pa.float32()),
        ("hit", pa.bool_()),
        ("score", pa.float32()),
        ("iou", pa.float32()),
        *_CORNERS,
    ]
)
"""A row a paste; `number` counts those of a proposal, from 0. `paste_*` is where the object came to lie, corners are
those of its re-detection (null for a miss), both in pixels of the host image; `margin` is the context round the object
as a share of its sides; `scale` is host pixels a source pixel; `score` is 0 for a miss."""

EVIDENCE_FIELDS = [
    ("consistency", pa.float32()),
    ("hit_fraction", pa.float32()),
    ("mean_iou", pa.float32()),
    ("spread", pa.float32()),
    ("checks", pa.int32()),
]

SELECTION_SCHEMA = pa.schema(
    [
        *[field for field in PROPOSAL_SCHEMA if field.name != "embedding"],
        *EVIDENCE_FIELDS,
        ("p_correct", pa.float32()),
        ("threshold", pa.float32()),
        ("fate", pa.string()),
        ("reason", pa.string()),
    ]
)
"""A row a proposal with its verdict. `consistency` is null where the box was not checked; `threshold` is the
certified threshold on `p_correct` of its class, null where the class has no certificate."""

QUEUE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("rank", pa.int32()),
        ("value", pa.float32()),
        ("expected_corrections", pa.float32()),
        ("expected_missed", pa.float32()),
        ("boxes", pa.int32()),
        ("kind", pa.string()),
        ("reason", pa.string()),
    ]
)
"""A row an image that people are asked about; rank 0 is asked first, `value` higher = worth more."""


BACKGROUND_SCHEMA = pa.schema([("image_id", pa.string()), ("expected_missed", pa.float32())])
"""A row an image with a sure box: how many of its objects training would take for background, as far as can be
expected."""


def make_box_id(image_id: str, label: str, corners: Sequence[float], origin: str) -> str:
    """Derive a box's id from what it is, so that a repeated run writes the same id.

    Args:
        image_id: The image that holds it.
        label: Class name.
        corners: `(x1, y1, x2, y2)` in pixels; rounded to a hundredth for the id.
        origin: What made it: a source, a model id or an annotation id.

    Returns:
        16 hex digits.
    """
    text = "|".join([image_id, label, *(f"{value:.2f}" for value in corners), origin])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def samples_to_table(samples: Iterable[Sample]) -> pa.Table:
    """Lay samples out in columns.

    Args:
        samples: May be empty.

    Returns:
        A table with `SAMPLE_SCHEMA`, rows in the given order.
    """
    return pa.Table.from_pylist([asdict(sample) for sample in samples], schema=SAMPLE_SCHEMA)


def of_images(image_ids: Iterable[str]) -> pc.Expression:
    """A filter for the rows of some images; none pass for no ids."""
    return pc.field("image_id").isin(pa.array(sorted(image_ids), pa.string()))


def refs_from_table(table: pa.Table) -> list[ImageRef]:
    """Take what is needed to read the images of a table.

    Args:
        table: Has the columns `image_id`, `uri`, `width` and `height`.

    Returns:
        A reference a row, in order.
    """
    columns = (table[name].to_pylist() for name in ImageRef._fields)
    return [ImageRef(*row) for row in zip(*columns, strict=True)]


def samples_from_table(table: pa.Table) -> list[Sample]:
    """Read samples back from columns.

    Args:
        table: Has the columns of `SAMPLE_SCHEMA`.

    Returns:
        A sample a row, in order.
    """
    return [_sample(row) for row in table.select(SAMPLE_SCHEMA.names).to_pylist()]


def _sample(row: dict[str, Any]) -> Sample:
    boxes = tuple(Box(**{**box, "source": Source(box["source"])}) for box in row["boxes"] or [])
    ignore = tuple(Region(**region) for region in row["ignore"] or [])
    kinds = {"split": Split(row["split"]), "state": State(row["state"])}
    return Sample(**{**row, **kinds, "boxes": boxes, "ignore": ignore})
