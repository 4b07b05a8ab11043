"""What another source has: a workspace of this program, or labels in a format that an export writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.dataset.checks import check_entries
from pipeline.dataset.formats import read_entries
from pipeline.dataset.formats.entry import Entry, ImportResult
from pipeline.dataset.hashed_files import require_files
from pipeline.dataset.merging.label_map import LabelMap
from pipeline.dataset.merging.places import Wanted, labels_in
from pipeline.dataset.repeated_files import SIDES, keep_one_a_file
from pipeline.dataset.store import SampleStore
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.records import Box, ImportIssue, Sample, Split, State, make_box_id
from pipeline.settings import DataSettings

_ANSWERED = frozenset({State.LABELED, State.SKIPPED})
"""What people decided there; all other images are of the pool here, without the machine's boxes."""


@dataclass(frozen=True)
class Incoming:
    """Another source as it is, by the names of classes here.

    Attributes:
        name: Where it lies, for people.
        samples: Its images, each `image_id` once.
        issues: What was found wrong with it.
    """

    name: str
    samples: tuple[Sample, ...] = ()
    issues: tuple[ImportIssue, ...] = ()


def from_workspace(store: SampleStore, version: int, classes: LabelMap, progress: Progress = silent) -> Incoming:
    """Read a version of another sample table.

    Images that nobody labelled there come as images of the pool, without what a machine drew; those in quarantine do
    not come. Boxes keep who drew them; the ids of their annotations say where they are from.

    Args:
        store: The other table.
        version: Which version of it.
        classes: Which class is which.
        progress: Called while files are hashed.

    Raises:
        ArtefactError: There is no such version.
        DataError: A class is unknown, or a file is not there as it was imported.
    """
    usable = [state for state in State if state is not State.QUARANTINED]
    rows = store.samples(version, usable)
    labeled = [row for row in rows if row.state is State.LABELED]
    classes.require({box.label for row in labeled for box in row.boxes})
    require_files([(row.image_id, row.uri) for row in rows], f"of {store.uri}", progress)
    origin = hashlib.sha256(store.uri.encode()).hexdigest()[:8]
    samples = tuple(_as_here(row, classes, origin) for row in rows)
    return Incoming(f"{store.uri}, version {version}", samples)


def from_files(
    wanted: Wanted, data: DataSettings, classes: LabelMap, now: datetime, progress: Progress = silent
) -> Incoming:
    """Read labels in a format that an export writes; every image is opened.

    Args:
        wanted: Where they lie.
        data: Bounds on images and boxes.
        classes: Which class is which.
        now: Creation time of the boxes, UTC.
        progress: Called after each image.

    Raises:
        DataError: A file is missing or malformed, or a class is unknown.
        RemoteError: The storage cannot be reached.
    """
    parts = labels_in(wanted)
    entries = [list(read_entries(part.format, part.annotations, part.images, classes.labels)) for part in parts]
    classes.require({box.label for listed in entries for entry in listed for box in entry.boxes})
    found = ImportResult.join(
        check_entries(_renamed(listed, classes), part.split, data, now, progress)
        for part, listed in zip(parts, entries, strict=True)
    )
    once = keep_one_a_file(found.samples, rank=lambda sample: (sample.state is State.QUARANTINED, SIDES[sample.split]))
    usable = tuple(sample for sample in once.samples if sample.state is not State.QUARANTINED)
    if not usable:
        raise DataError(f"Expected images with labels in {wanted.place}, found none that can be used.")
    return Incoming(wanted.place, usable, (*found.issues, *once.issues))


def _renamed(entries: Sequence[Entry], classes: LabelMap) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, boxes=tuple(replace(box, label=classes.of(box.label)) for box in entry.boxes))


def _as_here(row: Sample, classes: LabelMap, origin: str) -> Sample:
    if row.state not in _ANSWERED:
        return replace(row, state=State.POOL, split=Split.POOL, boxes=(), ignore=(), note="", cycle=None)
    boxes = tuple(_box_here(row.image_id, box, classes, origin) for box in row.boxes)
    return replace(row, boxes=boxes)


def _box_here(image_id: str, box: Box, classes: LabelMap, origin: str) -> Box:
    """The box with its class here; ids of another labelling tool may be those of annotations here."""
    annotation = f"{origin}/{box.annotation_id}" if box.annotation_id else None
    label = classes.of(box.label)
    drawn_by = box.annotation_id or box.model_id or str(box.source)
    box_id = box.box_id if label == box.label else make_box_id(image_id, label, box.xyxy, drawn_by)
    return replace(box, label=label, annotation_id=annotation, box_id=box_id)
