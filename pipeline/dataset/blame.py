"""Who or what made an image what it is: every version that changed it or a box of it, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.reading import CHANGED_IN, Wanted
from pipeline.dataset.store import SampleStore
from pipeline.dataset.stored_table import StoredTable
from pipeline.dataset.versions import Version
from pipeline.errors import DataError, RowsGoneError
from pipeline.records import SAMPLE_SCHEMA, Answer, Box, Sample, of_images, samples_from_table

Answers = Callable[[Version], Sequence[Answer]]
"""What people said of the image in the harvest that made a version."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that one version changed.

    Attributes:
        version: The version.
        change: `image added`, `image removed`, `state`, `split`, `box added`, `box removed`, `box changed`, or
            `proposal deleted`: a person saw the machine's box and deleted it.
        detail: What it was and became, in words; empty for a box that is new or gone.
        box: The box; None for a change of the image.
        seconds: Time that the person spent on the whole image; None for the machine, or where not recorded.
    """

    version: Version
    change: str
    detail: str = ""
    box: Box | None = None
    seconds: float | None = None


def find_image(store: SampleStore, name: str) -> str:
    """The `image_id` that a person means, in the newest version that holds such an image.

    Args:
        store: The sample table.
        name: An `image_id` or how it begins, a path or URI, or a file name.

    Raises:
        DataError: No image, or more than one, is called so.
    """
    for version in reversed(store.history()):
        try:
            table = store.table(version.number, ["image_id", "uri"])
        except RowsGoneError:
            continue
        begins = pc.starts_with(table["image_id"], name)
        called = pc.or_(pc.equal(table["uri"], name), pc.ends_with(table["uri"], f"/{name.lstrip('/')}"))
        found = table.filter(pc.or_(begins, called)).to_pylist() if name else []
        if len(found) == 1:
            return str(found[0]["image_id"])
        if found:
            shown = ", ".join(f"{row['image_id'][:16]} ({row['uri']})" for row in found[:_SHOWN])
            raise DataError(f"Expected one image named {name!r}, found {len(found)}: {shown}. Give its image_id.")
    raise DataError(
        f"Expected an image_id, a path or a file name of {store.uri}, got {name!r}, which no version holds."
    )


def blame(store: SampleStore, image_id: str, answers: Answers = lambda _: ()) -> list[Change]:
    """Tell what each version changed in an image.

    Args:
        store: The sample table.
        image_id: The image.
        answers: Tells which proposals people deleted, and how long they took.

    Returns:
        Changes, oldest version first; none for an image that no version holds. What versions changed whose rows were
        removed is reported with the next version that can be read.
    """
    changes: list[Change] = []
    before: Sample | None = None
    for version, after in through_time(store, image_id):
        if after != before:
            changes += _changes(version, before, after, answers(version))
        before = after
    return changes


def through_time(store: SampleStore, image_id: str) -> Iterator[tuple[Version, Sample | None]]:
    """Read one image as each version has it, oldest first; versions whose rows were removed are left out."""
    table, known = StoredTable.opened(store.uri), dict[int | None, Sample | None]()
    wanted = Wanted([*SAMPLE_SCHEMA.names, CHANGED_IN], of_images([image_id]))
    for version, files in zip(table.history(), table.new_files(), strict=True):
        before = version.parent if version.restored is None else version.restored
        try:
            if version.foreign or before not in known:
                found = next(iter(store.by_ids([image_id], version.number)), None)
            else:
                found = _written(table.read(wanted, files), version.number) or known[before]
        except RowsGoneError:
            continue
        known[version.number] = found
        yield version, found


def about_box(changes: Sequence[Change], box_id: str) -> list[Change]:
    """The changes of one box, those before a person took it over included.

    Args:
        changes: Of its image.
        box_id: Of the box at any time.

    Raises:
        DataError: No version of the image holds such a box.
    """
    named = {_origin(change.box) for change in changes if change.box and change.box.box_id == box_id}
    if not named:
        raise DataError(f"Expected a box_id of the image, got {box_id!r}. Leave --box out to see all of its boxes.")
    return [
        change for change in changes if change.box and (change.box.box_id == box_id or _origin(change.box) in named)
    ]


def _origin(box: Box) -> tuple[str | None, str]:
    """What a box and all that it became share: its proposal, or itself."""
    return (box.model_id, box.proposal_id) if box.proposal_id else (None, box.box_id)


def _changes(
    version: Version, before: Sample | None, after: Sample | None, answers: Sequence[Answer]
) -> Iterator[Change]:
    if before is None or after is None:
        kept = before or after
        assert kept is not None, "two absent images are equal"
        yield Change(version, "image added" if after else "image removed", f"{kept.state} in {kept.split}")
    else:
        for name in ("state", "split"):
            old, new = getattr(before, name), getattr(after, name)
            if old != new:
                yield Change(version, name, f"{old} -> {new}")
    yield from _box_changes(version, before.boxes if before else (), after.boxes if after else (), answers)


def _box_changes(
    version: Version, before: Sequence[Box], after: Sequence[Box], answers: Sequence[Answer]
) -> Iterator[Change]:
    old, new = ({box.box_id: box for box in boxes} for boxes in (before, after))
    seconds = {answer.annotation_id: answer.lead_time_s for answer in answers}
    for box_id, box in old.items():
        if box_id not in new:
            yield Change(version, "box removed", box=box)
    for box_id, box in new.items():
        spent = seconds.get(box.annotation_id or "")
        if box_id not in old:
            yield Change(version, "box added", box=box, seconds=spent)
        elif box != old[box_id]:
            yield Change(version, "box changed", _difference(old[box_id], box), box, spent)
    kept = {_origin(box) for box in after}
    for answer in answers:
        for box in answer.deleted:
            if _origin(box) not in kept:
                shown = f"deleted by {answer.annotator}"
                yield Change(version, "proposal deleted", shown, box, answer.lead_time_s)


def _difference(old: Box, new: Box) -> str:
    pairs = ((field.name, getattr(old, field.name), getattr(new, field.name)) for field in fields(Box))
    return ", ".join(f"{name} {was} -> {now}" for name, was, now in pairs if was != now)


def _written(pieces: Iterable[pa.Table], version: int) -> Sample | None:
    """The image that a version wrote; None where it only wrote again what others had."""
    for piece in pieces:
        for sample in samples_from_table(piece.filter(pc.field(CHANGED_IN) == version)):
            return sample
    return None
