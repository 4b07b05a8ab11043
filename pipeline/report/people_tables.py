"""Tables about people: what they were asked and answered, and how they treat the machine's boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from pipeline.artefacts import Acceptance, AcceptanceCount, AnswerRemark, AuditCount, PricedAnswers, ReviewWork
from pipeline.records import TaskKind
from pipeline.report.album import Album
from pipeline.report.contents import Turn
from pipeline.report.rows import QueuedImage, read_rows
from pipeline.report.tables import Column, Link, Table
from pipeline.report.wording import KINDS, NOTHING, count, cut, file_name, share, with_interval

_THUMB_PX = 128


ACCEPTED = (
    Column("Boxes shown", hint="the machine's boxes on answered images"),
    Column("Accepted unchanged", hint="share of the boxes shown, with its 95 % interval by image"),
    Column("Corrected", hint="moved, or given another class"),
    Column("Deleted"),
    Column("Added", hint="drawn by people where the machine showed nothing"),
    Column("Boxes withheld", hint="the machine's boxes on blind tasks"),
    Column("Confirmed blind", hint="share of the boxes withheld that people drew too, with its 95 % interval by image"),
    Column("Missed", hint="drawn on blind tasks where the machine would have shown nothing"),
)
"""Columns of `accepted`."""


def effort(turns: Sequence[Turn], most: int) -> Table:
    """What people were asked and what they answered, by cycle.

    Args:
        turns: Ascending.
        most: Rows shown, the latest.

    Returns:
        One row per cycle, the latest first, and a row of sums over all cycles.
    """
    shown = list(turns)[-most:]
    columns = (
        Column("Cycle", numeric=False),
        Column("Images asked"),
        Column("Boxes shown", hint="the machine's boxes on the images asked"),
        Column("Images answered", hint="harvested in this cycle, so mostly asked in earlier ones"),
        Column("Boxes answered", hint="in the answers that count, where several people answered an image"),
        Column("Hours", hint="of people, reviews included"),
        Column(
            "Seconds with boxes",
            hint="per image shown with machine boxes: to correct them and to draw the rest, by labeling.seconds",
        ),
        Column("Seconds without", hint="to draw every object of the same images, by labeling.seconds"),
    )
    rows = tuple((str(turn.cycle), *_effort([turn])) for turn in reversed(shown))
    note = cut(len(shown), len(turns), "cycles", "index.html")
    return Table("What people were asked and answered", columns, rows, note, ("All cycles", *_effort(turns)))


def reviews(turns: Sequence[Turn], most: int) -> Table:
    """What people found in labelled images that they looked at again, by cycle.

    Args:
        turns: Ascending.
        most: Rows shown, the latest.

    Returns:
        One row per cycle in which somebody reviewed, the latest first, and a row of sums; no rows without reviews.
    """
    reviewing = [turn for turn in turns if turn.reviews.answered or turn.reviews.skipped]
    columns = (
        Column("Cycle", numeric=False),
        Column("Images reviewed"),
        Column("Held a mistake", hint="images in which a label was corrected, deleted or added"),
        Column("Share", hint="of the images reviewed, those apart whose labels had changed meanwhile"),
        Column("Labels kept"),
        Column("Corrected"),
        Column("Deleted"),
        Column("Added"),
        Column("Skipped"),
        Column("Hours"),
    )
    rows = tuple((str(turn.cycle), *_reviewed(turn.reviews)) for turn in reversed(reviewing[-most:]))
    note = cut(len(rows), len(reviewing), "cycles with reviews", "index.html")
    foot = ("All cycles", *_reviewed(sum((turn.reviews for turn in turns), ReviewWork()))) if rows else ()
    return Table("Labels that people reviewed", columns, rows, note, foot)


def acceptance(counts: Acceptance) -> Table:
    """What people do with boxes that they see, beside what they draw without seeing them.

    Args:
        counts: Of all answers so far.

    Returns:
        One row per class and a row of sums; no rows without boxes.
    """
    columns = (Column("Class", numeric=False), *ACCEPTED)
    rows = tuple((label, *accepted(own)) for label, own in sorted(counts.classes.items()))
    images = f"{count(counts.shown_images)} images with boxes, {count(counts.blind_images)} blind"
    foot = ("All classes", *accepted(counts.total)) if rows else ()
    return Table(f"The machine's boxes, seen and not seen ({images})", columns, rows, foot=foot)


def remarks(found: Sequence[AnswerRemark], most: int) -> Table:
    """Answers that a second look is due to.

    Args:
        found: Of the answers harvested in this cycle.
        most: Rows shown, the first.

    Returns:
        One row per remark, with a link to the task where there is one.
    """
    columns = tuple(Column(title, numeric=False) for title in ("File", "What was found", "Answered by", "Task"))
    rows = tuple(
        (
            file_name(remark.uri) or remark.image_id[:12],
            remark.text,
            remark.annotator,
            Link("open", remark.link) if remark.link else NOTHING,
        )
        for remark in found[:most]
    )
    return Table("Answers to look at again", columns, rows, cut(len(rows), len(found), "remarks", "harvest.json"))


def queue(asked: pa.Table, album: Album, most: int) -> Table:
    """What people are asked and why, in the order of asking.

    Args:
        asked: `QUEUE_SCHEMA`.
        album: Holds the images of the rows shown.
        most: Rows shown, the first.

    Returns:
        One row per image, with a small image without boxes.
    """
    columns = (
        Column("Rank", numeric=False, hint="1 is asked first"),
        Column("Image", numeric=False),
        Column("File", numeric=False),
        Column("Why", numeric=False),
        Column("Kind", numeric=False, hint="audit and blind tasks show no boxes to the annotator"),
        Column("Expected corrections"),
        Column("Expected missed objects"),
        Column("Boxes"),
    )
    rows = tuple(
        (
            str(row.rank + 1),
            album.tile(row.image_id, _THUMB_PX),
            file_name(album.uri(row.image_id)),
            row.reason or "",
            KINDS[TaskKind(row.kind)],
            share(row.expected_corrections),
            share(row.expected_missed),
            count(row.boxes),
        )
        for row in read_rows(asked.sort_by("rank").slice(0, most), QueuedImage)
    )
    return Table("The queue", columns, rows, cut(len(rows), asked.num_rows, "images", "queue.parquet"))


def accepted(own: AcceptanceCount) -> tuple[str, ...]:
    """What people did with the machine's boxes, as cells."""
    counts = (own.corrected, own.deleted, own.added, own.blind)
    return (count(own.shown), _share(own.unchanged), *map(count, counts), _share(own.confirmation), count(own.missed))


def _effort(turns: Sequence[Turn]) -> tuple[str, ...]:
    priced = sum((turn.priced for turn in turns), PricedAnswers())
    return (
        count(sum(turn.asked_images for turn in turns)),
        count(sum(turn.asked_boxes for turn in turns)),
        count(sum(turn.answered_images for turn in turns)),
        count(sum(turn.answered_boxes for turn in turns)),
        _hours(turn.hours_of_people for turn in turns),
        *(
            f"{total / priced.images:.0f}" if priced.images else NOTHING
            for total in (priced.with_boxes_s, priced.without_boxes_s)
        ),
    )


def _reviewed(work: ReviewWork) -> tuple[str, ...]:
    labels = (work.boxes.get(what, 0) for what in ("accepted", "corrected", "deleted", "added"))
    found = (count(work.answered), count(work.changed), share(work.mistaken))
    return (*found, *map(count, labels), count(work.skipped), _hours([work.hours]))


def _hours(spent: Iterable[float | None]) -> str:
    known = [hours for hours in spent if hours is not None]
    return f"{sum(known):.1f}" if known else NOTHING


def _share(audit: AuditCount) -> str:
    return with_interval(audit.precision, audit.interval)
