"""The records that travel between rooms, and the columns in which they are stored.

Box coordinates are absolute pixels `(x1, y1, x2, y2)` of the image as a person sees it (EXIF rotation applied), float32
in tables. Stored labels are class names, never numbers.
"""

from pipeline.records.labeling import Answer, Task, TaskKind
from pipeline.records.samples import (
    ANOTHER_CLASS,
    INEXACT,
    OPEN_REASONS,
    UNANSWERED,
    Box,
    ImageRef,
    ImportIssue,
    Region,
    Sample,
    Source,
    Split,
    State,
    make_box_id,
)
from pipeline.records.tables import (
    BACKGROUND_SCHEMA,
    CHECK_SCHEMA,
    EVIDENCE_FIELDS,
    NEIGHBOUR_FIELDS,
    PROPOSAL_SCHEMA,
    QUEUE_SCHEMA,
    SAMPLE_SCHEMA,
    SELECTION_SCHEMA,
    TTA_FIELDS,
    Fate,
    among,
    of_images,
    refs_from_table,
    samples_from_table,
    samples_to_table,
)

__all__ = [
    "ANOTHER_CLASS",
    "BACKGROUND_SCHEMA",
    "CHECK_SCHEMA",
    "EVIDENCE_FIELDS",
    "INEXACT",
    "NEIGHBOUR_FIELDS",
    "OPEN_REASONS",
    "PROPOSAL_SCHEMA",
    "QUEUE_SCHEMA",
    "SAMPLE_SCHEMA",
    "SELECTION_SCHEMA",
    "TTA_FIELDS",
    "UNANSWERED",
    "Answer",
    "Box",
    "Fate",
    "ImageRef",
    "ImportIssue",
    "Region",
    "Sample",
    "Source",
    "Split",
    "State",
    "Task",
    "TaskKind",
    "among",
    "make_box_id",
    "of_images",
    "refs_from_table",
    "samples_from_table",
    "samples_to_table",
]
